//! One engine for each account and order prefix on this host, and the epochs of its order ids.
//!
//! Both live in the user's state folder (`$XDG_STATE_HOME/qtx`, by default `~/.local/state/qtx`), which
//! survives a reboot: a lock in a run-time folder and epochs elsewhere would be two truths. For each
//! account there are two files, named by a hash of venue, key and prefix, so that the key itself is not
//! on disk:
//!
//! | file | is |
//! |---|---|
//! | `<hash>.lock` | locked while an engine runs; holds its process id |
//! | `<hash>.epoch` | the last epoch issued; replaced as a whole, never written over |
//! | `<hash>.damaged-<n>` | an epoch file that did not hold one, kept for whoever asks why |
//! | `<hash>.ban` | of the venue alone: see [`super::ban`] |
//!
//! An epoch is on disk before it is returned, and is above every one before it. If the file is damaged
//! all the same, the next epoch is the wall clock plus [`DAMAGED_MARGIN_S`], and once more for each time
//! that happened before: epochs are at least Unix seconds, and run ahead of them by a second for each
//! start that came within a second of another. What this can't see is a file that was deleted while the
//! clock was set back, or damaged while it was set back by more than the margin.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::ban::BanFile;
use super::kept;
use crate::num::{NS_PER_SEC, TimeNs};

/// A day: the epochs lost with a damaged file were ahead of the clock by fewer seconds than there were
/// starts, and no machine starts an engine 86,400 times faster than once a second.
pub const DAMAGED_MARGIN_S: u32 = 86_400;
const FOLDER: &str = "qtx";
const FORMAT: &str = "qtx-epoch-1";
/// Longer than any process id in a lock.
const LOCK_BYTES_MAX: u64 = 64;
/// Hex digits of a file's name: half of a SHA-256, which no two accounts share.
const HASH_DIGITS: usize = 32;

/// Whose orders they are.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Address of the venue's order entry.
    pub venue: &'a str,
    pub api_key: &'a str,
    /// What its client order ids begin with.
    pub prefix: &'a str,
}

impl Account<'_> {
    /// Names its files.
    fn hash(&self) -> String {
        hash(&[self.venue, self.api_key, self.prefix])
    }
}

/// Lengths are part of what is hashed, so that no two accounts run together.
fn hash(parts: &[&str]) -> String {
    let mut text = Vec::new();
    for part in parts {
        text.extend((part.len() as u64).to_le_bytes());
        text.extend(part.as_bytes());
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    let mut hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(HASH_DIGITS);
    hex
}

/// Why an account can't be taken, or its next epoch not issued.
#[derive(Debug, thiserror::Error)]
pub enum AccountLockError {
    #[error("no folder to keep order epochs in: set XDG_STATE_HOME or HOME to an absolute path")]
    NoHome,
    #[error("{}: belongs to user {owner}, not to us ({user})", path.display())]
    NotOurs { path: PathBuf, owner: u32, user: u32 },
    #[error("{}: others may write to it (mode {mode:o}): chmod 700 it", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error(
        "another engine ({holder}) trades this account with order prefix {prefix}: stop it, or give this \
         one another prefix (QT_ORDER_PREFIX)"
    )]
    Held { holder: String, prefix: String },
    #[error("{}: can't {doing}: {source}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("{}: the last epoch ({last}) leaves none above it: use another order prefix", path.display())]
    Exhausted { path: PathBuf, last: u32 },
}

impl AccountLockError {
    fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> AccountLockError {
        move |source| AccountLockError::Io { path: path.to_path_buf(), doing, source }
    }
}

/// The folder by the environment: pass [`std::env::var_os`].
///
/// # Errors
/// [`AccountLockError::NoHome`] if neither variable holds an absolute path; others are passed over, as
/// the XDG specification asks.
pub fn state_dir(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<PathBuf, AccountLockError> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    absolute("XDG_STATE_HOME").or_else(home).map(|dir| dir.join(FOLDER)).ok_or(AccountLockError::NoHome)
}

/// An epoch, and whether the file said what came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// High half of the order ids; above every one before.
    pub value: u32,
    /// What was wrong with the file, if something was: the operator should know.
    pub damage: Option<String>,
}

/// An account held by this process until it is dropped.
#[derive(Debug)]
pub struct AccountLock {
    _lock: File,
    dir: PathBuf,
    epoch: PathBuf,
}

impl AccountLock {
    /// Takes the account; makes `dir`, owner-only, if it is missing.
    ///
    /// # Errors
    /// [`AccountLockError::Held`] names the process that has it; a folder that is not ours alone is
    /// refused, since who writes there decides which ids are issued.
    pub fn acquire(dir: &Path, account: &Account<'_>) -> Result<AccountLock, AccountLockError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(AccountLockError::io(dir, "create the folder"))?;
        ours_alone(dir)?;
        let hash = account.hash();
        let path = dir.join(format!("{hash}.lock"));
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(AccountLockError::io(&path, "open the lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let prefix = account.prefix.to_string();
                return Err(AccountLockError::Held { holder: holder(&mut lock), prefix });
            }
            Err(errno) => return Err(AccountLockError::io(&path, "lock the account")(errno.into())),
        }
        note_holder(&mut lock).map_err(AccountLockError::io(&path, "write to the lock"))?;
        let epoch = dir.join(format!("{hash}.epoch"));
        Ok(AccountLock { _lock: lock, dir: dir.to_path_buf(), epoch })
    }

    /// Issues the next epoch: the wall clock's seconds, or one above the last if that is more. It is on
    /// disk when this returns.
    pub fn next_epoch(&mut self, wall: TimeNs) -> Result<Epoch, AccountLockError> {
        let now_s = u32::try_from(wall.0 / NS_PER_SEC).unwrap_or(if wall.0 < 0 { 0 } else { u32::MAX });
        let (last, damage) = match self.last()? {
            Stored::Epoch(last) => (last, None),
            Stored::None => (Self::beyond_damage(now_s, self.damaged()), None),
            Stored::Damaged(what) => {
                let count = self.damaged() + 1;
                let kept = self.damaged_path(count);
                fs::rename(&self.epoch, &kept)
                    .map_err(AccountLockError::io(&kept, "keep the damaged epoch"))?;
                let damage = format!(
                    "{}: {what}, kept as {}; order epochs go on {} s ahead of the clock",
                    self.epoch.display(),
                    kept.display(),
                    count.saturating_mul(DAMAGED_MARGIN_S)
                );
                (Self::beyond_damage(now_s, count), Some(damage))
            }
        };
        let next = last
            .checked_add(1)
            .ok_or_else(|| AccountLockError::Exhausted { path: self.epoch.clone(), last })?;
        let value = next.max(now_s);
        self.store(value)?;
        Ok(Epoch { value, damage })
    }

    /// Above every epoch that `count` damaged files can have held; 0 if there is none. A start that died
    /// after putting a damaged file aside finds no epoch, and still its damage.
    fn beyond_damage(now_s: u32, count: u32) -> u32 {
        if count == 0 { 0 } else { now_s.saturating_add(count.saturating_mul(DAMAGED_MARGIN_S)) }
    }

    /// How often the file was found damaged before.
    fn damaged(&self) -> u32 {
        (1..).take_while(|count| self.damaged_path(*count).symlink_metadata().is_ok()).count() as u32
    }

    fn damaged_path(&self, count: u32) -> PathBuf {
        self.epoch.with_extension(format!("damaged-{count}"))
    }

    fn last(&self) -> Result<Stored, AccountLockError> {
        let bytes =
            kept::read(&self.epoch).map_err(AccountLockError::io(&self.epoch, "read the last epoch"))?;
        Ok(bytes.map_or(Stored::None, |bytes| parse(&bytes)))
    }

    fn store(&self, epoch: u32) -> Result<(), AccountLockError> {
        let written = self.epoch.with_extension("epoch-new");
        kept::replace(&self.epoch, &written, line(epoch).as_bytes())
            .map_err(AccountLockError::io(&self.epoch, "write the epoch"))
    }

    /// Where it is kept until when the venue wants to hear nothing: one file for all accounts at it.
    pub fn ban_file(&self, venue: &str) -> BanFile {
        let path = self.dir.join(format!("{}.ban", hash(&[venue])));
        BanFile::new(path, self.epoch.with_extension("ban-new"))
    }
}

enum Stored {
    /// Nothing was ever issued.
    None,
    Epoch(u32),
    Damaged(String),
}

fn line(epoch: u32) -> String {
    kept::line(FORMAT, epoch.into())
}

fn parse(bytes: &[u8]) -> Stored {
    match kept::parse(FORMAT, bytes).and_then(|epoch| u32::try_from(epoch).ok()) {
        Some(epoch) => Stored::Epoch(epoch),
        None => Stored::Damaged(format!("damaged ({} bytes that are not an epoch)", bytes.len())),
    }
}

fn ours_alone(dir: &Path) -> Result<(), AccountLockError> {
    let found = fs::metadata(dir).map_err(AccountLockError::io(dir, "look at the folder"))?;
    let (owner, user, mode) = (found.uid(), geteuid().as_raw(), found.mode() & 0o777);
    let path = dir.to_path_buf();
    if owner != user {
        return Err(AccountLockError::NotOurs { path, owner, user });
    }
    if mode & 0o022 != 0 {
        return Err(AccountLockError::Open { path, mode });
    }
    Ok(())
}

fn note_holder(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

/// Whoever holds the lock, in words. The file may be read between its locking and its writing.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.take(LOCK_BYTES_MAX).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(pid) if read.is_ok() => format!("process {pid}"),
        _ => "a process that is just starting".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    const ACCOUNT: Account<'_> = Account { venue: "https://venue.test", api_key: "key", prefix: "qt" };
    const WALL: TimeNs = TimeNs(1_700_000_000 * NS_PER_SEC);
    const WALL_S: u32 = 1_700_000_000;

    /// A folder as it would be, with its parents missing.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("state/qtx");
        (temp, dir)
    }

    fn issue(dir: &Path, wall: TimeNs) -> Epoch {
        AccountLock::acquire(dir, &ACCOUNT).unwrap().next_epoch(wall).unwrap()
    }

    fn epoch_file(dir: &Path) -> PathBuf {
        dir.join(format!("{}.epoch", ACCOUNT.hash()))
    }

    #[test]
    fn one_engine_an_account_and_prefix() {
        let (_temp, dir) = folder();
        let held = AccountLock::acquire(&dir, &ACCOUNT).unwrap();
        let error = AccountLock::acquire(&dir, &ACCOUNT).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(error.starts_with(&format!("another engine (process {pid}) trades this account")), "{error}");
        assert!(error.contains("QT_ORDER_PREFIX"), "{error}");
        for other in [
            Account { prefix: "q", ..ACCOUNT },
            Account { api_key: "other", ..ACCOUNT },
            Account { venue: "https://venue.testkey", api_key: "", ..ACCOUNT },
        ] {
            AccountLock::acquire(&dir, &other).unwrap();
        }
        drop(held);
        AccountLock::acquire(&dir, &ACCOUNT).unwrap();
        let names: Vec<String> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.iter().all(|name| !name.contains("key")), "{names:?}");
    }

    #[test]
    fn epochs_rise_with_the_clock_and_without_it() {
        let (_temp, dir) = folder();
        assert_eq!(issue(&dir, WALL), Epoch { value: WALL_S, damage: None });
        assert_eq!(issue(&dir, WALL).value, WALL_S + 1, "two starts within a second");
        assert_eq!(issue(&dir, WALL - 3_600 * NS_PER_SEC).value, WALL_S + 2, "a clock set back");
        assert_eq!(issue(&dir, TimeNs(-1)).value, WALL_S + 3, "a clock before 1970");
        assert_eq!(issue(&dir, WALL + 60 * NS_PER_SEC).value, WALL_S + 60);
        let mut lock = AccountLock::acquire(&dir, &ACCOUNT).unwrap();
        assert_eq!(lock.next_epoch(WALL).unwrap().value, WALL_S + 61);
        assert_eq!(lock.next_epoch(WALL).unwrap().value, WALL_S + 62, "every call issues one");
    }

    #[test]
    fn there_is_a_last_epoch() {
        let (_temp, dir) = folder();
        assert_eq!(issue(&dir, TimeNs(i64::MAX)).value, u32::MAX);
        let error = AccountLock::acquire(&dir, &ACCOUNT).unwrap().next_epoch(WALL).unwrap_err();
        assert!(matches!(error, AccountLockError::Exhausted { last: u32::MAX, .. }), "{error}");
    }

    #[test]
    fn a_torn_file_goes_on_with_a_margin_and_says_so() {
        let whole = line(WALL_S + 5);
        for length in 0..whole.len() {
            let (_temp, dir) = folder();
            issue(&dir, WALL);
            fs::write(epoch_file(&dir), &whole[..length]).unwrap();
            let epoch = issue(&dir, WALL);
            assert_eq!(epoch.value, WALL_S + DAMAGED_MARGIN_S + 1, "{length} bytes");
            let damage = epoch.damage.unwrap();
            assert!(damage.contains(".epoch: damaged") && damage.contains("86400 s"), "{damage}");
            let next = issue(&dir, WALL);
            assert_eq!(next, Epoch { value: WALL_S + DAMAGED_MARGIN_S + 2, damage: None });
            // And once more within the same second.
            fs::write(epoch_file(&dir), &whole[..length]).unwrap();
            assert_eq!(issue(&dir, WALL).value, WALL_S + 2 * DAMAGED_MARGIN_S + 1);
            // A start that died after putting it aside.
            fs::remove_file(epoch_file(&dir)).unwrap();
            assert_eq!(issue(&dir, WALL + NS_PER_SEC).value, WALL_S + 2 * DAMAGED_MARGIN_S + 2);
        }
    }

    #[test]
    fn a_number_that_is_no_epoch_is_damage() {
        for number in [-1, i64::from(u32::MAX) + 1] {
            assert!(matches!(parse(kept::line(FORMAT, number).as_bytes()), Stored::Damaged(_)), "{number}");
        }
        assert!(matches!(parse(kept::line("qtx-ban-1", 7).as_bytes()), Stored::Damaged(_)));
        assert!(matches!(parse(line(u32::MAX).as_bytes()), Stored::Epoch(u32::MAX)));
    }

    /// A crash before the rename leaves the new file beside the old one: the old one counts.
    #[test]
    fn a_start_that_died_half_way_changes_nothing() {
        let (_temp, dir) = folder();
        issue(&dir, WALL);
        fs::write(epoch_file(&dir).with_extension("epoch-new"), "qtx-epo").unwrap();
        assert_eq!(issue(&dir, WALL), Epoch { value: WALL_S + 1, damage: None });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Starts, clocks that jump by up to an hour either way, files torn in between: less than a day
        /// back in all.
        #[test]
        fn no_epoch_is_issued_twice(
            starts in prop::collection::vec((-3_600i64..3_600, prop::option::of(0usize..28)), 1..20),
        ) {
            let (_temp, dir) = folder();
            let (mut wall, mut last) = (WALL, 0);
            for (jump_s, torn) in starts {
                wall = wall + jump_s * NS_PER_SEC;
                if let (Some(length), Ok(text)) = (torn, fs::read(epoch_file(&dir))) {
                    fs::write(epoch_file(&dir), &text[..length.min(text.len() - 1)]).unwrap();
                }
                let epoch = issue(&dir, wall).value;
                prop_assert!(epoch > last, "{epoch} after {last}");
                last = epoch;
            }
        }
    }

    #[test]
    fn a_folder_that_others_write_to_is_refused() {
        let (_temp, dir) = folder();
        issue(&dir, WALL);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        for mode in [0o777, 0o720, 0o702] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            let error = AccountLock::acquire(&dir, &ACCOUNT).unwrap_err();
            assert!(matches!(error, AccountLockError::Open { .. }), "{error}");
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        issue(&dir, WALL);
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let (_temp, dir) = folder();
        fs::create_dir_all(&dir).unwrap();
        // Only root can give a folder away; everybody else has one of root's at hand.
        let theirs =
            if std::os::unix::fs::chown(&dir, Some(12_345), None).is_ok() { &dir } else { Path::new("/") };
        let error = AccountLock::acquire(theirs, &ACCOUNT).unwrap_err();
        assert!(matches!(error, AccountLockError::NotOurs { .. }), "{error}");
    }

    #[test]
    fn the_folder_comes_from_the_environment() {
        let env = |pairs: &'static [(&str, &str)]| {
            state_dir(move |name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(env(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]).unwrap(), Path::new("/s/qtx"));
        assert_eq!(
            env(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]).unwrap(),
            Path::new("/h/.local/state/qtx")
        );
        assert_eq!(env(&[("HOME", "/h")]).unwrap(), Path::new("/h/.local/state/qtx"));
        for none in [&[][..], &[("HOME", "")], &[("HOME", "h")]] {
            assert!(matches!(env(none), Err(AccountLockError::NoHome)));
        }
    }
}
