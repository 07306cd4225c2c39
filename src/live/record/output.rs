//! A frames file being written: `recv_ns<TAB>raw`, one a line, as `sim::market::Frames` reads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zstd::stream::write::Encoder;

use super::RecordError;
use crate::num::TimeNs;

/// Names that end in it are compressed.
const ZSTD_SUFFIX: &str = "zst";
/// Market data shrinks to a tenth at this level, in a few percent of a core.
const ZSTD_LEVEL: i32 = 3;
const BUFFER_BYTES: usize = 256 * 1024;

enum Writer {
    Plain(BufWriter<File>),
    Compressed(Encoder<'static, BufWriter<File>>),
}

impl Writer {
    fn as_write(&mut self) -> &mut dyn Write {
        match self {
            Writer::Plain(file) => file,
            Writer::Compressed(encoder) => encoder,
        }
    }
}

/// The file.
pub struct FramesFile {
    path: PathBuf,
    /// It was not there before: a file, and ours.
    is_new: bool,
    writer: Writer,
    /// Line breaks that stood inside a frame.
    mended: u64,
}

impl FramesFile {
    /// Makes the file; compressed if its name ends in `.zst`.
    ///
    /// # Errors
    /// [`RecordError::Exists`] for one that is there, unless `replace`.
    pub fn create(path: &Path, replace: bool) -> Result<FramesFile, RecordError> {
        let mut options = OpenOptions::new();
        options.write(true);
        if replace {
            options.create(true).truncate(true)
        } else {
            options.create_new(true)
        };
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => RecordError::Exists { path: path.to_path_buf() },
            _ => RecordError::io(path, "create")(error),
        })?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let compressed = path.extension().is_some_and(|extension| extension == ZSTD_SUFFIX);
        let writer = if compressed {
            let encoder = Encoder::new(file, ZSTD_LEVEL).and_then(|mut encoder| {
                // A reader then knows damage from data.
                encoder.include_checksum(true)?;
                Ok(encoder)
            });
            Writer::Compressed(encoder.map_err(RecordError::io(path, "compress"))?)
        } else {
            Writer::Plain(file)
        };
        Ok(FramesFile { path: path.to_path_buf(), is_new: !replace, writer, mended: 0 })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Line breaks inside frames that became blanks: a frame is a line, and JSON has the two mean the
    /// same.
    pub fn mended(&self) -> u64 {
        self.mended
    }

    /// Writes a frame. `recv_ns` is not below the one before it: the caller's clock sees to that.
    pub fn frame(&mut self, recv_ns: TimeNs, payload: &[u8]) -> Result<(), RecordError> {
        let out = self.writer.as_write();
        let mut write = || {
            write!(out, "{}\t", recv_ns.0)?;
            for (i, part) in payload.split(|byte| *byte == b'\n').enumerate() {
                if i > 0 {
                    out.write_all(b" ")?;
                    self.mended += 1;
                }
                out.write_all(part)?;
            }
            out.write_all(b"\n")
        };
        write().map_err(RecordError::io(&self.path, "write"))?;
        Ok(())
    }

    /// Everything so far can be read from the file.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.writer.as_write().flush().map_err(RecordError::io(&self.path, "write"))
    }

    /// Ends the file in order; its size.
    pub fn finish(self) -> Result<u64, RecordError> {
        let FramesFile { path, writer, .. } = self;
        let file = match writer {
            Writer::Plain(file) => Ok(file),
            Writer::Compressed(encoder) => encoder.finish(),
        };
        file.and_then(|file| file.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| {
                file.sync_all()?;
                file.metadata()
            })
            .map(|file| file.len())
            .map_err(RecordError::io(&path, "write"))
    }

    /// Removes the file of a recording that never began, unless something else stood there before: that
    /// may be a device.
    pub fn discard(self) {
        if self.is_new {
            // It holds nothing; what kept the recording from beginning is what must be heard.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::market::{Frames, MarketSource};

    fn read(path: &Path) -> Vec<(i64, Vec<u8>)> {
        let mut frames = Frames::open(path).unwrap();
        let mut frame = Vec::new();
        std::iter::from_fn(|| Some((frames.next_frame(&mut frame).unwrap()?.0, frame.clone()))).collect()
    }

    #[test]
    fn what_is_written_is_what_the_market_reads() {
        let folder = tempfile::tempdir().unwrap();
        let frames: &[(i64, &[u8])] =
            &[(5, b"{\"a\":1}"), (5, b""), (7, b"\xff\ttab\r"), (9, &[b'x'; 60_000])];
        for name in ["plain.tsv", "packed.tsv.zst"] {
            let path = folder.path().join(name);
            let mut file = FramesFile::create(&path, false).unwrap();
            for (i, (recv_ns, raw)) in frames.iter().enumerate() {
                file.frame(TimeNs(*recv_ns), raw).unwrap();
                if i == 1 {
                    file.flush().unwrap();
                    assert!(fs::metadata(&path).unwrap().len() > 0, "readable while it is written");
                }
            }
            assert_eq!(file.mended(), 0);
            let size = file.finish().unwrap();
            assert_eq!(size, fs::metadata(&path).unwrap().len());
            assert_eq!(read(&path), frames.iter().map(|(at, raw)| (*at, raw.to_vec())).collect::<Vec<_>>());
        }
        let packed = fs::read(folder.path().join("packed.tsv.zst")).unwrap();
        assert_eq!(packed[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    }

    #[test]
    fn a_line_break_in_a_frame_does_not_break_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        let mut file = FramesFile::create(&path, false).unwrap();
        file.frame(TimeNs(1), b"{\n\"a\":1\n}").unwrap();
        assert_eq!(file.mended(), 2);
        file.finish().unwrap();
        assert_eq!(read(&path), [(1, b"{ \"a\":1 }".to_vec())]);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        fs::write(&path, "1\told\n").unwrap();
        let error = FramesFile::create(&path, false).err().unwrap();
        assert!(error.to_string().ends_with("a.tsv: is there already; --force replaces it"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"1\told\n");
        FramesFile::create(&path, true).unwrap().finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        let error = FramesFile::create(&folder.path().join("no/such/a.tsv"), false).err().unwrap();
        assert!(error.to_string().contains("can't create"), "{error}");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["full.tsv", "full.tsv.zst"] {
            let path = folder.path().join(name);
            std::os::unix::fs::symlink("/dev/full", &path).unwrap();
            let mut file = FramesFile::create(&path, true).unwrap();
            file.frame(TimeNs(1), b"frame").unwrap();
            let error = file.flush().unwrap_err().to_string();
            assert!(error.contains(&format!("{name}: can't write: No space left on device")), "{error}");
            assert!(file.finish().is_err());
        }
    }
}
