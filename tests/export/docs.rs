//! `docs/EXPORT.md` and the files say of each column what the code says.

use std::fmt::Write as _;
use std::path::PathBuf;

use quantum_trader::export::Table;

const BEGIN: &str = "<!-- columns: written from src/export/tables.rs -->\n";
const END: &str = "<!-- end of columns -->";

fn columns() -> String {
    let mut text = String::new();
    for table in Table::ALL {
        let schema = table.schema();
        writeln!(text, "\n### {}\n\n{}\n", table.as_str(), schema.about.trim()).unwrap();
        writeln!(text, "| column | type | meaning |\n|---|---|---|").unwrap();
        for column in schema.columns {
            let none = if column.optional { ", or none" } else { "" };
            let kind = column.kind.as_str();
            writeln!(text, "| `{}` | {kind}{none} | {} |", column.name, column.about.trim()).unwrap();
        }
    }
    text + "\n"
}

#[test]
fn the_documentation_has_every_column() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/EXPORT.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", columns())).unwrap();
        return;
    }
    assert_eq!(written, columns(), "docs/EXPORT.md differs from the tables: UPDATE_EXPECT=1 writes it anew");
}

#[test]
fn every_column_is_named_once_and_says_what_it_is() {
    for table in Table::ALL {
        assert_eq!(Table::parse(table.as_str()), Some(table));
        let columns = table.schema().columns;
        let mut names: Vec<_> = columns.iter().map(|column| column.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), columns.len(), "{}", table.as_str());
        assert!(columns.iter().all(|column| column.about.trim().len() > 3 && !column.about.contains('|')));
    }
    assert_eq!(Table::parse("event"), None);
}

#[cfg(feature = "export")]
#[test]
fn a_parquet_file_says_what_its_columns_are() {
    use super::journal_support::{records, sample, write_archive};
    use super::tables::{exported, parquet};

    let (journal, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let records = records(&sample(3));
    write_archive(journal.path(), &records, 100);
    exported(journal.path(), out.path());
    for table in Table::ALL {
        let notes = parquet::notes(&out.path().join(format!("{}.parquet", table.as_str())));
        let schema = table.schema();
        assert_eq!(notes["table"], schema.about.trim());
        for column in schema.columns {
            assert_eq!(notes[&format!("column.{}", column.name)], column.about.trim());
        }
        assert_eq!((notes["run_id"].as_str(), notes["ended"].as_str()), ("1122334455667788", "true"));
        assert_eq!(
            (notes["last_sequence"].as_str(), notes.get("problem")),
            (records.len().to_string().as_str(), None)
        );
    }
}
