//! The parameters of a request, whichever road it came by.

use serde_json::{Map, Value};

use super::refusal::{ILLEGAL_CHARACTERS, Refusal};

/// Parameters of a request: far more than any has.
const PARAMS_MAX: usize = 64;
const SIGNATURE: &str = "signature";

/// Names and values as text, and the text that was signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    entries: Vec<(String, String)>,
    /// What the signature is over.
    pub signed: String,
}

impl Params {
    /// From the query of a URL and a form in the body. The signature is over both, as they were sent.
    pub fn of_query(query: &str, body: &str) -> Result<Params, Refusal> {
        let mut params = Params { entries: Vec::new(), signed: unsigned(query) + &unsigned(body) };
        for pair in query.split('&').chain(body.split('&')).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            params.push(percent_decode(name)?, percent_decode(value)?)?;
        }
        Ok(params)
    }

    /// From the `params` of a websocket request. The signature is over all of them by name.
    pub fn of_object(object: &Map<String, Value>) -> Result<Params, Refusal> {
        let mut params = Params::default();
        for (name, value) in object {
            match value {
                Value::Null => {}
                Value::String(text) => params.push(name.clone(), text.clone())?,
                Value::Bool(_) | Value::Number(_) => params.push(name.clone(), value.to_string())?,
                Value::Array(_) | Value::Object(_) => {
                    return Err(Refusal::bad(name, "a string, a number or a boolean is allowed"));
                }
            }
        }
        let mut sorted: Vec<_> = params.entries.iter().filter(|(name, _)| name != SIGNATURE).collect();
        sorted.sort_unstable();
        let pairs: Vec<String> = sorted.iter().map(|(name, value)| format!("{name}={value}")).collect();
        params.signed = pairs.join("&");
        Ok(params)
    }

    fn push(&mut self, name: String, value: String) -> Result<(), Refusal> {
        if self.entries.len() >= PARAMS_MAX {
            return Err(Refusal::new(-1101, "Too many parameters."));
        }
        self.entries.push((name, value));
        Ok(())
    }

    /// `None` also for an empty value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.entries.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let parsed = self.get(name).map(|text| text.parse().map_err(|_| illegal(name, "^[0-9]{1,20}$")));
        parsed.transpose()
    }

    /// False where it is absent.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(illegal(name, "^(true|false)$")),
        }
    }

    pub fn signature(&self) -> Option<&str> {
        self.get(SIGNATURE)
    }
}

fn illegal(name: &str, legal: &str) -> Refusal {
    let message = format!("Illegal characters found in parameter '{name}'; legal range is '{legal}'.");
    Refusal::new(ILLEGAL_CHARACTERS, message)
}

/// A query without its signature.
fn unsigned(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| pair.split('=').next() != Some(SIGNATURE));
    pairs.collect::<Vec<_>>().join("&")
}

fn percent_decode(text: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                match (digit(), digit()) {
                    // Two hexadecimal digits are at most 255.
                    (Some(high), Some(low)) => (high << 4 | low) as u8,
                    _ => return Err(illegal(text, "percent-encoded UTF-8")),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| illegal(text, "percent-encoded UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_signed_as_it_was_sent() {
        let params = Params::of_query("symbol=BTC%20USDT&x=1&signature=ab", "side=BUY").unwrap();
        assert_eq!(params.signed, "symbol=BTC%20USDT&x=1side=BUY");
        assert_eq!(params.get("symbol"), Some("BTC USDT"));
        assert_eq!((params.get("side"), params.signature()), (Some("BUY"), Some("ab")));
        assert_eq!(params.need("price").unwrap_err().code, -1102);
    }

    #[test]
    fn an_object_is_signed_by_name() {
        let object = serde_json::from_str(r#"{"b":true,"a":"x","signature":"s","t":17,"n":null}"#).unwrap();
        let params = Params::of_object(&object).unwrap();
        assert_eq!(params.signed, "a=x&b=true&t=17");
        assert_eq!((params.flag("b"), params.integer("t")), (Ok(true), Ok(Some(17))));
    }

    #[test]
    fn hostile_parameters_are_refused() {
        for query in ["a=%", "a=%f", "a=%zz", "a=%ff"] {
            assert_eq!(Params::of_query(query, "").unwrap_err().code, -1100, "{query}");
        }
        let many = vec!["a=1"; PARAMS_MAX + 1].join("&");
        assert_eq!(Params::of_query(&many, "").unwrap_err().code, -1101);
        let nested = serde_json::from_str(r#"{"a":[1]}"#).unwrap();
        assert!(Params::of_object(&nested).is_err());
        let params = Params::of_query("t=1e9&f=yes", "").unwrap();
        assert!(params.integer("t").is_err() && params.flag("f").is_err());
    }
}
