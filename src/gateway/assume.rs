//! A position that no fill explains, after everything was asked: what must have filled is told as a fill of
//! nobody's order, so that the engine's books are the venue's again.

use super::io::Outputs;
use super::machine::Gateway;
use super::orders::Stage;
use super::positions::{Verdict, assumed_id};
use super::requests::What;
use crate::event::{EventBody, Fill, FillCause, Instrument, OrderStatus, OrderUpdate, VenuePosition};
use crate::num::{Dec, InstrumentId, Lots, OrderId, Rounding, Side, Ticks, TimeNs};
use crate::venue::binance::request::Service;

/// What the end of a round leaves unexplained.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Signed lots that fills must have moved.
    pub confirmed: Vec<(InstrumentId, Lots)>,
    /// A difference that was seen once.
    pub unconfirmed: bool,
    /// One that what is on its way may explain.
    pub moves: bool,
}

impl Gateway {
    /// Compares every position with the sum of its fills, at the end of a round that began at `begun`.
    pub(super) fn judge_positions(&mut self, now: TimeNs, begun: TimeNs, out: &mut Outputs) -> Missing {
        let mut missing = Missing::default();
        let ids: Vec<InstrumentId> = self.instruments.iter().map(|(id, _)| id).collect();
        for id in ids {
            let moving = self.is_moving(now, id);
            match self.positions.judge(now, id, begun, moving) {
                Verdict::Agrees if moving => {}
                Verdict::Agrees => {
                    self.limits.begin_at(id, self.positions.told(id));
                    self.settle_orders(now, begun, id, out);
                }
                Verdict::Moves => missing.moves = true,
                Verdict::Found => missing.unconfirmed = true,
                Verdict::Confirmed(lots) => missing.confirmed.push((id, lots)),
            }
        }
        missing
    }

    /// Orders whose fills did not come, though the position lacks none: something undid them, of which nobody
    /// told either, and the engine must not wait for them.
    fn settle_orders(&mut self, now: TimeNs, begun: TimeNs, instrument: InstrumentId, out: &mut Outputs) {
        let (settled, others) = self.orders.settle(now, begun, instrument);
        if others {
            self.positions.look_again(now);
        }
        for order in settled {
            let update = self.update(order, OrderStatus::Expired, OrderUpdate::NO_MORE_FILLS);
            out.event(now, instrument, EventBody::OrderUpdate(update));
        }
    }

    /// Whether something of the instrument is on its way: everything but a stop that rests, and orders that
    /// the venue did not know when this round asked, and can't act on any more.
    fn is_moving(&self, now: TimeNs, instrument: InstrumentId) -> bool {
        let asked = |what: &What| matches!(what, What::Order { .. });
        self.requests.of(instrument).any(asked)
            || self.orders.live().any(|(_, tracked)| {
                let rests = tracked.service == Service::Algo && tracked.stage == Stage::Accepted;
                let late = now.since(tracked.sent_ns) >= OrderUpdate::LOST_AFTER_NS;
                let lost = late && tracked.stage < Stage::Accepted;
                tracked.instrument == instrument && !rests && !lost
            })
    }

    /// Tells the fill that `lots` more (signed) at the venue than in our fills must come from.
    pub(super) fn assume_fill(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        lots: Lots,
        out: &mut Outputs,
    ) {
        let Some(stated) = self.positions.of_venue(instrument) else { return };
        let told = self.positions.told(instrument);
        // A position that turned round was closed, and another opened at the entry that is stated.
        let turned = told.0.signum() * stated.quantity.0.signum() < 0;
        if turned {
            let flat = VenuePosition { quantity: Lots::ZERO, ..stated };
            self.tell_assumed(now, instrument, Lots(told.0.saturating_neg()), &flat, out);
            self.tell_assumed(now, instrument, stated.quantity, &stated, out);
        } else {
            self.tell_assumed(now, instrument, lots, &stated, out);
        }
        self.limits.begin_at(instrument, self.positions.told(instrument));
    }

    fn tell_assumed(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        lots: Lots,
        stated: &VenuePosition,
        out: &mut Outputs,
    ) {
        // Without any price it is found again.
        let Some(price) = self.price_of(instrument, stated) else { return };
        // That the same is missing of the same statement again is another fill, and must not be taken for the
        // one before: fills that came late have moved the books.
        let mut ids = (0..).map(|nth| assumed_id(instrument, stated, lots, nth));
        let Some(trade_id) = ids.find(|id| self.trades_seen.insert((instrument, *id))) else { return };
        let side = if lots.0 > 0 { Side::Buy } else { Side::Sell };
        let quantity = Lots(lots.0.saturating_abs());
        self.orders.assume(instrument, side, quantity);
        self.counters.assumed_fills += 1;
        let fill = Fill {
            order: OrderId::NONE,
            trade_id,
            fee: Dec::ZERO,
            price,
            quantity,
            event_ms: stated.event_ms.max(0),
            side,
            maker: false,
            cause: FillCause::Assumed,
            pad: [0; 5],
        };
        self.positions.filled(now, instrument, lots.0);
        out.event(now, instrument, EventBody::Fill(fill));
    }

    /// What a position was entered at that is all news to us; else the mark price, or the market's.
    fn price_of(&self, instrument: InstrumentId, stated: &VenuePosition) -> Option<Ticks> {
        let row = self.instruments.get(instrument)?;
        let opens = self.positions.told(instrument) == Lots::ZERO;
        let entry = Some(stated.entry).filter(|_| opens).and_then(|entry| on_grid(row, entry));
        let mark = self.positions.mark_of(instrument).and_then(|mark| on_grid(row, mark));
        entry.or(mark).or_else(|| self.limits.price(instrument)).or_else(|| on_grid(row, stated.entry))
    }
}

/// The nearest tick, if that is a price.
fn on_grid(row: &Instrument, price: Dec) -> Option<Ticks> {
    let ticks = Rounding::HalfEven.div_i128(price.0, row.tick.0)?;
    i64::try_from(ticks).ok().map(Ticks).filter(|ticks| ticks.is_price())
}
