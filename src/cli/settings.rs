//! Settings from flags, environment, file and preset.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::risk::config::{Loaded, Preset, load};

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
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::refused(format!("--set {pair:?}: NAME=VALUE is allowed")))?;
            flags.push((name.to_string(), value.to_string()));
        }
        if let Some(bar) = &self.bar {
            flags.push(("QT_BAR_INTERVAL".to_string(), bar.clone()));
        }
        let file = match &self.config {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Failure::refused(format!("{}: can't read: {error}", path.display())))?;
                Some((path.display().to_string(), text))
            }
        };
        let file = file.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
        Ok(load(&flags, std::env::vars_os(), file, preset)?)
    }
}
