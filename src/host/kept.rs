//! A number kept in a file of its own across starts: one line of a name, the number and a checksum.
//!
//! Such a file is replaced as a whole and never written over, so that a power loss leaves the one before or
//! the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Longer than any such file.
const BYTES_MAX: u64 = 64;

/// The file's bytes, of a longer one its beginning; `None` if there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file anew, on disk when this returns: the new one takes the old one's place. `written` is in the
/// same folder, and nobody else's.
pub(super) fn replace(path: &Path, written: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(written)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(written, path)?;
    // The name is the folder's.
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// The number as the file named `format` holds it.
pub(super) fn line(format: &str, number: i64) -> String {
    let text = format!("{format} {number}");
    format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

/// The number of a file; `None` if the bytes are none that [`line`] wrote.
pub(super) fn parse(format: &str, bytes: &[u8]) -> Option<i64> {
    let number = std::str::from_utf8(bytes).ok()?.split(' ').nth(1)?.parse().ok()?;
    // Writing it again is the check: one form, one checksum, no leading zeros or blanks.
    (line(format, number).as_bytes() == bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMAT: &str = "qtx-test-1";

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let whole = line(FORMAT, 1_700_000_000).into_bytes();
        for length in 0..whole.len() {
            assert_eq!(parse(FORMAT, &whole[..length]), None, "{length} bytes");
        }
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(FORMAT, &damaged), None, "bit {bit}");
        }
        assert_eq!(parse("qtx-other-1", &whole), None);
        assert_eq!(parse(FORMAT, &[whole.clone(), whole].concat()), None);
    }

    #[test]
    fn a_long_file_is_read_in_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        assert_eq!(read(&path).unwrap(), None);
        fs::write(&path, vec![b'0'; 1 << 20]).unwrap();
        assert_eq!(read(&path).unwrap().map(|bytes| bytes.len()), Some(65));
        assert!(read(dir.path()).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_in_the_file(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(parse(FORMAT, &bytes), None);
        }

        #[test]
        fn any_number_reads_back(number: i64) {
            prop_assert_eq!(parse(FORMAT, line(FORMAT, number).as_bytes()), Some(number));
        }
    }
}
