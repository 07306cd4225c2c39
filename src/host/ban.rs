//! Until when a venue wants to hear nothing from this machine, kept across starts: who asks during a ban
//! makes it longer.
//!
//! A ban is on an address of the network, so the file is the venue's, whoever's account it was:
//! `<hash>.ban` in the state folder, named by a hash of the venue's address. It is replaced as a whole,
//! and on disk before it is relied on.

use std::io;
use std::path::PathBuf;

use super::kept;
use crate::num::{NS_PER_DAY, NS_PER_SEC, TimeNs};

const FORMAT: &str = "qtx-ban-1";
/// No ban lasts longer than three days; an hour more, for the venue's clock says when it ends and the host's how
/// long that is. A file that says more was written under another clock.
const BAN_NS_MAX: i64 = 3 * NS_PER_DAY + 3_600 * NS_PER_SEC;

/// The file of a venue.
#[derive(Clone, Debug)]
pub struct BanFile {
    path: PathBuf,
    /// Beside it, and of one engine alone: what is written before it takes the file's place.
    written: PathBuf,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ban {
    /// Nothing, or of a time that is over.
    Over,
    Until(TimeNs),
    /// Nothing that can be believed; what was wrong, in words.
    Unreadable(String),
}

impl BanFile {
    pub(super) fn new(path: PathBuf, written: PathBuf) -> BanFile {
        BanFile { path, written }
    }

    /// What is known at this time of the wall's clock.
    pub fn read(&self, wall: TimeNs) -> Ban {
        let told = |what: String| Ban::Unreadable(format!("{}: {what}", self.path.display()));
        let bytes = match kept::read(&self.path) {
            Err(error) => return told(format!("can't be read ({error})")),
            Ok(None) => return Ban::Over,
            Ok(Some(bytes)) => bytes,
        };
        match parse(&bytes) {
            None => told(format!("damaged ({} bytes that are no ban)", bytes.len())),
            Some(until) if until <= wall => Ban::Over,
            Some(until) if until.since(wall) > BAN_NS_MAX => {
                told(format!("a ban until {until} is longer than any: the clock was set back"))
            }
            Some(until) => Ban::Until(until),
        }
    }

    /// Keeps a ban, by the wall's clock; one that ends later stays. On disk when this returns.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn keep(&self, until: TimeNs, wall: TimeNs) -> io::Result<()> {
        match self.read(wall) {
            Ban::Until(before) if before >= until => Ok(()),
            _ => kept::replace(&self.path, &self.written, line(until).as_bytes()),
        }
    }
}

/// Whole seconds, and never too early.
fn line(until: TimeNs) -> String {
    let seconds = until.0.div_euclid(NS_PER_SEC) + i64::from(until.0.rem_euclid(NS_PER_SEC) > 0);
    kept::line(FORMAT, seconds)
}

fn parse(bytes: &[u8]) -> Option<TimeNs> {
    kept::parse(FORMAT, bytes)?.checked_mul(NS_PER_SEC).map(TimeNs)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const WALL: TimeNs = TimeNs(1_700_000_000 * NS_PER_SEC);

    fn file() -> (tempfile::TempDir, BanFile) {
        let dir = tempfile::tempdir().unwrap();
        let file = BanFile::new(dir.path().join("venue.ban"), dir.path().join("account.ban-new"));
        (dir, file)
    }

    #[test]
    fn a_ban_is_kept_until_it_is_over() {
        let (_dir, file) = file();
        assert_eq!(file.read(WALL), Ban::Over);
        let until = WALL + 120 * NS_PER_SEC;
        file.keep(until - 1, WALL).unwrap();
        assert_eq!(file.read(WALL), Ban::Until(until), "whole seconds, and never too early");
        assert_eq!(file.read(until - 1), Ban::Until(until));
        assert_eq!(file.read(until), Ban::Over);
        file.keep(WALL + 60 * NS_PER_SEC, WALL).unwrap();
        assert_eq!(file.read(WALL), Ban::Until(until), "the later one");
        let again = until + 5 * NS_PER_SEC;
        file.keep(again, until).unwrap();
        assert_eq!(file.read(until), Ban::Until(again));
    }

    #[test]
    fn what_is_damaged_is_said_and_replaced() {
        let (_dir, file) = file();
        let whole = line(WALL + NS_PER_SEC);
        for length in 0..whole.len() {
            fs::write(&file.path, &whole[..length]).unwrap();
            let Ban::Unreadable(said) = file.read(WALL) else { panic!("{length} bytes") };
            assert!(said.contains("venue.ban: damaged"), "{said}");
            file.keep(WALL + 9 * NS_PER_SEC, WALL).unwrap();
            assert_eq!(file.read(WALL), Ban::Until(WALL + 9 * NS_PER_SEC));
        }
        for number in [i64::MIN, i64::MAX / NS_PER_SEC + 1] {
            assert_eq!(parse(kept::line(FORMAT, number).as_bytes()), None, "{number}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_is_noticed() {
        let (_dir, file) = file();
        let (until, hour) = (WALL + 3 * NS_PER_DAY, 3_600 * NS_PER_SEC);
        file.keep(until, WALL).unwrap();
        assert_eq!(file.read(WALL), Ban::Until(until));
        assert_eq!(file.read(WALL - hour), Ban::Until(until), "the host's clock was behind the venue's");
        let Ban::Unreadable(said) = file.read(WALL - hour - NS_PER_SEC) else { panic!() };
        assert!(said.contains("set back"), "{said}");
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let (dir, file) = file();
        drop(dir);
        assert!(file.keep(WALL + NS_PER_SEC, WALL).is_err());
    }

    proptest! {
        #[test]
        fn any_time_reads_back(seconds in -4_000_000_000i64..9_000_000_000) {
            let until = TimeNs(seconds * NS_PER_SEC);
            prop_assert_eq!(parse(line(until).as_bytes()), Some(until));
        }
    }
}
