//! What no scenario line can say: bars, prices amid an entry, late frames, funding, transfers, the
//! operator, faults.

use num_traits::{Signed, Zero};
use quantum_trader::event::{CommandKind, TradingState};
use serde_json::{Value, json};

use super::Model;
use crate::exact::{int, read};

#[derive(Clone, Debug)]
pub enum Beyond {
    /// Closed bars, one after the other, from bar number `first`; closes in ticks.
    Bars {
        symbol: &'static str,
        first: i64,
        closes: Vec<i64>,
    },
    /// A price before the rest of an entry has filled.
    Price {
        symbol: &'static str,
        price: String,
    },
    /// A frame that is this late and says nothing else.
    Frame {
        symbol: &'static str,
        lag_ms: i64,
    },
    Funding {
        symbol: &'static str,
        change: String,
    },
    Transfer(String),
    /// Only CLOSE looks at the symbol.
    Command(CommandKind, &'static str),
    Fault(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    FramesDropped,
    UserStreamDown,
    OrdersStale,
    /// While something is open this one is an alarm, and no more than that.
    MarketDown,
    /// Lifts nothing.
    UserStreamUp,
    ForeignFill,
    AbsurdMoney,
    HedgeMode,
    ShadowDisagrees,
}

impl Fault {
    pub const ALL: [Fault; 9] = [
        Fault::FramesDropped,
        Fault::UserStreamDown,
        Fault::OrdersStale,
        Fault::MarketDown,
        Fault::UserStreamUp,
        Fault::ForeignFill,
        Fault::AbsurdMoney,
        Fault::HedgeMode,
        Fault::ShadowDisagrees,
    ];
}

impl Model {
    pub fn beyond(&mut self, time_ms: i64, what: &Beyond) -> Vec<Value> {
        self.lines += 1;
        self.fill_due(None);
        self.clock(time_ms.max(self.now_ms));
        match what {
            Beyond::Bars { symbol, first, closes } => {
                let market = self.market_mut(symbol);
                // An average of so few bars is not ready, and the one a signal brought is over.
                market.ema = None;
                for (number, close) in (*first..).zip(closes) {
                    market.feed.bar(number, &int(*close));
                }
            }
            Beyond::Price { symbol, price } => self.priced(symbol, price, None, None, None),
            Beyond::Frame { symbol, lag_ms } => {
                let now_ms = self.now_ms;
                self.market_mut(symbol).feed.frame(now_ms, *lag_ms);
            }
            Beyond::Funding { symbol, change } => {
                let change = read(change);
                if let Some(i) = self.position(symbol) {
                    self.positions[i].costs -= &change;
                }
                *self.cash.as_mut().unwrap() += change;
                self.limits();
            }
            Beyond::Transfer(change) => {
                let change = read(change);
                self.day_peak += &change;
                self.week_peak += &change;
                *self.cash.as_mut().unwrap() += change;
                self.limits();
            }
            Beyond::Command(command, symbol) => self.command(*command, symbol),
            Beyond::Fault(fault) => self.fault(*fault),
        }
        std::mem::take(&mut self.said)
    }

    fn command(&mut self, command: CommandKind, symbol: &str) {
        match command {
            CommandKind::Halt | CommandKind::Stop => self.lower("operator", TradingState::Halted),
            CommandKind::Reduce => self.lower("operator", TradingState::Reducing),
            CommandKind::Resume => self.change_state("operator", TradingState::Active),
            CommandKind::Flatten => {
                for symbol in self.positions.iter().map(|p| p.symbol).collect::<Vec<_>>() {
                    self.close_by_operator(symbol, "FLATTEN");
                }
            }
            CommandKind::Close => self.close_by_operator(symbol, "MANUAL"),
        }
    }

    fn close_by_operator(&mut self, symbol: &str, signal: &'static str) {
        self.cancel_entry(symbol);
        if let Some(i) = self.position(symbol) {
            let price = self.tested(i);
            if self.positions[i].closing.is_none() {
                self.positions[i].tested.push(price.clone());
            }
            self.close(i, signal, &price);
        }
    }

    fn fault(&mut self, fault: Fault) {
        use TradingState::{Active, Halted, Reducing};
        let (alarm, to) = match fault {
            Fault::UserStreamUp => return,
            Fault::MarketDown if self.positions.is_empty() => return,
            Fault::MarketDown => ("feed_down", Active),
            Fault::FramesDropped => ("queue_full", Reducing),
            Fault::UserStreamDown | Fault::OrdersStale => ("feed_down", Reducing),
            Fault::ForeignFill => {
                self.markets[0].foreign = true;
                ("unexpected_fill", Halted)
            }
            Fault::AbsurdMoney => ("arithmetic", Halted),
            Fault::HedgeMode => ("venue_setup", Halted),
            Fault::ShadowDisagrees => ("divergence", Halted),
        };
        self.said.push(json!({"type": "alarm", "kind": alarm}));
        self.lower(alarm, to);
    }

    /// Only ever down.
    fn lower(&mut self, cause: &str, to: TradingState) {
        let rank = |state| match state {
            TradingState::Active => 0,
            TradingState::Reducing => 1,
            TradingState::Halted => 2,
        };
        if rank(to) <= rank(self.state) {
            return;
        }
        self.change_state(cause, to);
        for symbol in self.positions.iter().map(|p| p.symbol).collect::<Vec<_>>() {
            self.cancel_entry(symbol);
        }
    }

    fn change_state(&mut self, cause: &str, to: TradingState) {
        if self.state != to {
            self.state = to;
            self.said.push(json!({"type": "state", "to": to.as_str(), "cause": cause}));
        }
    }

    /// What was not filled of an entry is not wanted any more.
    pub(super) fn cancel_entry(&mut self, symbol: &str) {
        let Some(i) = self.position(symbol) else { return };
        if self.positions[i].entered.is_zero() {
            self.positions.remove(i);
            return;
        }
        let p = &mut self.positions[i];
        debug_assert!(p.entered.is_positive());
        p.approved = p.entered.clone();
    }
}
