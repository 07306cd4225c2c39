//! The HTTP request that turns a stream into a websocket, and its answer (RFC 6455 §4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest as _, Sha1};

use super::error::UpgradeError;
use super::url::Url;

/// Longest head of an answer; real ones have some 200 bytes.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
/// RFC 6455 §1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// One handshake: the request to send, and the answer as it comes in.
pub(super) struct Upgrade {
    key: String,
    answer: Vec<u8>,
}

impl Upgrade {
    /// `nonce`: random, new for each connection.
    pub fn new(nonce: [u8; 16]) -> Upgrade {
        Upgrade { key: BASE64.encode(nonce), answer: Vec::with_capacity(HEAD_BYTES_MAX) }
    }

    pub fn request(&self, url: &Url) -> String {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\nUser-Agent: {}\r\n\r\n",
            url.path(),
            url.authority(),
            self.key,
            concat!("quantum-trader/", env!("CARGO_PKG_VERSION")),
        )
    }

    /// How many bytes may still be given.
    pub fn room(&self) -> usize {
        HEAD_BYTES_MAX - self.answer.len()
    }

    /// Takes bytes of the answer, at most [`Upgrade::room`]. `Some` once the server has agreed: the
    /// bytes past the head, which are the first of the websocket.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, UpgradeError> {
        self.answer.extend_from_slice(bytes);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&self.answer).map_err(UpgradeError::NotHttp)? {
            httparse::Status::Complete(head_bytes) => {
                check(&response, &self.key)?;
                Ok(Some(self.answer.split_off(head_bytes)))
            }
            httparse::Status::Partial if self.answer.len() >= HEAD_BYTES_MAX => {
                Err(UpgradeError::TooLong(HEAD_BYTES_MAX))
            }
            httparse::Status::Partial => Ok(None),
        }
    }
}

fn check(response: &httparse::Response<'_, '_>, key: &str) -> Result<(), UpgradeError> {
    let values = |name: &'static str| {
        response.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    };
    let code = response.code.unwrap_or(0);
    if code != 101 {
        let seconds = values("Retry-After").next().and_then(|v| std::str::from_utf8(v).ok());
        return Err(UpgradeError::Status {
            code,
            retry_after_s: seconds.and_then(|s| s.trim().parse().ok()),
        });
    }
    match response.version {
        Some(1) => {}
        version => return Err(UpgradeError::Version(version.unwrap_or(0))),
    }
    let token = |name: &'static str, wanted: &'static [u8]| {
        let mut tokens = values(name).flat_map(|value| value.split(|b| *b == b','));
        match tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted)) {
            true => Ok(()),
            false => Err(UpgradeError::Header(name)),
        }
    };
    token("Upgrade", b"websocket")?;
    token("Connection", b"upgrade")?;
    // We offered neither, so the server may choose neither.
    for name in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"] {
        if values(name).next().is_some() {
            return Err(UpgradeError::Header(name));
        }
    }
    let mut accepts = values("Sec-WebSocket-Accept");
    match (accepts.next(), accepts.next()) {
        (Some(given), None) if given.trim_ascii() == accept(key).as_bytes() => Ok(()),
        (Some(_), None) => Err(UpgradeError::Accept),
        _ => Err(UpgradeError::Header("Sec-WebSocket-Accept")),
    }
}

/// What a server answers to `key` in `Sec-WebSocket-Accept`.
pub fn accept(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    BASE64.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 16] = *b"the sample nonce";

    /// RFC 6455 §1.3 has this key and its answer.
    #[test]
    fn the_rfcs_example() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(Upgrade::new(NONCE).key, "dGhlIHNhbXBsZSBub25jZQ==");
    }

    fn good() -> Vec<String> {
        ["HTTP/1.1 101 Switching Protocols", "Upgrade: WebSocket", "connection: keep-alive, Upgrade"]
            .map(str::to_owned)
            .into_iter()
            .chain(["Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned()])
            .collect()
    }

    fn push(lines: &[String]) -> Result<Option<Vec<u8>>, UpgradeError> {
        Upgrade::new(NONCE).push((lines.join("\r\n") + "\r\n\r\n").as_bytes())
    }

    #[test]
    fn every_line_of_the_answer_matters() {
        assert_eq!(push(&good()), Ok(Some(vec![])));
        let header = UpgradeError::Header;
        let status = |code, retry_after_s| UpgradeError::Status { code, retry_after_s };
        for (line, text, error) in [
            (0, "HTTP/1.1 200 OK", status(200, None)),
            (0, "HTTP/1.1 418 I'm a teapot\r\nRetry-After: 120", status(418, Some(120))),
            (0, "HTTP/1.1 429 Too Many\r\nRetry-After: soon", status(429, None)),
            (0, "HTTP/1.0 101 Switching Protocols", UpgradeError::Version(0)),
            (0, "SSH-2.0-OpenSSH", UpgradeError::NotHttp(httparse::Error::Version)),
            (1, "Upgrade: h2c", header("Upgrade")),
            (1, "X: websocket", header("Upgrade")),
            (2, "Connection: close", header("Connection")),
            (2, "Connection: upgraded", header("Connection")),
            (3, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=", UpgradeError::Accept),
            (3, "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=", UpgradeError::Accept),
            (3, "Sec-WebSocket-Accept:", UpgradeError::Accept),
            (3, "X: y", header("Sec-WebSocket-Accept")),
            (1, "Upgrade: websocket\r\nSec-WebSocket-Extensions: x", header("Sec-WebSocket-Extensions")),
            (1, "Upgrade: websocket\r\nSec-WebSocket-Protocol: x", header("Sec-WebSocket-Protocol")),
            (1, "Upgrade: websocket\r\nSec-WebSocket-Accept: x", header("Sec-WebSocket-Accept")),
        ] {
            let mut lines = good();
            lines[line] = text.to_owned();
            assert_eq!(push(&lines), Err(error), "{text}");
        }
    }

    #[test]
    fn a_head_that_does_not_end_is_refused() {
        let mut upgrade = Upgrade::new(NONCE);
        assert_eq!(upgrade.push(b"HTTP/1.1 101 Ok\r\nX: "), Ok(None));
        let filler = vec![b'x'; upgrade.room()];
        assert_eq!(upgrade.push(&filler), Err(UpgradeError::TooLong(HEAD_BYTES_MAX)));
        let many: Vec<_> = (0..=HEADERS_MAX).map(|n| format!("X-{n}: y")).collect();
        let lines = [vec!["HTTP/1.1 101 Ok".to_owned()], many].concat();
        assert_eq!(push(&lines), Err(UpgradeError::NotHttp(httparse::Error::TooManyHeaders)));
    }

    #[test]
    fn the_request_is_complete() {
        let url = "ws://[::1]:9001/ws?a=b".parse().unwrap();
        let request = Upgrade::new(NONCE).request(&url);
        assert!(request.starts_with("GET /ws?a=b HTTP/1.1\r\nHost: [::1]:9001\r\n"), "{request}");
        assert!(request.contains("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n") && request.matches("\r\n\r\n").count() == 1, "{request}");
    }
}
