//! The user stream: orders and fills as the venue tells them unasked.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::fills::RawFill;
use super::io::Outputs;
use super::machine::Gateway;
use super::orders::{Stage, Tracked};
use super::unreadable::Unreadable;
use crate::event::{EventBody, Fill, FillCause, Instrument, OrderStatus, OrderUpdate};
use crate::num::{InstrumentId, Lots, Millis, NS_PER_SEC, OrderId, Side, TimeNs};
use crate::venue::binance::answer::{algo_status, order_status};
use crate::venue::binance::code;
use crate::venue::binance::request::Service;
use crate::venue::binance::user_stream::{AlgoUpdate, OrderFields, OrderTradeUpdate, UserMessage};

/// A stream that has said nothing since a fill so long after its last word says nothing any more: messages
/// come within seconds. Its key may have ended without a word, or its connection for the venue alone.
const DEAF_NS: i64 = 5 * NS_PER_SEC;

impl Gateway {
    pub(super) fn on_user_text(&mut self, now: TimeNs, text: &[u8], out: &mut Outputs) {
        self.counters.user_messages += 1;
        (self.session.heard_ns, self.session.unheard) = (now, None);
        let read = match UserMessage::parse(text) {
            Ok(UserMessage::Order(update)) => self.on_order_update(now, &update, out),
            Ok(UserMessage::Algo(update)) => {
                self.on_algo_update(now, &update, out);
                Ok(())
            }
            Ok(UserMessage::Account(message)) => self.on_account_message(now, &message, digest(text), out),
            Ok(UserMessage::Config(update)) => {
                self.on_config_update(now, &update, out);
                Ok(())
            }
            Ok(UserMessage::ListenKeyExpired) => {
                self.on_listen_key_expired(now, out);
                Ok(())
            }
            Ok(UserMessage::MarginCall) => {
                self.counters.margin_calls += 1;
                Ok(())
            }
            Ok(UserMessage::TradeLite | UserMessage::Other) => Ok(()),
            Err(_) => Err(Unreadable),
        };
        if read.is_err() {
            // Whatever it said is asked for.
            self.counters.unreadable += 1;
            self.reconcile_soon(now);
        }
    }

    fn on_order_update(
        &mut self,
        now: TimeNs,
        update: &OrderTradeUpdate<'_>,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        let fields = &update.order;
        let Some(instrument) = self.find_symbol(&fields.symbol) else {
            self.counters.foreign += 1;
            return Ok(());
        };
        if let Some(cause) = fields.forced() {
            if fields.is_fill() {
                self.take_fill(now, instrument, &raw_fill(update, OrderId::NONE, cause), out)?;
            }
            return Ok(());
        }
        let Some(id) = self.config.ids.parse(&fields.client_id) else {
            self.counters.foreign += 1;
            return Ok(());
        };
        let filled = self.row(instrument)?.parse_quantity(fields.filled.as_bytes())?;
        self.note_ordinary(now, instrument, id, fields.venue_id);
        if fields.is_fill() {
            self.take_fill(now, instrument, &raw_fill(update, id, FillCause::Order), out)?;
        }
        self.note_filled(instrument, id, fields.side.into(), filled);
        if let Some(status) = told_status(fields) {
            let update = order_update(id, fields.venue_id, filled, update.event_ms, status);
            self.take_update(now, instrument, update, out);
        }
        Ok(())
    }

    pub(super) fn row(&self, instrument: InstrumentId) -> Result<&Instrument, Unreadable> {
        self.instruments.get(instrument).ok_or(Unreadable)
    }

    /// The venue speaks of it as of an ordinary order: it has triggered, or always was one.
    pub(super) fn note_ordinary(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        id: OrderId,
        venue_id: i64,
    ) {
        let found = || Tracked::found(instrument, Service::Ordinary, Stage::Unknown, now);
        self.orders.with(id, found, |tracked| {
            (tracked.service, tracked.venue_id) = (Service::Ordinary, venue_id);
        });
    }

    /// How much of an order is filled, for the limits.
    pub(super) fn note_filled(&mut self, instrument: InstrumentId, id: OrderId, side: Side, filled: Lots) {
        let more = self.orders.change(id, |tracked| tracked.fill_to(filled)).unwrap_or(Lots::ZERO);
        self.limits.filled(instrument, side, more);
    }

    /// Passes a fill on, once. `true` if it was new.
    pub(super) fn take_fill(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        raw: &RawFill<'_>,
        out: &mut Outputs,
    ) -> Result<bool, Unreadable> {
        let parsed = raw.parse(self.row(instrument)?)?;
        if !self.trades_seen.insert((instrument, raw.trade_id)) {
            self.counters.duplicates += 1;
            return Ok(false);
        }
        self.counters.rounded_prices += u64::from(parsed.rounded);
        self.counters.estimated_fees += u64::from(parsed.estimated_fee);
        self.pass_fill(now, instrument, parsed.fill, out);
        Ok(true)
    }

    /// A new fill. One of an order that the engine does not have, of an earlier start that no journal tells
    /// of, is nothing it could book: what it did to the position is found there. Neither is one that was
    /// concluded from the position before it came.
    pub(super) fn pass_fill(&mut self, now: TimeNs, instrument: InstrumentId, fill: Fill, out: &mut Outputs) {
        if !fill.order.is_none() {
            let known = self.orders.get(fill.order).filter(|tracked| tracked.order.is_some());
            let Some(known) = known.copied() else {
                self.counters.foreign += 1;
                return self.positions.used(now, instrument);
            };
            if fill.quantity <= known.assumed {
                self.orders.change(fill.order, |tracked| tracked.assumed = known.assumed - fill.quantity);
                self.counters.duplicates += 1;
                return;
            }
        }
        self.note_unheard(fill.event_ms);
        self.count_fill(instrument, &fill);
        self.positions.filled(now, instrument, fill.quantity.0.saturating_mul(fill.side.sign()));
        out.event(now, instrument, EventBody::Fill(fill));
    }

    /// A fill that is passed on and that no message told, though the stream is believed and was silent since.
    fn note_unheard(&mut self, event_ms: Millis) {
        let routine = self.session.round.as_ref().is_some_and(|round| !round.loud);
        let at = TimeNs::from_ms(event_ms.saturating_sub(self.clock_offset_ms));
        if routine && at.since(self.session.heard_ns) > DEAF_NS {
            self.session.unheard.get_or_insert(at);
        }
    }

    /// When the stream has had its time to tell such a fill: one just filled is on its way.
    pub(super) fn deaf_at(&self) -> Option<TimeNs> {
        self.session.unheard.map(|at| at + DEAF_NS)
    }

    /// Whether that has passed, and it did not.
    pub(super) fn is_deaf(&self, now: TimeNs) -> bool {
        self.deaf_at().is_some_and(|at| now >= at)
    }

    fn count_fill(&mut self, instrument: InstrumentId, fill: &Fill) {
        if fill.order.is_none() {
            return self.limits.filled(instrument, fill.side, fill.quantity);
        }
        let more = self.orders.change(fill.order, |tracked| {
            // A venue gone mad must not stop the gateway: such sums refuse every entry.
            tracked.summed = Lots(tracked.summed.0.saturating_add(fill.quantity.0));
            tracked.fill_to(tracked.summed)
        });
        self.limits.filled(instrument, fill.side, more.unwrap_or(fill.quantity));
    }

    fn on_algo_update(&mut self, now: TimeNs, update: &AlgoUpdate<'_>, out: &mut Outputs) {
        let fields = &update.order;
        let instrument = self.find_symbol(&fields.symbol);
        let id = self.config.ids.parse(&fields.client_id);
        let (Some(instrument), Some(id)) = (instrument, id) else {
            self.counters.foreign += 1;
            return;
        };
        // That its ordinary order ended is for that order to say.
        let status = algo_status(&fields.status).filter(|_| fields.status != "FINISHED");
        let Some(status) = status else { return };
        let filled = self.orders.get(id).map_or(Lots::ZERO, |tracked| tracked.filled);
        let mut update = order_update(id, fields.algo_id, filled, update.event_ms, status);
        if status == OrderStatus::Rejected {
            update.code = code::NEW_ORDER_REJECTED;
        }
        self.note_conditional(now, instrument, id);
        self.take_update(now, instrument, update, out);
    }

    /// A conditional order that we may not know yet.
    pub(super) fn note_conditional(&mut self, now: TimeNs, instrument: InstrumentId, id: OrderId) {
        if self.orders.get(id).is_none() {
            let found = || Tracked::found(instrument, Service::Algo, Stage::Unknown, now);
            self.orders.with(id, found, |_| ());
        }
    }
}

/// The status a message tells. A fill that leaves something open tells none: the fill says it all.
fn told_status(fields: &OrderFields<'_>) -> Option<OrderStatus> {
    match fields.status.as_ref() {
        "PARTIALLY_FILLED" => None,
        word => order_status(word),
    }
}

pub(super) fn order_update(
    order: OrderId,
    venue_id: i64,
    filled: Lots,
    event_ms: Millis,
    status: OrderStatus,
) -> OrderUpdate {
    OrderUpdate { order, venue_id, filled, event_ms, code: 0, status, pad: [0; 3] }
}

fn raw_fill<'a>(update: &'a OrderTradeUpdate<'_>, order: OrderId, cause: FillCause) -> RawFill<'a> {
    let fields = &update.order;
    RawFill {
        order,
        trade_id: fields.trade_id,
        side: fields.side.into(),
        price: &fields.last_price,
        quantity: &fields.last_quantity,
        fee: fields.fee.as_deref(),
        fee_asset: fields.fee_asset.as_deref(),
        event_ms: update.traded_ms.unwrap_or(update.event_ms),
        maker: fields.maker,
        cause,
    }
}

fn digest(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
