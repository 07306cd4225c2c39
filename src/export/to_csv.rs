//! A table as comma-separated values: plain decimals, times as integers, nothing for none.

use std::fs::File;
use std::io;

use super::files::{Finished, Writer};
use super::schema::{Cell, Schema};

pub(super) struct CsvTable {
    csv: csv::Writer<File>,
    text: String,
}

impl CsvTable {
    /// Writes the line of column names.
    pub fn new(file: File, schema: Schema) -> io::Result<CsvTable> {
        let mut csv = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(file);
        csv.write_record(schema.columns.iter().map(|column| column.name))?;
        Ok(CsvTable { csv, text: String::new() })
    }
}

impl Writer for CsvTable {
    fn write(&mut self, cells: &[Cell]) -> io::Result<()> {
        for cell in cells {
            self.text.clear();
            cell.write(&mut self.text);
            self.csv.write_field(&self.text)?;
        }
        Ok(self.csv.write_record(None::<&[u8]>)?)
    }

    fn finish(self: Box<Self>, _notes: &[(String, String)]) -> io::Result<Finished> {
        let file = self.csv.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Finished { file, beyond: 0 })
    }
}
