//! Settings as TOML: the text that is journaled, and the example file.

use super::{ConfigError, SETTINGS, Setting, Settings, load};

/// Settings of it are about the machine, not about trading.
const SILENT_SECTIONS: [&str; 3] = ["Host", "Connections", "Journal"];

impl Setting {
    /// `NAME = value`, as a line of TOML.
    fn toml(&self, settings: &Settings) -> String {
        let value = self.value(settings);
        if self.allowed.quoted() {
            format!("{} = {}", self.name, toml::Value::String(value))
        } else {
            format!("{} = {value}", self.name)
        }
    }
}

impl Settings {
    /// All settings, one a line in the order of the table; [`Settings::from_toml`] reads them back.
    pub fn to_toml(&self) -> String {
        SETTINGS.iter().map(|setting| setting.toml(self) + "\n").collect()
    }

    /// Settings journaled by another run. What the text leaves out has its default.
    ///
    /// # Errors
    /// As [`load`].
    pub fn from_toml(text: &str) -> Result<Settings, ConfigError> {
        let env: [(&str, &str); 0] = [];
        load(&[], env, Some(("journal", text)), None).map(|loaded| loaded.settings)
    }

    /// A hash of what decides, the same on every machine, for run ids: logs, the size of the ring,
    /// what is asked of the host and where the servers are change no decision, and so not the run's
    /// identity.
    pub fn digest(&self) -> u64 {
        let decides = |setting: &&Setting| {
            let silent = setting.name.starts_with("RM_LOG_") || setting.name == "QT_RING_SLOTS";
            !silent && !SILENT_SECTIONS.contains(&setting.section)
        };
        let text: String = SETTINGS.iter().filter(decides).map(|setting| setting.toml(self) + "\n").collect();
        fnv1a(text.as_bytes())
    }
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo).
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// A file with every setting at its default, commented out, under what it means and allows.
pub fn example() -> String {
    let mut text = String::from(
        "# Every setting of qtx with its default; take the # off to change one.\n\
         # An environment variable of the same name overrides a line here, and a flag overrides both.\n\
         # Fractions are fractions: 0.01 is 1%. Decimals have at most 6 places.\n",
    );
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            text += &format!("\n# ---- {section} ----\n");
        }
        let unit = if setting.unit.is_empty() { String::new() } else { format!(" ({})", setting.unit) };
        text += &format!("\n# {}\n# Allowed: {}{unit}.\n", setting.doc, setting.allowed);
        text += &format!("# {}\n", setting.toml(&Settings::DEFAULT));
    }
    text
}
