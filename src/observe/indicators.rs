//! The engine's own indicators as a table: what its journal says at each closed bar.

use std::io::{self, Write};

use crate::event::{InstrumentTable, Output, OutputBody};
use crate::num::Dec;

/// Writes `symbol,open_time,close,atr14,ema200` rows, the names with the periods in force. Values have
/// all the places a decision sees, 18; an indicator that has not seen enough bars is empty, and bars
/// filled into a gap have no row.
pub struct Indicators<W> {
    out: W,
    instruments: InstrumentTable,
}

impl<W: Write> Indicators<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What the file says.
    pub fn new(
        mut out: W,
        instruments: InstrumentTable,
        atr_period: u32,
        ema_period: u32,
    ) -> io::Result<Indicators<W>> {
        writeln!(out, "symbol,open_time,close,atr{atr_period},ema{ema_period}")?;
        Ok(Indicators { out, instruments })
    }

    /// Takes the next output of the journal.
    ///
    /// # Errors
    /// What the file says.
    pub fn take(&mut self, output: &Output) -> io::Result<()> {
        let OutputBody::BarClosed(bar) = &output.body else { return Ok(()) };
        let Some(row) = self.instruments.get(output.instrument) else { return Ok(()) };
        let ema_ready = bar.ema != Dec::ZERO;
        // An ATR of 0 is one of a market that stood still, once the longer of the two is ready.
        let atr = Some(bar.atr).filter(|atr| ema_ready || *atr != Dec::ZERO);
        let ema = Some(bar.ema).filter(|_| ema_ready);
        let text = |value: Option<Dec>| value.map_or_else(String::new, |value| value.display(12).to_string());
        let close = row.format_price(bar.close);
        writeln!(self.out, "{},{},{close},{},{}", row.symbol, bar.open_ms, text(atr), text(ema))
    }

    /// # Errors
    /// What the file says.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}
