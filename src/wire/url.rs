//! Addresses of websocket servers.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A combined-stream address names up to 1,024 streams; web servers take request lines of 8 to
/// 16 KiB.
const URL_BYTES_MAX: usize = 16 * 1024;
/// RFC 1035 §2.3.4.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// `ws://` or `wss://`, host, port, path and query. Never printed whole: a path may hold a listen key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    secure: bool,
    host: Host,
    port: u16,
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("does not begin with ws:// or wss://")]
    Scheme,
    #[error("the host is not a name, an IPv4 address or an IPv6 address in brackets")]
    Host,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("user names and passwords are not taken")]
    Credentials,
    #[error("a fragment (#) has no meaning in a websocket address")]
    Fragment,
    #[error("path or query holds a character that must be percent-encoded, or a broken percent code")]
    Path,
}

impl Url {
    /// Over TLS: `wss`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query as the request line has them; begins with `/`. May hold secrets.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The `Host` header: without the port where it is the scheme's own (RFC 6455 §4.1).
    pub(super) fn authority(&self) -> String {
        let default = if self.secure { 443 } else { 80 };
        if self.port == default { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("wss") => true,
            _ if scheme.eq_ignore_ascii_case("ws") => false,
            _ => return Err(UrlError::Scheme),
        };
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(UrlError::Credentials);
        }
        let (host, port) = split_port(authority)?;
        let port = port.map_or(Ok(if secure { 443 } else { 80 }), parse_port)?;
        Ok(Url { secure, host: parse_host(host)?, port, path: parse_path(path)? })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    // An IPv6 address has colons of its own, inside its brackets.
    let host_end = match authority.strip_prefix('[') {
        Some(inside) => inside.find(']').ok_or(UrlError::Host)? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(host_end).ok_or(UrlError::Host)?;
    match port.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if port.is_empty() => Ok((host, None)),
        None => Err(UrlError::Host),
    }
}

fn parse_port(text: &str) -> Result<u16, UrlError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)
}

fn parse_host(text: &str) -> Result<Host, UrlError> {
    if let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return inside.parse().map(Host::V6).map_err(|_| UrlError::Host);
    }
    if let Ok(address) = text.parse() {
        return Ok(Host::V4(address));
    }
    let label_ok = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // What looks like an IPv4 address and isn't one must not reach a resolver that reads "1.2".
    let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if text.len() > HOST_BYTES_MAX || numeric || !text.split('.').all(label_ok) {
        return Err(UrlError::Host);
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

fn parse_path(text: &str) -> Result<String, UrlError> {
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let fine = match byte {
            b'%' => {
                let mut hex = || rest.next().is_some_and(|b| b.is_ascii_hexdigit());
                hex() && hex()
            }
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            _ => byte.is_ascii_graphic(),
        };
        if !fine {
            return Err(UrlError::Path);
        }
    }
    Ok(if text.starts_with('/') { text.to_owned() } else { format!("/{text}") })
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => write!(f, "{address}"),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Scheme, host and port; `…` stands for the path.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        let path = if self.path == "/" { "/" } else { "/…" };
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parts(text: &str) -> (bool, String, u16, String) {
        let url: Url = text.parse().unwrap();
        (url.is_secure(), url.host().to_string(), url.port(), url.path().to_owned())
    }

    #[test]
    fn the_parts_of_an_address() {
        let streams = "/market/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade";
        let expected = (true, "fstream.binance.com".into(), 443, streams.to_owned());
        assert_eq!(parts(&format!("wss://fstream.binance.com{streams}")), expected);
        assert_eq!(parts("ws://127.0.0.1:9001"), (false, "127.0.0.1".into(), 9001, "/".into()));
        assert_eq!(parts("WS://[::1]:80/a"), (false, "[::1]".into(), 80, "/a".into()));
        assert_eq!(parts("wss://[2001:db8::7]"), (true, "[2001:db8::7]".into(), 443, "/".into()));
        assert_eq!(parts("ws://Local_Host?x=%20"), (false, "local_host".into(), 80, "/?x=%20".into()));
    }

    #[test]
    fn what_is_refused() {
        use UrlError::*;
        let long = format!("ws://a/{}", "x".repeat(URL_BYTES_MAX));
        for (text, error) in [
            ("", Scheme),
            ("http://a", Scheme),
            ("ws:/a", Scheme),
            (" ws://a", Scheme),
            ("ws://", Host),
            ("ws:///path", Host),
            ("ws://a b/", Host),
            ("ws://a..b", Host),
            ("ws://-a", Host),
            ("ws://a.", Host),
            ("ws://1.2.3", Host),
            ("ws://256.1.1.1", Host),
            ("ws://é.com", Host),
            ("ws://[::1", Host),
            ("ws://[::1]x", Host),
            ("ws://[1.2.3.4]", Host),
            ("ws://::1", Port),
            ("ws://a:", Port),
            ("ws://a:0", Port),
            ("ws://a:+1", Port),
            ("ws://a:65536", Port),
            ("ws://a:80:80", Port),
            ("ws://user@a", Credentials),
            ("ws://a/#b", Fragment),
            ("ws://a/b c", Path),
            ("ws://a/b\r\nHost: c", Path),
            ("ws://a/%2", Path),
            ("ws://a/%zz", Path),
            ("ws://a/é", Path),
            (&long, TooLong),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text:.40}");
        }
    }

    #[test]
    fn a_path_is_not_printed() {
        let url: Url = "wss://host:9443/private/ws?listenKey=secret".parse().unwrap();
        assert_eq!(url.to_string(), "wss://host:9443/…");
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!(url.authority(), "host:9443");
    }
}
