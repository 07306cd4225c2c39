//! A line's fields: JSON apart from its meaning. Numbers are taken from the text itself, so that no
//! float stands between a line and a decision.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::num::{Dec, DecError, MAX_PLACES, parse_scaled};
use crate::risk::money;

/// What a message repeats of a line.
const SHOWN_CHARS: usize = 40;

/// The fields of a JSON object by name; of a repeated one the last. `null` is a field left out.
pub(super) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Fails on what is not one JSON object. Values are not looked into, so their depth costs nothing.
    pub fn parse(line: &'a str) -> Result<Fields<'a>, String> {
        serde_json::from_str(line).map(Fields).map_err(|error| format!("not a JSON object: {error}"))
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.get()).filter(|text| *text != "null")
    }

    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The field as an object of its own.
    pub fn object(&self, name: &str) -> Result<Option<Fields<'a>>, String> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        Fields::parse(raw).map(Some).map_err(|error| format!("{name}: {error}"))
    }

    /// The field as a pair of a string and a number's text.
    pub fn pair(&self, name: &str) -> Result<Option<(String, String)>, String> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let wanted = || format!("{name} {}: [\"LONG\", \"0.81\"] is the form of a vote", shown(raw));
        let (word, number): (String, &RawValue) = serde_json::from_str(raw).map_err(|_| wanted())?;
        let number = number_text(number.get()).ok_or_else(wanted)?;
        Ok(Some((word, number)))
    }

    pub fn text(&self, name: &str) -> Result<String, String> {
        let raw = self.raw(name).ok_or_else(|| missing(name))?;
        serde_json::from_str(raw).map_err(|_| format!("{name} {}: not a string", shown(raw)))
    }

    /// One of a closed set of words.
    pub fn word<T>(&self, name: &str, parse: fn(&str) -> Option<T>, allowed: &[&str]) -> Result<T, String> {
        let text = self.text(name)?;
        parse(&text).ok_or_else(|| format!("{name} {}: {}", shown(&text), allowed.join(" or ")))
    }

    /// A number as text: a decimal string, or a JSON integer.
    pub fn number(&self, name: &str) -> Result<Option<String>, String> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let text = number_text(raw);
        text.map(Some).ok_or_else(|| format!("{name} {}: not a decimal string or an integer", shown(raw)))
    }

    pub fn required(&self, name: &str) -> Result<String, String> {
        self.number(name)?.ok_or_else(|| missing(name))
    }

    /// A decimal of at most 18 places within the range of money.
    pub fn decimal(&self, name: &str) -> Result<Option<Dec>, String> {
        self.number(name)?.map(|text| decimal(name, &text)).transpose()
    }

    /// An integer that fits 64 bits.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(text) = self.number(name)? else { return Ok(None) };
        let value = parse_scaled(text.as_bytes(), 0)
            .and_then(|value| i64::try_from(value).map_err(|_| DecError::OutOfRange));
        value.map(Some).map_err(|error| refused(name, &text, error))
    }
}

pub(super) fn decimal(name: &str, text: &str) -> Result<Dec, String> {
    let value = parse_scaled(text.as_bytes(), MAX_PLACES).map(Dec);
    let value = value.and_then(|v| if money::is_money(v) { Ok(v) } else { Err(DecError::OutOfRange) });
    value.map_err(|error| refused(name, text, error))
}

pub(super) fn missing(name: &str) -> String {
    format!("{name} is missing")
}

pub(super) fn refused(name: &str, text: &str, why: impl std::fmt::Display) -> String {
    format!("{name} {}: {why}", shown(text))
}

/// The beginning of a text, quoted and on one line.
pub(super) fn shown(text: &str) -> String {
    let head: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if head.len() < text.len() { "…" } else { "" };
    format!("{head:?}{more}")
}

/// The digits of a JSON integer, or what a JSON string holds; whether that is a number is seen later.
fn number_text(raw: &str) -> Option<String> {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(raw.to_string());
    }
    serde_json::from_str(raw).ok()
}
