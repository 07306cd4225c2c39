//! What must hold after every event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::figures::Figures;
use super::world::Line;
use quantum_trader::engine::Engine;
use quantum_trader::event::*;
use quantum_trader::num::*;
use quantum_trader::risk::config::Settings;
use quantum_trader::sim::venue::{Stage, Venue};
use quantum_trader::trade::Trade;

/// The venue's limit on orders, per ten seconds.
const ORDERS_PER_10S: usize = 300;
/// The longest a close may take while the touch has something now and then.
const CLOSE_NS_MAX: i64 = 60 * NS_PER_SEC;

#[derive(Default, Debug, Clone, Copy)]
pub struct Seen {
    pub entries: u64,
    pub closed: u64,
    pub parts: u64,
    pub flattened: u64,
    pub moved: u64,
    pub expired_stops: u64,
    pub quiet_compared: u64,
    pub forced: u64,
}

impl Seen {
    pub fn add(&mut self, other: Seen) {
        self.entries += other.entries;
        self.closed += other.closed;
        self.parts += other.parts;
        self.flattened += other.flattened;
        self.moved += other.moved;
        self.expired_stops += other.expired_stops;
        self.quiet_compared += other.quiet_compared;
        self.forced += other.forced;
    }
}

pub struct Audit {
    table: InstrumentTable,
    settings: Settings,
    line: Line,
    pub seen: Seen,
    pub figures: Figures,
    ids: BTreeMap<OrderId, Order>,
    entered: BTreeSet<OrderId>,
    /// Per trade: quantity entered and the stop at it.
    stops: BTreeMap<OrderId, (Lots, Ticks)>,
    /// Since when each trade has been closing with something open.
    closing_since: BTreeMap<OrderId, TimeNs>,
    sent_ns: VecDeque<TimeNs>,
    state_before: TradingState,
}

impl Audit {
    pub fn new(table: &InstrumentTable, settings: Settings, line: Line) -> Audit {
        Audit {
            table: table.clone(),
            settings,
            line,
            seen: Seen::default(),
            figures: Figures::default(),
            ids: BTreeMap::new(),
            entered: BTreeSet::new(),
            stops: BTreeMap::new(),
            closing_since: BTreeMap::new(),
            sent_ns: VecDeque::new(),
            state_before: TradingState::Active,
        }
    }

    /// The orders issued last, newest first.
    pub fn newest(&self) -> Vec<OrderId> {
        self.ids.keys().rev().take(12).copied().collect()
    }

    pub fn before(&mut self, engine: &Engine) {
        self.state_before = engine.controller().state();
    }

    pub fn after(
        &mut self,
        event: &Event,
        now: TimeNs,
        engine: &Engine,
        outputs: &[Output],
        venue: &Venue,
        quiet: bool,
    ) {
        self.count(event);
        for output in outputs {
            self.output(output, event, engine, venue);
        }
        self.figures.take(event, outputs);
        if self.line == Line::Hostile {
            return;
        }
        self.figures.compare(engine);
        self.rate(now);
        let open = engine.trades().iter().filter(|trade| !trade.finished).count();
        assert!(open <= self.settings.max_concurrent_trades as usize, "{open} trades at a time");
        for trade in engine.trades() {
            self.ratchet(trade);
            if self.line == Line::Honest {
                self.protected(trade, now, matches!(event.body, EventBody::Timer(_)));
            }
        }
        if self.line == Line::Honest {
            self.venue_side(engine, venue);
            if quiet {
                self.quiet(engine, venue);
            }
        }
    }

    fn count(&mut self, event: &Event) {
        match &event.body {
            EventBody::Fill(fill) if fill.cause != FillCause::Order => self.seen.forced += 1,
            EventBody::OrderUpdate(update) if update.status == OrderStatus::Expired => {
                let stop = self.ids.get(&update.order).is_some_and(|order| order.purpose == Purpose::Stop);
                self.seen.expired_stops += u64::from(stop);
            }
            _ => {}
        }
    }

    fn output(&mut self, output: &Output, event: &Event, engine: &Engine, venue: &Venue) {
        match &output.body {
            OutputBody::Order(order) => self.order(output.instrument, order, engine, venue),
            OutputBody::Cancel(cancel) if self.line == Line::Honest => {
                assert!(self.ids.contains_key(&cancel.id), "cancels an order it never sent");
            }
            OutputBody::Query(query) => assert!(self.ids.contains_key(&query.id)),
            OutputBody::TradeClosed(_) => self.seen.closed += 1,
            OutputBody::StopMoved(_) => self.seen.moved += 1,
            OutputBody::ExitFired(fired) => match fired.signal {
                ExitSignal::PartialTp => self.seen.parts += 1,
                ExitSignal::Flatten => self.seen.flattened += 1,
                _ => {}
            },
            OutputBody::Alarm(alarm) if self.line == Line::Honest => {
                let expected = matches!(
                    alarm.kind,
                    AlarmKind::Operator
                        | AlarmKind::StopRefused
                        | AlarmKind::UnprotectedDeadline
                        | AlarmKind::StopNotTriggered
                        | AlarmKind::EntryRefused
                        | AlarmKind::ExitRefused
                        | AlarmKind::ForcedExit
                );
                assert!(expected, "{alarm:?} after {event:?}");
            }
            _ => {}
        }
    }

    fn order(&mut self, instrument: InstrumentId, order: &Order, engine: &Engine, venue: &Venue) {
        assert!(self.ids.insert(order.id, *order).is_none(), "{:?} issued twice", order.id);
        assert!(order.quantity.0 > 0);
        if self.line == Line::Hostile {
            return;
        }
        self.sent_ns.push_back(engine.now());
        let trade = engine.trades().iter().find(|trade| trade.id == order.trade);
        if order.purpose == Purpose::Entry {
            self.seen.entries += 1;
            assert_eq!(self.state_before, TradingState::Active, "entry while not active");
            assert!(self.entered.insert(order.trade), "a trade entered twice");
            assert!(!order.reduce_only);
            assert_eq!(venue.position(instrument).quantity, Lots::ZERO, "entry beside a position");
            let others = venue.open_orders().iter().filter(|open| open.instrument == instrument).count();
            assert_eq!(others, 0, "entry beside orders of an earlier trade");
            return;
        }
        assert!(order.reduce_only);
        // Without a trade the order is the emergency close of something that was not ours.
        let Some(trade) = trade else { return };
        assert_eq!(order.side, trade.side().opposite());
        assert!(order.quantity <= trade.open(), "{order:?} exceeds {:?}", trade.open());
        if order.purpose == Purpose::Exit {
            let on_their_way: i64 = trade.live(Purpose::Exit).map(|exit| exit.outstanding().0).sum();
            assert!(on_their_way <= trade.open().0, "exits of {on_their_way} for {:?}", trade.open());
        }
    }

    fn rate(&mut self, now: TimeNs) {
        while self.sent_ns.front().is_some_and(|at| now.since(*at) > 10 * NS_PER_SEC) {
            self.sent_ns.pop_front();
        }
        assert!(self.sent_ns.len() <= ORDERS_PER_10S, "an order storm");
    }

    fn ratchet(&mut self, trade: &Trade) {
        let Some(exit) = trade.exit.as_ref() else { return };
        let (entered, stop) =
            self.stops.insert(trade.id, (trade.entry.quantity, exit.stop)).unwrap_or((Lots::ZERO, exit.stop));
        if entered == trade.entry.quantity {
            let moved = (exit.stop - stop).0 * trade.side().sign();
            assert!(moved >= 0, "the stop of {:?} moved back by {moved}", trade.id);
        }
    }

    /// An open position has acknowledged stops for all of it, or is within the deadline, or is being
    /// closed; and a close comes to its end.
    fn protected(&mut self, trade: &Trade, now: TimeNs, at_timer: bool) {
        let open = trade.open();
        if trade.finished || open.0 <= 0 {
            self.closing_since.remove(&trade.id);
            return;
        }
        if trade.closing.is_some() {
            let since = *self.closing_since.entry(trade.id).or_insert(now);
            assert!(now.since(since) < CLOSE_NS_MAX, "{:?} does not close: {trade:?}", trade.id);
            return;
        }
        let resting: i64 = trade.live(Purpose::Stop).filter(|o| o.rests()).map(|o| o.outstanding().0).sum();
        if resting >= open.0 {
            return;
        }
        let since = trade.protection.uncovered_since.expect("bare, and nobody counts the time");
        let slack_ms = if at_timer { 0 } else { self.settings.timer_ms };
        let limit_ms = self.settings.protection_deadline_ms + slack_ms;
        assert!(now.since(since) <= limit_ms * NS_PER_MS, "{:?} is bare: {trade:?}", trade.id);
    }

    /// The venue never holds what no trade wanted.
    fn venue_side(&self, engine: &Engine, venue: &Venue) {
        for (id, _) in self.table.iter() {
            let held = venue.position(id).quantity;
            if held.0 == 0 {
                continue;
            }
            let trade = engine.trades().iter().find(|trade| trade.instrument == id);
            let trade = trade.unwrap_or_else(|| panic!("{held:?} of {id:?} and no trade"));
            assert!(held.0 * trade.side().sign() > 0, "the position turned round");
            assert!(held.abs() <= trade.plan.quantity, "more than was approved");
        }
    }

    /// Nothing is on its way: both sides must tell the same story.
    fn quiet(&mut self, engine: &Engine, venue: &Venue) {
        self.seen.quiet_compared += 1;
        let mut value = venue.wallet().0;
        let mut parts = 0;
        for (id, instrument) in self.table.iter() {
            let trade = engine.trades().iter().find(|trade| trade.instrument == id);
            let position = venue.position(id);
            let ours = trade.map_or(0, |trade| trade.open().0 * trade.side().sign());
            assert_eq!(position.quantity.0, ours, "position of {id:?}");
            if let (Some(market), true) = (engine.market(id), ours != 0) {
                value += instrument.money(market.price.wide() * position.quantity.wide()).unwrap().0;
                value -= position.cost.0;
            }
            parts += trade.map_or(0, |trade| trade.exited.0.min(1_000));
        }
        if let Some(equity) = engine.controller().equity() {
            // The venue rounds the cost a partial close releases at 8 places.
            let difference = (equity.0 - value).abs();
            assert!(
                difference <= i128::from(parts) * 10i128.pow(10),
                "equity differs by {}",
                Dec(difference)
            );
        }
        for open in venue.open_orders() {
            let known = engine.trades().iter().find_map(|trade| trade.order(open.order.id));
            let known = known.unwrap_or_else(|| panic!("an orphan at the venue: {open:?}"));
            assert!(!known.is_done(), "we believe it done: {open:?}");
            let holds = venue.position(open.instrument).quantity.0 != 0;
            let leaving = known.cancel_sent.is_some() || open.order.purpose == Purpose::Entry;
            assert!(open.stage != Stage::Resting || holds || leaving, "a stop without a position");
        }
    }
}
