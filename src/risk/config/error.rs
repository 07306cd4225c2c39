//! What can be wrong with a configuration: each error is one line that names the setting, the value,
//! where it came from and what is allowed.

use std::fmt;

use super::{Allowed, Setting, Source};

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    #[error("{}{} ({from}) is not a setting{}", Line(name), Shown(value.as_deref()), Hint(*nearest))]
    Unknown {
        name: String,
        /// Of names that begin with RM_: others may be a misspelt key's.
        value: Option<String>,
        from: Source,
        /// The setting that was probably meant.
        nearest: Option<&'static str>,
    },
    #[error("{name}: value \"{}\" ({from}) is not allowed: {allowed}", Line(value))]
    NotAllowed { name: &'static str, value: String, from: Source, allowed: &'static Allowed },
    #[error("{name} ({from}) is a secret: it is taken from the environment alone")]
    Secret { name: &'static str, from: Source },
    #[error("{name}: the value (environment) is not UTF-8")]
    NotUtf8 { name: &'static str },
    #[error("{path}, line {line}: {}", Line(message))]
    Toml { path: String, line: usize, message: String },
    #[error("{}: {rule}", List(settings))]
    Conflict {
        settings: Vec<Given>,
        /// What must hold between them.
        rule: &'static str,
    },
}

/// A setting that takes part in a conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    pub name: &'static str,
    pub value: String,
    pub from: Source,
}

/// Foreign text on one line of bearable length: escaped, and cut where it goes on and on.
struct Line<'a>(&'a str);

impl Line<'_> {
    const CHARS_MAX: usize = 160;
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(Self::CHARS_MAX).map_or(self.0.len(), |(at, _)| at);
        let (shown, rest) = self.0.split_at(end);
        write!(f, "{}{}", shown.escape_debug(), if rest.is_empty() { "" } else { "…" })
    }
}

struct Shown<'a>(Option<&'a str>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |value| write!(f, "={}", Line(value)))
    }
}

struct Hint(Option<&'static str>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => match Setting::named(name) {
                Some(setting) => write!(f, ": did you mean {name} ({})?", setting.allowed),
                None => write!(f, ": did you mean {name}?"),
            },
            None => f.write_str(": every name that begins with RM_ or QT_ must be one"),
        }
    }
}

struct List<'a>(&'a [Given]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, given) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{}={} ({})", given.name, given.value, given.from)?;
        }
        Ok(())
    }
}
