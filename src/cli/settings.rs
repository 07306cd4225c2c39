//! Settings from flags, environment, file and preset.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, read_file};
use crate::risk::config::{Loaded, Preset, load};

/// The example file has a tenth of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Flags every command that has settings takes.
#[derive(Args, Debug, Default)]
pub struct SettingsArgs {
    /// Settings file (TOML); `qtx config --example` prints one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A setting by name; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Length of a bar, as in QT_BAR_INTERVAL: 1s, 5s, 1m, 15m, 1h, 1d
    #[arg(long, value_name = "INTERVAL")]
    pub bar: Option<String>,
}

impl SettingsArgs {
    /// Flag over environment over file over preset over default.
    pub fn load(&self, preset: Option<&Preset>) -> Result<Loaded, Failure> {
        let mut flags = Vec::new();
        for pair in &self.set {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                let allowed = "NAME=VALUE, such as RM_MIN_CONFIDENCE=0.8";
                Failure::refused(format!("--set {pair:?} is not allowed: {allowed}"))
            })?;
            flags.push((name.to_string(), value.to_string()));
        }
        if let Some(bar) = &self.bar {
            flags.push(("QT_BAR_INTERVAL".to_string(), bar.clone()));
        }
        let file = match &self.config {
            None => None,
            Some(path) => {
                let text = String::from_utf8(read_file(path, FILE_BYTES_MAX)?)
                    .map_err(|_| Failure::refused(format!("{}: not UTF-8 text", path.display())))?;
                Some((path.display().to_string(), text))
            }
        };
        let file = file.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
        Ok(load(&flags, std::env::vars_os(), file, preset)?)
    }
}
