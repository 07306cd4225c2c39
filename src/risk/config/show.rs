//! The listing of `qtx config`.

use serde::Serialize;

use super::{Loaded, SETTINGS, Settings};

/// A setting as listed; values as text, so that they stay exact.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    value: String,
    source: String,
    default: String,
    unit: &'static str,
    allowed: String,
    doc: &'static str,
}

fn rows(loaded: &Loaded) -> impl Iterator<Item = Row> {
    SETTINGS.iter().map(|setting| Row {
        name: setting.name,
        value: setting.value(&loaded.settings),
        source: loaded.source(setting.key).to_string(),
        default: setting.value(&Settings::DEFAULT),
        unit: setting.unit,
        allowed: setting.allowed.to_string(),
        doc: setting.doc,
    })
}

/// An aligned table of name, value and source; `long` adds the unit, what is allowed and the meaning.
pub fn table(loaded: &Loaded, long: bool) -> String {
    let columns = if long { 6 } else { 3 };
    let heading = ["NAME", "VALUE", "SOURCE", "UNIT", "ALLOWED", "MEANING"].map(String::from);
    let cells = rows(loaded).map(|row| {
        // An empty cell would look like a missing one.
        let value = if row.value.is_empty() { "\"\"".to_string() } else { row.value };
        [row.name.into(), value, row.source, row.unit.into(), row.allowed, row.doc.into()]
    });
    let lines: Vec<[String; 6]> = std::iter::once(heading).chain(cells).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).take(columns);
        let padded: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        text += padded.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// An array of objects, one a setting: name, value, source, default, unit, allowed, doc.
pub fn json(loaded: &Loaded) -> serde_json::Value {
    let rows = rows(loaded).map(|row| serde_json::json!(row));
    serde_json::Value::Array(rows.collect())
}
