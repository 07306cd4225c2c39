//! The parameters of a request: one list that becomes the text to sign, a query, or a JSON object.

use std::fmt::{self, Write as _};
use std::ops::Range;

use arrayvec::ArrayVec;

/// The longest request, a conditional order, has 14 with its key and signature.
const PARAMS_MAX: usize = 20;

/// Parameters by name; the storage is reused from request to request.
///
/// Names are plain ASCII. A name given twice is a bug: the venue refuses it.
#[derive(Default)]
pub struct Params {
    entries: ArrayVec<Entry, PARAMS_MAX>,
    values: String,
}

struct Entry {
    name: &'static str,
    value: Range<usize>,
    /// A JSON number rather than a string.
    number: bool,
}

impl Params {
    pub fn clear(&mut self) {
        self.entries.clear();
        self.values.clear();
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    pub fn text(&mut self, name: &'static str, value: impl fmt::Display) -> &mut Params {
        self.put(name, value, false)
    }

    pub fn number(&mut self, name: &'static str, value: i64) -> &mut Params {
        self.put(name, value, true)
    }

    fn put(&mut self, name: &'static str, value: impl fmt::Display, number: bool) -> &mut Params {
        let start = self.values.len();
        // Writing to a String does not fail; more parameters than any request has would be a bug here,
        // and the venue would name the missing one.
        let _ = write!(self.values, "{value}");
        let _ = self.entries.try_push(Entry { name, value: start..self.values.len(), number });
        self
    }

    /// By name: the order the websocket interface signs in.
    pub fn sort(&mut self) {
        self.entries.sort_unstable_by_key(|entry| entry.name);
    }

    fn pairs(&self) -> impl Iterator<Item = (&Entry, &str)> {
        self.entries.iter().map(|entry| (entry, self.values.get(entry.value.clone()).unwrap_or_default()))
    }

    /// `name=value&name=value`, percent-encoded.
    pub fn write_query(&self, out: &mut String) {
        for (i, (entry, value)) in self.pairs().enumerate() {
            if i > 0 {
                out.push('&');
            }
            out.push_str(entry.name);
            out.push('=');
            percent_encode(value, out);
        }
    }

    /// `"name":"value","name":1`, without the braces.
    pub fn write_json(&self, out: &mut String) {
        for (i, (entry, value)) in self.pairs().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\"{}\":", entry.name);
            if entry.number { out.push_str(value) } else { write_json_string(value, out) }
        }
    }
}

/// Appends `text` with everything but RFC 3986's unreserved characters as percent codes.
pub fn percent_encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => {
                out.push('%');
                out.push(HEX[usize::from(byte >> 4)] as char);
                out.push(HEX[usize::from(byte & 15)] as char);
            }
        }
    }
}

fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Names alone: a value may be a key or a signature.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Params {
        let mut params = Params::default();
        params.text("symbol", "BTCUSDT").number("timestamp", 17).text("b", "a/b+c=").text("a", "\"\\\n");
        params
    }

    #[test]
    fn queries_are_encoded_and_json_is_escaped() {
        let mut params = sample();
        params.sort();
        let (mut query, mut json) = (String::new(), String::new());
        params.write_query(&mut query);
        params.write_json(&mut json);
        assert_eq!(query, "a=%22%5C%0A&b=a%2Fb%2Bc%3D&symbol=BTCUSDT&timestamp=17");
        assert_eq!(json, r#""a":"\"\\\u000a","b":"a/b+c=","symbol":"BTCUSDT","timestamp":17"#);
    }

    #[test]
    fn values_are_not_shown() {
        assert_eq!(format!("{:?}", sample()), r#"["symbol", "timestamp", "b", "a"]"#);
    }

    proptest! {
        #[test]
        fn any_value_is_a_json_string(value in "\\PC*|[\\x00-\\x7f]*") {
            let mut params = Params::default();
            params.text("v", &value);
            let mut json = "{".to_string();
            params.write_json(&mut json);
            json.push('}');
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read["v"].as_str(), Some(value.as_str()));
        }
    }
}
