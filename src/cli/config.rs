//! `qtx config`.

use std::process::ExitCode;

use clap::Args;

use super::market::{instruments, preset_of};
use super::settings::SettingsArgs;
use super::{Failure, print};
use crate::risk::config::{example, json, table};

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx config                                   names, values, sources
  qtx config --long                            with ranges and meanings
  RM_MIN_CONFIDENCE=0.8 qtx config --json      for machines
  qtx config --example > qtx.toml              a file to start from
  qtx config --instruments                     the built-in instrument table

Names that begin with RM_ or QT_ must be settings, wherever they stand. Only in the environment the
variables of the Qt toolkit (QT_QPA_PLATFORM, QT_IM_MODULE, ...) are passed over.")]
pub struct ConfigArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Show the preset of this market too
    #[arg(long, value_name = "MARKET")]
    market: Option<String>,
    /// Ranges and meanings too
    #[arg(long)]
    long: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Print a commented settings file with every default
    #[arg(long)]
    example: bool,
    /// The built-in instruments instead of the settings
    #[arg(long)]
    instruments: bool,
}

pub fn config(args: &ConfigArgs) -> Result<ExitCode, Failure> {
    if args.example {
        print(&example())?;
        return Ok(ExitCode::SUCCESS);
    }
    let preset = args.market.as_deref().and_then(preset_of);
    let loaded = args.settings.load(preset.as_ref())?;
    if args.instruments {
        print_instruments(&loaded.settings.taker_fee.to_string(), args.json)?;
    } else if args.json {
        print(&format!("{:#}\n", json(&loaded)))?;
    } else {
        print(&table(&loaded, args.long))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_instruments(taker_fee: &str, as_json: bool) -> Result<(), Failure> {
    let table = instruments(None, taker_fee)?;
    let rows = table.iter().map(|(_, row)| {
        [
            ("symbol", row.symbol.to_string()),
            ("tick", row.tick.to_string()),
            ("step", row.step.to_string()),
            ("min_quantity", row.quantity(row.min_quantity).to_string()),
            ("min_notional", row.min_notional.to_string()),
            ("taker_fee", row.taker_fee.to_string()),
            ("maintenance_margin", row.maintenance_margin.to_string()),
        ]
    });
    if as_json {
        let rows: Vec<serde_json::Value> = rows
            .map(|row| row.into_iter().map(|(k, v)| (k.to_string(), serde_json::Value::from(v))).collect())
            .collect();
        return print(&format!("{:#}\n", serde_json::Value::from(rows)));
    }
    let mut text =
        "SYMBOL        TICK        STEP      MIN_QTY   MIN_NOTIONAL  TAKER_FEE  MAINTENANCE\n".to_string();
    for row in rows {
        let [symbol, tick, step, quantity, notional, fee, maintenance] = row.map(|(_, value)| value);
        text += &format!(
            "{symbol:<13} {tick:<11} {step:<9} {quantity:<9} {notional:<13} {fee:<10} {maintenance}\n"
        );
    }
    print(&text)
}
