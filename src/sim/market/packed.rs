//! Files as they lie on a disk: plain, compressed with zstd, or in a zip archive as the venue
//! publishes its data. Told by their first bytes, whatever the name says; streamed in constant memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::SourceError;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ZIP_MAGIC: [u8; 4] = *b"PK\x03\x04";
/// Largest window a stream may ask memory for: 128 MB, what `zstd --long` writes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const BUFFER_BYTES: usize = 128 * 1024;
/// An archive of the venue holds one table. The directory is read whole, so its size is bounded first.
const ZIP_FILES: &str = "a zip archive of one file, stored or deflated, without a password";

/// How far files have been read, in bytes as they lie on the disk: what a progress bar goes by.
#[derive(Clone, Debug, Default)]
pub struct BytesRead(Arc<AtomicU64>);

impl BytesRead {
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted {
    file: File,
    read: BytesRead,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.0.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Opens the content of `path`; `read` counts what is read of the file.
///
/// # Errors
/// What the system says, and what is no archive we read.
pub(super) fn open_reader(path: &Path, read: &BytesRead) -> Result<Box<dyn BufRead + Send>, SourceError> {
    let name = path.display().to_string();
    let io = |error: io::Error| SourceError::io(&name, 0, &error);
    let file = Counted { file: File::open(path).map_err(io)?, read: read.clone() };
    let mut plain = BufReader::with_capacity(BUFFER_BYTES, file);
    let head = plain.fill_buf().map_err(io)?;
    if head.starts_with(&ZIP_MAGIC) {
        return zipped(path, &name, read);
    }
    if !head.starts_with(&ZSTD_MAGIC) {
        return Ok(Box::new(plain));
    }
    let mut decoder = zstd::Decoder::with_buffer(plain).map_err(io)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(io)?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder)))
}

/// The only file of an archive. The archive is asked where it lies, and the bytes are then streamed
/// from the file itself: a reader that borrows the archive could not be handed on.
fn zipped(path: &Path, name: &str, read: &BytesRead) -> Result<Box<dyn BufRead + Send>, SourceError> {
    let refuse = |found: &str| SourceError::new(name, 0, "zip archive", found.as_bytes(), ZIP_FILES);
    let io = |error: io::Error| SourceError::io(name, 0, &error);
    let file = File::open(path).map_err(io)?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| refuse(&error.to_string()))?;
    if archive.len() != 1 {
        return Err(refuse(&format!("{} files", archive.len())));
    }
    let entry = archive.by_index_raw(0).map_err(|error| refuse(&error.to_string()))?;
    if entry.encrypted() || entry.is_dir() {
        return Err(refuse(if entry.encrypted() { "encrypted" } else { "a folder" }));
    }
    let (method, packed) = (entry.compression(), entry.compressed_size());
    let (crc32, length) = (entry.crc32(), entry.size());
    let Some(start) = entry.data_start() else { return Err(refuse("no data")) };
    let mut file = File::open(path).map_err(io)?;
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let file = Counted { file, read: read.clone() };
    let stream = BufReader::with_capacity(BUFFER_BYTES, file.take(packed));
    let checked = |reader| Checked { reader, crc: Crc::new(), left: length, crc32 };
    let reader: Box<dyn Read + Send> = match method {
        CompressionMethod::Stored => Box::new(stream),
        CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(stream)),
        other => return Err(refuse(&other.to_string())),
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, checked(reader))))
}

/// A file of an archive, held to the length and checksum the archive states.
struct Checked<R> {
    reader: R,
    crc: Crc,
    /// Bytes still to come.
    left: u64,
    crc32: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let damaged = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let read = self.reader.read(buffer)?;
        self.crc.update(buffer.get(..read).unwrap_or_default());
        match self.left.checked_sub(read as u64) {
            None => damaged("the zip archive holds more than it states"),
            Some(left) if read == 0 && !buffer.is_empty() => match left {
                0 if self.crc.sum() == self.crc32 => Ok(0),
                0 => damaged("the zip archive's checksum differs"),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            },
            Some(left) => {
                self.left = left;
                Ok(read)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive(method: CompressionMethod, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut content = Vec::new();
        let read = BytesRead::default();
        let mut reader = open_reader(file.path(), &read).map_err(|error| error.to_string())?;
        reader.read_to_end(&mut content).map_err(|error| error.to_string())?;
        // A zip archive's directory is read by somebody else.
        assert!((1..=2 * bytes.len() as u64).contains(&read.bytes()) || bytes.is_empty());
        Ok(content)
    }

    #[test]
    fn plain_zstd_and_zip_hold_the_same() {
        let text: Vec<u8> = (0..100_000).flat_map(|i: u32| format!("{i},{}\n", i * 7).into_bytes()).collect();
        assert_eq!(read(&text).unwrap(), text);
        assert_eq!(read(&zstd::encode_all(&text[..], 3).unwrap()).unwrap(), text);
        for method in [CompressionMethod::Stored, CompressionMethod::DEFLATE] {
            assert_eq!(read(&archive(method, &[("a.csv", &text)])).unwrap(), text, "{method}");
        }
    }

    #[test]
    fn what_is_no_archive_of_one_file_is_refused_in_words() {
        let stored = CompressionMethod::Stored;
        let two = archive(stored, &[("a.csv", b"1"), ("b.csv", b"2")]);
        for (bytes, word) in [
            (two, "2 files"),
            (archive(stored, &[("a/", b"")]), "a folder"),
            (b"PK\x03\x04rest".to_vec(), "zip archive"),
        ] {
            let refusal = read(&bytes).unwrap_err();
            assert!(refusal.contains(word) && refusal.contains("of one file"), "{refusal}");
        }
    }

    #[test]
    fn a_damaged_archive_is_not_taken_for_a_whole_one() {
        let text = vec![b'7'; 10_000];
        let good = archive(CompressionMethod::Stored, &[("a.csv", &text)]);
        let mut flipped = good.clone();
        flipped[5_000] ^= 1;
        assert!(read(&flipped).unwrap_err().contains("checksum"));
        let mut deflated = archive(CompressionMethod::DEFLATE, &[("a.csv", &text)]);
        deflated[50] ^= 0xff;
        assert!(read(&deflated).is_err());
    }
}
