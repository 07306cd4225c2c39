//! Keys and signatures.
//!
//! The venue takes HMAC-SHA256 (in hexadecimal digits) and Ed25519 (in base64). Nothing here prints a
//! key: the types that hold one have no `Display`, and a `Debug` that says their kind.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use ring::{digest, hmac};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::params::Params;

/// Why a text is no secret we can sign with. None of them repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the secret is empty")]
    Empty,
    #[error("the secret is neither a line of printable ASCII nor a PEM text")]
    NotText,
    #[error("the PEM text holds no PKCS#8 private key (\"BEGIN PRIVATE KEY\")")]
    Pem,
    #[error("the PEM text's private key is not Ed25519, the only kind of key pair taken")]
    NotEd25519,
}

/// What requests are signed with.
enum Key {
    Hmac(hmac::Key),
    Ed25519(Box<Ed25519KeyPair>),
}

/// Signs texts; its buffers are reused from text to text.
pub struct Signer {
    key: Key,
    payload: String,
    signature: String,
}

impl Signer {
    /// A PEM text is an Ed25519 key pair (PKCS#8), any other line an HMAC secret. Blanks and line ends
    /// around it are not part of it.
    pub fn new(secret: &str) -> Result<Signer, SecretError> {
        let secret = secret.trim();
        let key = match secret {
            "" => return Err(SecretError::Empty),
            pem if pem.starts_with("-----BEGIN") => Key::Ed25519(Box::new(key_pair(pem)?)),
            line if line.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Key::Hmac(hmac::Key::new(hmac::HMAC_SHA256, line.as_bytes()))
            }
            _ => return Err(SecretError::NotText),
        };
        Ok(Signer { key, payload: String::new(), signature: String::new() })
    }

    /// The signature of a text.
    pub fn sign(&mut self, payload: &str) -> &str {
        self.signature.clear();
        write_signature(&self.key, payload, &mut self.signature);
        &self.signature
    }

    /// Sorts the parameters and adds the signature of their query, as the order websocket wants it.
    pub fn sign_sorted(&mut self, params: &mut Params) {
        params.sort();
        self.sign_as_they_are(params);
    }

    /// Adds the signature of the parameters' query, as the REST interface wants it: last.
    pub fn sign_as_they_are(&mut self, params: &mut Params) {
        self.payload.clear();
        params.write_query(&mut self.payload);
        self.signature.clear();
        write_signature(&self.key, &self.payload, &mut self.signature);
        params.text("signature", &self.signature);
    }

    /// Whether `signature` is that of `payload`, in time that does not tell how much of it is right.
    pub fn verify(&self, payload: &str, signature: &str) -> bool {
        match &self.key {
            Key::Hmac(key) => {
                from_hex(signature).is_some_and(|tag| hmac::verify(key, payload.as_bytes(), &tag).is_ok())
            }
            Key::Ed25519(pair) => BASE64.decode(signature).is_ok_and(|bytes| {
                let public = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
                public.verify(payload.as_bytes(), &bytes).is_ok()
            }),
        }
    }
}

fn key_pair(pem: &str) -> Result<Ed25519KeyPair, SecretError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| SecretError::Pem)?;
    // OpenSSL writes version 1, without the public key, which ring works out from the seed.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| SecretError::NotEd25519)
}

fn write_signature(key: &Key, payload: &str, out: &mut String) {
    match key {
        Key::Hmac(key) => write_hex(hmac::sign(key, payload.as_bytes()).as_ref(), out),
        Key::Ed25519(pair) => BASE64.encode_string(pair.sign(payload.as_bytes()), out),
    }
}

fn write_hex(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)] as char);
        out.push(HEX[usize::from(byte & 15)] as char);
    }
}

fn from_hex(text: &str) -> Option<[u8; digest::SHA256_OUTPUT_LEN]> {
    let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16);
        *byte = match pair {
            [high, low] => (digit(*high)? << 4 | digit(*low)?) as u8,
            _ => return None,
        };
    }
    Some(bytes)
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.key {
            Key::Hmac(_) => "Signer(HMAC-SHA256)",
            Key::Ed25519(_) => "Signer(Ed25519)",
        })
    }
}

/// An account's API key and what its requests are signed with.
pub struct Credentials {
    api_key: String,
    pub signer: Signer,
}

impl Credentials {
    /// # Errors
    /// [`SecretError`] for the secret; [`SecretError::NotText`] for a key that could not stand in a header.
    pub fn new(api_key: &str, secret: &str) -> Result<Credentials, SecretError> {
        let api_key = api_key.trim();
        match api_key {
            "" => Err(SecretError::Empty),
            _ if !api_key.bytes().all(|byte| byte.is_ascii_graphic()) => Err(SecretError::NotText),
            _ => Ok(Credentials { api_key: api_key.to_owned(), signer: Signer::new(secret)? }),
        }
    }

    /// For the header or the parameter that carries it, and nothing else.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?})", self.signer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret, payload and signature of the venue's own example ("SIGNED Endpoint Examples for
    /// POST /fapi/v1/order").
    const SECRET: &str = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9";
    const PAYLOAD: &str = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943";
    const SIGNATURE: &str = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9";
    /// RFC 8032 §7.1, TEST 1, as `openssl genpkey` would write it.
    const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    const ED25519_OF_NOTHING: &str =
        "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw==";

    #[test]
    fn hmac_is_the_venues() {
        let mut signer = Signer::new(SECRET).unwrap();
        assert_eq!(signer.sign(PAYLOAD), SIGNATURE);
        assert_eq!(signer.sign(PAYLOAD), SIGNATURE, "nothing is left of the last one");
        assert!(signer.verify(PAYLOAD, SIGNATURE));
    }

    #[test]
    fn ed25519_is_the_rfcs() {
        let mut signer = Signer::new(ED25519_PEM).unwrap();
        assert_eq!(signer.sign(""), ED25519_OF_NOTHING);
        assert!(signer.verify("", ED25519_OF_NOTHING));
    }

    #[test]
    fn other_signatures_are_refused() {
        let signer = Signer::new(SECRET).unwrap();
        let flipped = SIGNATURE.replace('3', "4");
        let cut = &SIGNATURE[1..];
        for other in ["", "é", cut, &flipped, &SIGNATURE.replace('c', "x")] {
            assert!(!signer.verify(PAYLOAD, other), "{other:?}");
        }
        assert!(!signer.verify("symbol=BTCUSDT", SIGNATURE));
        assert!(!Signer::new(ED25519_PEM).unwrap().verify("x", ED25519_OF_NOTHING));
    }

    #[test]
    fn secrets_that_are_none() {
        use SecretError::*;
        let empty_pem = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----";
        for (secret, error) in [
            ("", Empty),
            (" \n", Empty),
            ("two words", NotText),
            ("é", NotText),
            ("-----BEGIN RSA PRIVATE KEY-----\nMC4=\n-----END RSA PRIVATE KEY-----", Pem),
            ("-----BEGIN PRIVATE KEY-----", Pem),
            (empty_pem, NotEd25519),
        ] {
            assert_eq!(Signer::new(secret).err(), Some(error), "{secret:?}");
            assert!(!error.to_string().contains("MC4"), "{error}");
        }
        assert_eq!(Credentials::new("two words", SECRET).err(), Some(NotText));
    }

    #[test]
    fn no_key_is_ever_shown() {
        let mut params = Params::default();
        let mut credentials = Credentials::new("the-api-key", SECRET).unwrap();
        credentials.signer.sign_sorted(params.text("apiKey", "the-api-key").number("timestamp", 1));
        let shown = format!("{credentials:?} {:?} {params:?}", credentials.signer);
        assert_eq!(
            shown,
            "Credentials(Signer(HMAC-SHA256)) Signer(HMAC-SHA256) [\"apiKey\", \"timestamp\", \"signature\"]"
        );
    }
}
