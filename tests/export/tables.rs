//! Exports read back, as rows of texts: nothing for none.

use std::collections::BTreeMap;
use std::path::Path;

use quantum_trader::export::{Format, Options, Range, Report, Table, export};
use quantum_trader::num::Dec;

/// Rows by column name.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// A row as a map; a column that is not there has no name.
    pub fn row(&self, index: usize) -> BTreeMap<&str, &str> {
        self.columns.iter().map(String::as_str).zip(self.rows[index].iter().map(String::as_str)).collect()
    }

    pub fn maps(&self) -> impl Iterator<Item = BTreeMap<&str, &str>> {
        (0..self.len()).map(|index| self.row(index))
    }

    pub fn column(&self, name: &str) -> Vec<&str> {
        let index = self.columns.iter().position(|column| column == name).expect(name);
        self.rows.iter().map(|row| row[index].as_str()).collect()
    }

    pub fn sum(&self, name: &str) -> Dec {
        let mut sum = Dec::ZERO;
        self.column(name)
            .iter()
            .filter(|text| !text.is_empty())
            .for_each(|text| sum += Dec::parse(text).unwrap());
        sum
    }

    pub fn count(&self, name: &str, value: &str) -> usize {
        self.column(name).iter().filter(|text| **text == value).count()
    }
}

/// The formats this build has.
pub fn every_format() -> Format {
    if cfg!(feature = "export") { Format::Both } else { Format::Csv }
}

pub fn options(to: &Path) -> Options {
    Options {
        to: to.to_path_buf(),
        format: every_format(),
        tables: Table::ALL.to_vec(),
        range: Range::default(),
        force: false,
    }
}

/// Exports all tables, and reads each back; the formats agree.
pub fn exported(journal: &Path, to: &Path) -> (Report, BTreeMap<&'static str, Rows>) {
    let report = export(journal, &options(to), |_, _| {}).unwrap();
    let tables = Table::ALL.map(|table| {
        let files = &report.tables[table.as_str()].files;
        (table.as_str(), read(to, table, files.iter().map(|file| file.decimals_left_out).sum()))
    });
    (report, BTreeMap::from(tables))
}

/// A table; its Parquet file, if this build makes one, says the same as the other, but for so many decimals
/// that it has no room for.
fn read(dir: &Path, table: Table, left_out: u64) -> Rows {
    let rows = read_csv(&dir.join(format!("{}.csv", table.as_str())));
    #[cfg(feature = "export")]
    {
        let parquet = parquet::read(&dir.join(format!("{}.parquet", table.as_str())));
        assert_eq!(parquet.columns, rows.columns);
        assert_eq!(parquet.len(), rows.len(), "{}", table.as_str());
        let cells = parquet.rows.iter().flatten().zip(rows.rows.iter().flatten());
        let differing: Vec<_> = cells.filter(|(a, b)| a != b).collect();
        assert!(differing.iter().all(|(a, b)| a.is_empty() && has_39_digits(b)), "{differing:?}");
        assert_eq!(differing.len() as u64, left_out, "{differing:?}");
    }
    assert!(cfg!(feature = "export") || left_out == 0);
    rows
}

#[cfg(feature = "export")]
fn has_39_digits(text: &str) -> bool {
    text.trim_start_matches('-').split('.').next().is_some_and(|whole| whole.len() == 21)
}

pub fn read_csv(path: &Path) -> Rows {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let texts = |record: &csv::StringRecord| record.iter().map(str::to_string).collect::<Vec<_>>();
    let columns = texts(reader.headers().unwrap());
    let rows = reader.records().map(|record| texts(&record.unwrap())).collect();
    Rows { columns, rows }
}

#[cfg(feature = "export")]
pub mod parquet {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::path::Path;

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    use quantum_trader::num::Dec;

    use super::Rows;

    pub fn open(path: &Path) -> SerializedFileReader<File> {
        SerializedFileReader::new(File::open(path).unwrap()).unwrap()
    }

    pub fn read(path: &Path) -> Rows {
        let reader = open(path);
        let schema = reader.metadata().file_metadata().schema();
        let columns = schema.get_fields().iter().map(|field| field.name().to_string()).collect();
        let rows = reader.get_row_iter(None).unwrap().map(|row| {
            let row = row.unwrap();
            row.get_column_iter().map(|(_, field)| text(field)).collect()
        });
        Rows { columns, rows: rows.collect() }
    }

    fn text(field: &Field) -> String {
        match field {
            Field::Null => String::new(),
            Field::Bool(value) => value.to_string(),
            Field::Long(value) | Field::TimestampMillis(value) => value.to_string(),
            Field::Str(value) => value.clone(),
            Field::Decimal(value) => {
                assert_eq!((value.precision(), value.scale()), (38, 18));
                Dec(i128::from_be_bytes(value.data().try_into().unwrap())).to_string()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Key-value metadata of a file.
    pub fn notes(path: &Path) -> BTreeMap<String, String> {
        let reader = open(path);
        let notes = reader.metadata().file_metadata().key_value_metadata().unwrap();
        notes.iter().map(|note| (note.key.clone(), note.value.clone().unwrap())).collect()
    }
}
