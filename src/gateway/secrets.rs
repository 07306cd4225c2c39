//! Where the keys come from: environment variables, or files that nobody else may read.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::venue::binance::sign::{Credentials, SecretError};

pub const API_KEY: &str = "QT_API_KEY";
pub const API_KEY_FILE: &str = "QT_API_KEY_FILE";
pub const API_SECRET: &str = "QT_API_SECRET";
pub const API_SECRET_FILE: &str = "QT_API_SECRET_FILE";

/// A key pair in PEM has a few hundred bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Why there are no credentials. None of them repeats what a variable or a file holds.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("{value} or {file} must be set: this needs an API key")]
    Missing { value: &'static str, file: &'static str },
    #[error("{value} and {file} are both set: one is enough, and it must be clear which")]
    Both { value: &'static str, file: &'static str },
    #[error("{name}: the value is not UTF-8")]
    NotUtf8 { name: &'static str },
    #[error("{name}: {path}: {error}")]
    Read { name: &'static str, path: PathBuf, error: std::io::Error },
    #[error("{name}: {path} is longer than {FILE_BYTES_MAX} bytes")]
    TooLong { name: &'static str, path: PathBuf },
    #[error(
        "{name}: {path} can be read or written by others (mode {mode:04o}): chmod 600 it, \
         and think of the key as known"
    )]
    Open { name: &'static str, path: PathBuf, mode: u32 },
    #[error("{name}: {path} belongs to another user")]
    NotOurs { name: &'static str, path: PathBuf },
    #[error("{API_KEY} and {API_SECRET}: {0}")]
    Secret(#[from] SecretError),
}

/// Reads the credentials. `variable` looks a variable up in the environment.
///
/// # Errors
/// A key or secret that is given twice or not at all, a file that cannot be read or that others could,
/// and text that is no secret.
pub fn credentials(variable: impl Fn(&str) -> Option<OsString>) -> Result<Credentials, CredentialsError> {
    let key = secret(&variable, API_KEY, API_KEY_FILE)?;
    let secret = secret(&variable, API_SECRET, API_SECRET_FILE)?;
    Ok(Credentials::new(&key, &secret)?)
}

fn secret(
    variable: &impl Fn(&str) -> Option<OsString>,
    value: &'static str,
    file: &'static str,
) -> Result<String, CredentialsError> {
    match (variable(value), variable(file)) {
        (None, None) => Err(CredentialsError::Missing { value, file }),
        (Some(_), Some(_)) => Err(CredentialsError::Both { value, file }),
        (Some(text), None) => text.into_string().map_err(|_| CredentialsError::NotUtf8 { name: value }),
        (None, Some(path)) => read_private(file, Path::new(&path)),
    }
}

/// The text of a file that is ours alone. What was opened is what is checked, whatever the name means a
/// moment later.
fn read_private(name: &'static str, path: &Path) -> Result<String, CredentialsError> {
    let path_buf = || path.to_path_buf();
    let failed = |error| CredentialsError::Read { name, path: path_buf(), error };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o7777;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(CredentialsError::NotOurs { name, path: path_buf() });
    }
    if mode & 0o077 != 0 {
        return Err(CredentialsError::Open { name, path: path_buf(), mode });
    }
    let mut text = String::new();
    file.by_ref().take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(CredentialsError::TooLong { name, path: path_buf() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    fn read(variables: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
        credentials(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn from_variables_and_from_private_files() {
        assert!(read(&[(API_KEY, "key"), (API_SECRET, "secret")]).is_ok());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "hunter2\n").unwrap();
        let with_file = [(API_KEY, "key"), (API_SECRET_FILE, path.to_str().unwrap())];
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let result = read(&with_file);
            assert_eq!(result.is_ok(), fine, "{mode:o}");
            if let Err(error) = result {
                let text = error.to_string();
                assert!(text.contains("chmod 600") && text.contains(&format!("{mode:04o}")), "{text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "x".repeat(20_000)).unwrap();
        assert!(read(&with_file).unwrap_err().to_string().contains("longer than"));
    }

    #[test]
    fn what_is_missing_or_doubled_is_named() {
        let error = |variables: &[(&str, &str)]| read(variables).unwrap_err().to_string();
        assert!(error(&[]).contains("QT_API_KEY or QT_API_KEY_FILE"));
        assert!(error(&[(API_KEY, "k")]).contains("QT_API_SECRET or QT_API_SECRET_FILE"));
        let both = [(API_KEY, "k"), (API_SECRET, "top"), (API_SECRET_FILE, "/dev/null")];
        assert!(error(&both).contains("both set") && !error(&both).contains("top"));
        assert!(error(&[(API_KEY, "k"), (API_SECRET_FILE, "/nowhere")]).contains("/nowhere"));
        assert!(!error(&[(API_KEY, "k"), (API_SECRET, "two words")]).contains("words"));
    }
}
