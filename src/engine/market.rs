//! Market events: prices, quotes, bars, and what they trigger.

use super::protect::Tested;
use super::{Engine, Outbox};
use crate::event::{Action, Bar, BarClosed, BarSource, MarkPrice, OutputBody, Prices, Quote, Trade};
use crate::market::{BarUpdate, Closed};
use crate::num::{Dec, InstrumentId, Ticks};
use crate::risk::config::ExitPrice;

impl Engine {
    pub(super) fn on_trade(&mut self, id: InstrumentId, trade: &Trade, aggregate: bool, out: &mut Outbox) {
        let market = &mut self.markets[id.index()];
        let Some(update) = market.on_trade(self.now, trade, aggregate) else { return };
        let price = market.price;
        self.mark_to_market(id, out);
        if self.settings.exit_price == ExitPrice::Last {
            self.test_exits(id, Tested::At(price), out);
        }
        self.flatten_if_due(out);
        self.on_bars(id, update, true, out);
    }

    pub(super) fn on_quote(&mut self, id: InstrumentId, quote: &Quote, out: &mut Outbox) {
        let valid = self.markets[id.index()].on_quote(self.now, quote);
        if valid && self.settings.exit_price == ExitPrice::Book {
            self.test_exits(id, Tested::Book { bid: quote.bid, ask: quote.ask }, out);
        }
    }

    pub(super) fn on_mark(&mut self, id: InstrumentId, mark: &MarkPrice, out: &mut Outbox) {
        let market = &mut self.markets[id.index()];
        market.on_mark(mark);
        if let (ExitPrice::Mark, Some(price)) = (self.settings.exit_price, market.mark_ticks()) {
            self.test_exits(id, Tested::At(price), out);
        }
    }

    /// Everything at once: equity and limits first, then the exits, whichever price they look at.
    pub(super) fn on_prices(&mut self, id: InstrumentId, prices: &Prices, out: &mut Outbox) {
        self.markets[id.index()].on_prices(self.now, prices);
        self.mark_to_market(id, out);
        if let Some(tested) = self.exit_price_now(id) {
            self.test_exits(id, tested, out);
        }
    }

    pub(super) fn on_bar(&mut self, id: InstrumentId, bar: &Bar, out: &mut Outbox) {
        let update = self.markets[id.index()].on_bar(self.now, bar);
        self.on_bars(id, update, bar.source != BarSource::History, out);
    }

    /// Bars closed: voters look, and vote if this is now and not history.
    fn on_bars(&mut self, id: InstrumentId, update: BarUpdate, live: bool, out: &mut Outbox) {
        let (closed, previous_close) = match update {
            BarUpdate::None => return,
            BarUpdate::Reset => return self.voters[id.index()].reset(),
            BarUpdate::Closed { closed, previous_close } => (closed, previous_close),
        };
        let (market, voters) = (&self.markets[id.index()], &mut self.voters[id.index()]);
        for bar in market.bars.expand(&closed, previous_close) {
            voters.on_bar(&bar);
        }
        if !live {
            return;
        }
        self.say_bar(id, &closed, out);
        if self.rule_voters {
            let market = &self.markets[id.index()];
            let signal = self.voters[id.index()].vote(market.atr_ticks(), market.ema_ticks());
            if signal.ballot.votes().iter().any(|vote| *vote != Action::Abstain) {
                out.push(id, OutputBody::Votes(signal));
                self.on_signal(id, &signal, out);
            }
        }
    }

    fn say_bar(&self, id: InstrumentId, closed: &Closed, out: &mut Outbox) {
        let (market, bar) = (&self.markets[id.index()], &closed.bar);
        out.push(
            id,
            OutputBody::BarClosed(BarClosed {
                atr: market.atr_value.unwrap_or(Dec::ZERO),
                ema: market.ema_value.unwrap_or(Dec::ZERO),
                open_ms: bar.open_ms,
                open: bar.open,
                high: bar.high,
                low: bar.low,
                close: bar.close,
                volume: bar.volume,
                trades: bar.trades,
                flat_before: closed.flat_before,
                taker_buy_volume: bar.taker_buy_volume,
            }),
        );
    }

    /// The price an exit of this instrument could be tested at now.
    pub(super) fn exit_price_now(&self, id: InstrumentId) -> Option<Tested> {
        let market = &self.markets[id.index()];
        match self.settings.exit_price {
            ExitPrice::Book => {
                let quoted = market.bid.is_price() && market.ask.is_price();
                quoted.then_some(Tested::Book { bid: market.bid, ask: market.ask })
            }
            ExitPrice::Last => (market.price != Ticks::ZERO).then_some(Tested::At(market.price)),
            ExitPrice::Mark => market.mark_ticks().map(Tested::At),
        }
    }
}
