//! From flags, environment, file and preset to [`Settings`].

use std::ffi::OsString;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Key, SETTINGS, Setting, Settings, check};

/// Read by the tests only; accepted wherever a setting is.
const IGNORED: &str = "QT_TEST_DATA";

/// Keys and secrets, or the files that hold them. They are read from the environment when they are
/// needed, by whoever needs them; here they are names that are passed over, never values. A flag is
/// seen by every user of the machine and a settings file is shown around, so they may not stand there.
const SECRETS: [&str; 4] = ["QT_API_KEY", "QT_API_KEY_FILE", "QT_API_SECRET", "QT_API_SECRET_FILE"];

/// Variables of the Qt toolkit and of tools around it, which share our prefix and are set on many
/// desktops: passed over in the environment, and nowhere else. Each stands for itself and, where it
/// ends in `_`, for all that begin with it. A setting of ours always comes first.
const QT_TOOLKIT: &[&str] = &[
    "QT_ACCESSIBILITY",
    "QT_API",
    "QT_ASSUME_STDERR_HAS_CONSOLE",
    "QT_AUTO_SCREEN_SCALE_FACTOR",
    "QT_DEBUG_PLUGINS",
    "QT_DEVICE_PIXEL_RATIO",
    "QT_ENABLE_HIGHDPI_SCALING",
    "QT_FATAL_CRITICALS",
    "QT_FATAL_WARNINGS",
    "QT_FONT_DPI",
    "QT_FORCE_STDERR_LOGGING",
    "QT_GRAPHICSSYSTEM",
    "QT_HASH_SEED",
    "QT_IM_MODULE",
    "QT_IM_MODULES",
    "QT_LINUX_ACCESSIBILITY_ALWAYS_ON",
    "QT_LOGGING_",
    "QT_MEDIA_BACKEND",
    "QT_MESSAGE_PATTERN",
    "QT_NO_GLIB",
    "QT_OPENGL",
    "QT_PLATFORM_PLUGIN",
    "QT_PLUGIN_PATH",
    "QT_QPA_",
    "QT_QUICK_",
    "QT_ROOT_DIR",
    "QT_SCALE_FACTOR",
    "QT_SCALE_FACTOR_ROUNDING_POLICY",
    "QT_SCREEN_SCALE_FACTORS",
    "QT_SELECT",
    "QT_STYLE_OVERRIDE",
    "QT_USE_PHYSICAL_DPI",
    "QT_VIRTUALKEYBOARD_",
    "QT_WAYLAND_",
    "QT_WEBENGINE_",
    "QT_X11_",
    "QT_XCB_",
];

/// Where a value came from; a later one overrides an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    /// Its name.
    Preset(String),
    /// Its path.
    File(String),
    Environment,
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Preset(name) => write!(f, "preset {name}"),
            Source::File(path) => write!(f, "file {path}"),
            Source::Environment => f.write_str("environment"),
            Source::Flag => f.write_str("flag"),
        }
    }
}

/// Values that lie over the defaults and under everything the user says.
#[derive(Clone, Debug)]
pub struct Preset {
    pub name: String,
    /// Variable and value.
    pub values: Vec<(String, String)>,
}

impl Preset {
    pub fn new(name: &str, values: &[(&str, &str)]) -> Preset {
        let values = values.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Preset { name: name.to_string(), values: values.collect() }
    }

    /// All of another run's settings, to ask what would have been with some of them changed.
    pub fn of(name: &str, settings: &Settings) -> Preset {
        let values = SETTINGS.iter().map(|s| (s.name.to_string(), s.value(settings)));
        Preset { name: name.to_string(), values: values.collect() }
    }
}

/// The settings in force and where each came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub settings: Settings,
    /// In the order of [`SETTINGS`].
    sources: Vec<Source>,
}

impl Default for Loaded {
    fn default() -> Loaded {
        Loaded { settings: Settings::DEFAULT, sources: vec![Source::Default; SETTINGS.len()] }
    }
}

impl Loaded {
    pub fn source(&self, key: Key) -> &Source {
        // As many as there are keys, and never fewer.
        &self.sources[key as usize]
    }

    fn set(&mut self, name: &str, value: &str, from: &Source) -> Result<(), ConfigError> {
        if name == IGNORED {
            return Ok(());
        }
        if let Some(name) = SECRETS.iter().find(|secret| **secret == name) {
            return Err(ConfigError::Secret { name, from: from.clone() });
        }
        let setting = Setting::named(name).ok_or_else(|| ConfigError::Unknown {
            name: name.to_string(),
            value: name.starts_with("RM_").then(|| value.to_string()),
            from: from.clone(),
            nearest: nearest(name),
        })?;
        setting.set(&mut self.settings, value).ok_or_else(|| ConfigError::NotAllowed {
            name: setting.name,
            value: value.to_string(),
            from: from.clone(),
            allowed: &setting.allowed,
        })?;
        self.sources[setting.key as usize] = from.clone();
        Ok(())
    }

    /// Keys of the file are names of settings. Numbers are taken by their digits, since 0.1 read as a
    /// binary float is no longer 0.1.
    fn set_from_file(&mut self, path: &str, text: &str) -> Result<(), ConfigError> {
        let from = Source::File(path.to_string());
        let document = DeTable::parse(text).map_err(|error| ConfigError::Toml {
            path: path.to_string(),
            line: 1 + error.span().and_then(|span| text.get(..span.start)).map_or(0, newlines),
            message: error.message().to_string(),
        })?;
        for (name, value) in document.get_ref() {
            self.set(name.get_ref(), plain(value, text), &from)?;
        }
        Ok(())
    }

    /// Variables that are not ours are left alone.
    fn set_from_environment(&mut self, variables: Vec<(OsString, OsString)>) -> Result<(), ConfigError> {
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let passed_over = name == IGNORED || SECRETS.contains(&&*name) || is_of_toolkit(&name);
            if !is_ours(&name) || passed_over {
                continue;
            }
            match (value.to_str(), Setting::named(&name)) {
                (None, Some(setting)) => return Err(ConfigError::NotUtf8 { name: setting.name }),
                (value, _) => self.set(&name, value.unwrap_or_default(), &Source::Environment)?,
            }
        }
        Ok(())
    }
}

/// Reads the settings: a flag over the environment over a TOML file (path and text) over a preset
/// over the defaults. A flag given twice counts as last given. `env` is `std::env::vars_os()`.
///
/// # Errors
/// A name that is no setting, a value that is not allowed, text that is not TOML or not UTF-8, or
/// values that contradict each other; even when another source would have overridden the value.
pub fn load<K: Into<OsString>, V: Into<OsString>>(
    flags: &[(String, String)],
    env: impl IntoIterator<Item = (K, V)>,
    file: Option<(&str, &str)>,
    preset: Option<&Preset>,
) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded::default();
    if let Some(Preset { name, values }) = preset {
        let from = Source::Preset(name.clone());
        values.iter().try_for_each(|(name, value)| loaded.set(name, value, &from))?;
    }
    if let Some((path, text)) = file {
        loaded.set_from_file(path, text)?;
    }
    let mut variables: Vec<(OsString, OsString)> =
        env.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    // The environment has no order; which error is told first should not depend on it.
    variables.sort_unstable();
    loaded.set_from_environment(variables)?;
    flags.iter().try_for_each(|(name, value)| loaded.set(name, value, &Source::Flag))?;
    check::consistent(&loaded)?;
    Ok(loaded)
}

/// Whether a variable claims to be a setting: by its prefix, or by everything but its case.
fn is_ours(name: &str) -> bool {
    name.starts_with("RM_")
        || name.starts_with("QT_")
        || SETTINGS.iter().any(|setting| setting.name.eq_ignore_ascii_case(name))
}

/// Whether a variable belongs to the Qt toolkit.
fn is_of_toolkit(name: &str) -> bool {
    Setting::named(name).is_none()
        && QT_TOOLKIT.iter().any(|known| *known == name || (known.ends_with('_') && name.starts_with(known)))
}

/// The setting a wrong name was probably meant for.
fn nearest(name: &str) -> Option<&'static str> {
    // Beyond any of ours; the comparison takes the product of both lengths.
    const NAME_BYTES_MAX: usize = 64;
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    SETTINGS
        .iter()
        .map(|setting| setting.name)
        .chain(SECRETS)
        .map(|known| (strsim::damerau_levenshtein(&upper, known), known))
        .min()
        .filter(|(edits, _)| edits * 3 <= name.len())
        .map(|(_, name)| name)
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The value as the user wrote it: words without their quotes, all else as it stands in the file. What
/// is no plain value is allowed by no setting.
fn plain<'a>(value: &'a Spanned<DeValue>, text: &'a str) -> &'a str {
    match value.get_ref() {
        DeValue::String(string) => string,
        DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str(),
        DeValue::Float(digits) => digits.as_str(),
        _ => text.get(value.span()).unwrap_or("a table"),
    }
}
