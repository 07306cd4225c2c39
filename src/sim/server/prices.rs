//! The latest prices of each instrument, for requests that ask for them, and what fills realised.

use crate::event::{Event, EventBody, InstrumentTable, MarkPrice, Quote};
use crate::num::{Dec, InstrumentId, Millis, Ticks};

/// What the market last said of one instrument.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Price {
    pub quote: Option<Quote>,
    pub mark: Option<MarkPrice>,
    /// Price and time of the last trade in the book.
    pub last: Option<(Ticks, Millis)>,
    /// By the account's fills so far, before fees.
    pub realised: Dec,
}

pub(super) struct Prices {
    rows: Vec<Price>,
    /// As the user stream told it last.
    wallet: Dec,
}

impl Prices {
    pub fn new(instruments: &InstrumentTable, wallet: Dec) -> Prices {
        Prices { rows: vec![Price::default(); instruments.len()], wallet }
    }

    pub fn take(&mut self, event: &Event) {
        let Some(row) = self.rows.get_mut(event.instrument.index()) else { return };
        match &event.body {
            EventBody::Quote(quote) => row.quote = Some(*quote),
            EventBody::MarkPrice(mark) => row.mark = Some(*mark),
            EventBody::Trade(trade) | EventBody::AggTrade(trade) if trade.market => {
                row.last = Some((trade.price, trade.trade_ms));
            }
            _ => {}
        }
    }

    /// The wallet changed, by a fill and its fee or without one: what the fill realised before its fee.
    pub fn note_wallet(&mut self, wallet: Dec, filled: Option<(InstrumentId, Dec)>) -> Dec {
        let change = wallet.0.saturating_sub(self.wallet.0);
        self.wallet = wallet;
        let Some((instrument, fee)) = filled else { return Dec::ZERO };
        let realised = change.saturating_add(fee.0);
        if let Some(row) = self.rows.get_mut(instrument.index()) {
            row.realised = Dec(row.realised.0.saturating_add(realised));
        }
        Dec(realised)
    }

    pub fn of(&self, instrument: InstrumentId) -> Price {
        self.rows.get(instrument.index()).copied().unwrap_or_default()
    }
}

impl Price {
    /// What a position is valued at: the mark, else the last trade.
    pub fn valuation(&self, tick: Dec) -> Option<Dec> {
        let last = self.last.map(|(price, _)| Dec(tick.0.saturating_mul(price.wide())));
        self.mark.map(|mark| mark.mark).or(last)
    }
}
