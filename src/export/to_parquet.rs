//! A table as a Parquet file, one row group after the other: what is in memory is one of them.

use std::fs::File;
use std::io;
use std::mem::take;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnPath, Type as Node};

use super::files::{Finished, Writer};
use super::schema::{Cell, Column, Schema, Type};
use crate::num::{Dec, MAX_PLACES};

/// Rows of a row group: many enough to be read fast, few enough to be held.
const GROUP_ROWS: usize = 1 << 17;
/// Bytes of text after which a row group ends early.
const GROUP_BYTES: usize = 1 << 26;
/// What 16 bytes hold in full, and the most that common readers take.
const PRECISION: i32 = 38;
/// The first magnitude that has more digits.
const BEYOND: u128 = 10u128.pow(PRECISION as u32);

pub(super) struct ParquetTable {
    file: SerializedFileWriter<File>,
    columns: Vec<Buffer>,
    rows: usize,
    /// Decimals with more digits than a Parquet decimal has.
    beyond: u64,
}

impl ParquetTable {
    /// Writes the head of the file; the columns' meanings are in its key-value metadata.
    pub fn new(file: File, name: &str, schema: Schema) -> io::Result<ParquetTable> {
        let nodes: Result<Vec<_>, _> = schema.columns.iter().map(|c| node(c).map(Arc::new)).collect();
        let root = Node::group_type_builder(name).with_fields(nodes.map_err(refused)?).build();
        let file = SerializedFileWriter::new(file, Arc::new(root.map_err(refused)?), properties(schema));
        let columns = schema.columns.iter().map(Buffer::new).collect();
        Ok(ParquetTable { file: file.map_err(refused)?, columns, rows: 0, beyond: 0 })
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for buffer in &mut self.columns {
            let Some(mut column) = group.next_column()? else { break };
            buffer.write(&mut column)?;
            column.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl Writer for ParquetTable {
    fn write(&mut self, cells: &[Cell]) -> io::Result<()> {
        for (buffer, cell) in self.columns.iter_mut().zip(cells) {
            self.beyond += u64::from(!buffer.push(cell));
        }
        self.rows += 1;
        let bytes = self.columns.iter().map(|column| column.bytes.len()).max().unwrap_or(0);
        if self.rows >= GROUP_ROWS || bytes >= GROUP_BYTES {
            self.flush().map_err(refused)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, notes: &[(String, String)]) -> io::Result<Finished> {
        self.flush().map_err(refused)?;
        for (key, value) in notes {
            self.file.append_key_value_metadata(KeyValue::new(key.clone(), value.clone()));
        }
        Ok(Finished { file: self.file.into_inner().map_err(refused)?, beyond: self.beyond })
    }
}

fn refused(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => io::Error::other(error),
        other => io::Error::other(other),
    }
}

fn node(column: &Column) -> Result<Node, ParquetError> {
    let utc = |unit| Some(LogicalType::timestamp(true, unit));
    let (physical, logical) = match column.kind {
        Type::Boolean => (Physical::BOOLEAN, None),
        Type::Integer => (Physical::INT64, None),
        Type::Nanos => (Physical::INT64, utc(TimeUnit::NANOS)),
        Type::Millis => (Physical::INT64, utc(TimeUnit::MILLIS)),
        Type::Decimal => {
            (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::decimal(MAX_PLACES as i32, PRECISION)))
        }
        // The type of JSON is not known to all readers, and text is.
        Type::Text | Type::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let repetition = if is_nullable(column) { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let node = Node::primitive_type_builder(column.name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical);
    match column.kind {
        Type::Decimal => node
            .with_length(DECIMAL_BYTES as i32)
            .with_precision(PRECISION)
            .with_scale(MAX_PLACES as i32)
            .build(),
        _ => node.build(),
    }
}

const DECIMAL_BYTES: usize = size_of::<Dec>();

/// A decimal with more digits than fit is none.
fn is_nullable(column: &Column) -> bool {
    column.optional || column.kind == Type::Decimal
}

fn properties(schema: Schema) -> Arc<WriterProperties> {
    let meaning =
        |column: &Column| KeyValue::new(format!("column.{}", column.name), column.about.trim().to_string());
    let about = KeyValue::new("table".to_string(), schema.about.trim().to_string());
    let notes = std::iter::once(about).chain(schema.columns.iter().map(meaning)).collect();
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("quantum-trader version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Those of pages would stay in memory until the file's end.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(notes));
    for column in schema.columns.iter().filter(|column| column.kind == Type::Json) {
        let path = || ColumnPath::from(column.name);
        properties = properties
            .set_column_dictionary_enabled(path(), false)
            .set_column_statistics_enabled(path(), EnabledStatistics::None);
    }
    Arc::new(properties.build())
}

/// A column of the row group being collected.
struct Buffer {
    kind: Type,
    nullable: bool,
    /// Of each row: 1 for a value, 0 for none.
    levels: Vec<i16>,
    integers: Vec<i64>,
    booleans: Vec<bool>,
    /// Texts and decimals one behind the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    text: String,
}

impl Buffer {
    fn new(column: &Column) -> Buffer {
        Buffer {
            kind: column.kind,
            nullable: is_nullable(column),
            levels: Vec::new(),
            integers: Vec::new(),
            booleans: Vec::new(),
            bytes: Vec::new(),
            ends: Vec::new(),
            text: String::new(),
        }
    }

    /// False for a decimal that does not fit.
    fn push(&mut self, cell: &Cell) -> bool {
        let mut fits = true;
        match *cell {
            Cell::None => {}
            Cell::Boolean(value) => self.booleans.push(value),
            Cell::Integer(value) | Cell::Nanos(value) | Cell::Millis(value) => self.integers.push(value),
            Cell::Decimal(value) => {
                fits = value.0.unsigned_abs() < BEYOND;
                if fits {
                    self.put(&value.0.to_be_bytes());
                }
            }
            Cell::Text(text) => self.put(text.as_bytes()),
            Cell::Order(_) | Cell::Hash(_) => {
                let mut text = take(&mut self.text);
                text.clear();
                cell.write(&mut text);
                self.put(text.as_bytes());
                self.text = text;
            }
        }
        self.levels.push(i16::from(*cell != Cell::None && fits));
        fits
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    /// Writes what was collected, and is empty.
    fn write(&mut self, column: &mut SerializedColumnWriter) -> Result<(), ParquetError> {
        let levels = take(&mut self.levels);
        let levels = self.nullable.then_some(levels.as_slice());
        match self.kind {
            Type::Boolean => {
                column.typed::<BoolType>().write_batch(&take(&mut self.booleans), levels, None)?;
            }
            Type::Integer | Type::Nanos | Type::Millis => {
                column.typed::<Int64Type>().write_batch(&take(&mut self.integers), levels, None)?;
            }
            Type::Decimal => {
                let values: Vec<_> = self.slices().map(FixedLenByteArray::from).collect();
                column.typed::<FixedLenByteArrayType>().write_batch(&values, levels, None)?;
            }
            Type::Text | Type::Json => {
                let values: Vec<_> = self.slices().collect();
                column.typed::<ByteArrayType>().write_batch(&values, levels, None)?;
            }
        }
        Ok(())
    }

    /// The values; they share one allocation.
    fn slices(&mut self) -> impl Iterator<Item = ByteArray> + use<> {
        let bytes = ByteArray::from(take(&mut self.bytes));
        let mut start = 0;
        take(&mut self.ends).into_iter().map(move |end| {
            let value = bytes.slice(start, end - start);
            start = end;
            value
        })
    }
}
