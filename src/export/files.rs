//! The files of an export: written under temporary names, on disk before they get their own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::schema::{Cell, Row};
use super::{ExportError, Format, Options, Table};

/// What writes one table in one format.
pub(super) trait Writer {
    fn write(&mut self, cells: &[Cell]) -> io::Result<()>;

    /// Everything is in the file. `notes` are about the whole export, where the format has a place for them.
    fn finish(self: Box<Self>, notes: &[(String, String)]) -> io::Result<Finished>;
}

pub(super) struct Finished {
    pub file: File,
    /// Decimals the format can't hold, which were left out.
    pub beyond: u64,
}

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    pub path: PathBuf,
    pub bytes: u64,
    /// Decimals of more than 38 digits, which a Parquet file can't hold: they are none there.
    pub decimals_left_out: u64,
}

/// All files being written.
pub(super) struct Files {
    dir: PathBuf,
    files: Vec<Open>,
    /// Rows by table, in the order of [`Table::ALL`].
    rows: [u64; Table::ALL.len()],
}

struct Open {
    table: Table,
    path: PathBuf,
    part: Part,
    writer: Box<dyn Writer>,
}

/// A file under its temporary name; removed unless it was given its own.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already if it has its name.
        let _ = fs::remove_file(&self.0);
    }
}

impl Files {
    /// Makes the folder if need be, and opens a file for each table and format.
    ///
    /// # Errors
    /// A file that is there already, unless it may be replaced; what the system says.
    pub fn create(options: &Options) -> Result<Files, ExportError> {
        let dir = &options.to;
        fs::create_dir_all(dir).map_err(ExportError::at(dir, "make the folder"))?;
        let wanted = |table: &&Table| options.tables.contains(table);
        let mut named = Vec::new();
        for table in Table::ALL.iter().filter(wanted) {
            for format in options.format.each() {
                let path = dir.join(format!("{}.{}", table.as_str(), format.extension()));
                if !options.force && path.symlink_metadata().is_ok() {
                    return Err(ExportError::Exists { path });
                }
                named.push((*table, *format, path));
            }
        }
        let files = named.into_iter().map(|(table, format, path)| Open::create(table, format, path));
        let files = files.collect::<Result<_, _>>()?;
        Ok(Files { dir: dir.clone(), files, rows: [0; Table::ALL.len()] })
    }

    /// Whether rows of this table are wanted.
    pub fn has(&self, table: Table) -> bool {
        self.files.iter().any(|file| file.table == table)
    }

    pub fn put<R: Row>(&mut self, row: &R) -> Result<(), ExportError> {
        let cells = row.cells();
        self.rows[R::TABLE as usize] += 1; // as long as there are tables
        for file in self.files.iter_mut().filter(|file| file.table == R::TABLE) {
            file.writer.write(&cells).map_err(ExportError::at(&file.path, "write"))?;
        }
        Ok(())
    }

    /// Closes and syncs all files, then gives each its name.
    pub fn finish(self, notes: &[(String, String)]) -> Result<Vec<(Table, u64, Written)>, ExportError> {
        let mut done = Vec::new();
        for Open { table, path, part, writer } in self.files {
            let finished = writer.finish(notes).and_then(|finished| {
                finished.file.sync_all()?;
                Ok((finished.file.metadata()?.len(), finished.beyond))
            });
            let (bytes, decimals_left_out) = finished.map_err(ExportError::at(&path, "write"))?;
            done.push((table, part, Written { path, bytes, decimals_left_out }));
        }
        for (_, part, written) in &done {
            fs::rename(&part.0, &written.path).map_err(ExportError::at(&written.path, "rename to"))?;
        }
        sync_names(&self.dir)?;
        Ok(done.into_iter().map(|(table, _, written)| (table, self.rows[table as usize], written)).collect())
    }
}

fn sync_names(dir: &Path) -> Result<(), ExportError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(ExportError::at(dir, "sync the folder"))
}

impl Open {
    fn create(table: Table, format: Format, path: PathBuf) -> Result<Open, ExportError> {
        let part = path.with_added_extension("part");
        let file = File::create(&part).map_err(ExportError::at(&part, "create"))?;
        let part = Part(part);
        let writer = format.writer(file, table).map_err(ExportError::at(&path, "write"))?;
        Ok(Open { table, path, part, writer })
    }
}
