//! Once nothing goes wrong any more: what engine and venue must agree on.

use std::collections::BTreeMap;

use super::world::World;
use super::{Failure, LOOK_NS, START};
use crate::event::{OrderKind, Purpose};
use crate::num::{Dec, InstrumentId, Lots, NS_PER_SEC, TimeNs};
use crate::risk::config::OnUnknownPosition;
use crate::sim::venue::Stage;
use crate::trade::{LiveOrder, OrderState};
use crate::venue::binance::ClientIds;

/// An order that the venue can't find is given up after a minute: until then both sides may rightly
/// have an open question. With what a question and its answer take.
const IN_QUESTION_NS: i64 = 65 * NS_PER_SEC;
/// What others used up counts with the gateway until the venue's minute ends, by its clock as last read, and a
/// second longer.
const OTHERS_NS: i64 = 70 * NS_PER_SEC;
/// The venue rounds the cost that a partial close releases at its eighth place.
const PART_ROUNDING: i128 = 10i128.pow(10);

/// Differences of one look after the other, and since when each is there.
#[derive(Default)]
pub(super) struct Unsettled {
    since: BTreeMap<String, (TimeNs, String)>,
}

impl Unsettled {
    /// Lets a moment pass and looks: since when the oldest difference is there, and how many orders are in
    /// question.
    pub fn look(&mut self, world: &mut World) -> Result<(Option<TimeNs>, usize), Failure> {
        world.run_until(world.now + LOOK_NS)?;
        let (found, in_question) = world.differences();
        let before = std::mem::take(&mut self.since);
        // The first word is what it is of; the figures behind it may change.
        for text in found {
            let of = text.split([' ', ':']).next().unwrap_or_default().to_owned();
            let since = before.get(&of).map_or(world.now, |(since, _)| *since);
            self.since.insert(of, (since, text));
        }
        let oldest = self.since.values().map(|(since, _)| *since).min();
        if let Some(oldest) = oldest {
            world.audit.note_apart(world.now.since(oldest));
        }
        Ok((oldest, in_question))
    }

    /// What there is, each with its time.
    pub fn failure(&self, at: TimeNs, what: &str) -> Failure {
        let since = self.since.values().map(|(since, _)| *since).min().unwrap_or(at);
        let ms = |since: TimeNs| super::ms(since);
        let each = self.since.values().map(|(since, text)| format!("{text} (since {} ms)", ms(*since)));
        Failure { at, since, what: format!("{what}: {}", each.collect::<Vec<_>>().join("; ")) }
    }
}

impl World {
    /// Everything engine and venue do not agree on, in words of which the first says what it is of; empty
    /// when they do. Orders that are in question are counted beside.
    pub fn differences(&mut self) -> (Vec<String>, usize) {
        let prefix = self.settings.order_prefix;
        let Some(ids) = ClientIds::new(prefix.as_str()) else {
            return (vec![format!("prefix {prefix:?} is none")], 0);
        };
        let Some(process) = &self.process else { return (vec!["process is none".to_owned()], 0) };
        let engine = process.intake.core.engine();
        let mut found = Vec::new();
        let (mut parts, mut in_question) = (0i128, 0);
        let mut left_alone = Vec::new();
        if engine.is_recovering() {
            found.push("engine is recovering".to_owned());
        }
        for (id, row) in self.market.table.iter() {
            let symbol = row.symbol;
            let trade = engine.trades().iter().find(|trade| trade.instrument == id && !trade.finished);
            let position = self.desk.venue().position(id).quantity;
            let ours = trade.map_or(0, |trade| trade.open().0 * trade.side().sign());
            let entry = trade.and_then(|trade| trade.order(trade.id));
            let in_doubt = entry.is_some_and(|entry| {
                entry.state == OrderState::Unknown && engine.now().since(entry.sent_ns) < IN_QUESTION_NS
            });
            if position.0 != ours && in_doubt {
                // Whose it is depends on what became of the entry.
                in_question += 1;
                left_alone.push(id);
                continue;
            }
            let unknown = position.0 != ours;
            let open = trade.filter(|trade| trade.closing.is_some() && trade.open() > Lots::ZERO);
            if unknown && self.is_left_to_the_operator(id, position) {
                left_alone.push(id);
            } else if unknown {
                found.push(format!("{symbol}: {} held, {ours} believed", position.0));
            } else if open.is_some() {
                found.push(format!("{symbol}: still closing"));
            }
            parts += i128::from(trade.map_or(0, |trade| trade.exited.0.min(1_000)));
            let covered = self.desk.venue().stopped(id).0;
            // What is there of ours has its stop, whatever else is there.
            let needs =
                if position.0.signum() == ours.signum() { ours.abs().min(position.0.abs()) } else { 0 };
            // While a part of it goes its stop is for more, and while one is in question others stand for it.
            let asked = |order: &LiveOrder| {
                let unknown = matches!(order.state, OrderState::Unknown | OrderState::Sent);
                unknown && engine.now().since(order.sent_ns) < IN_QUESTION_NS
            };
            let exact = !unknown
                && trade.is_none_or(|trade| {
                    trade.exiting() == Lots::ZERO && !trade.live(Purpose::Stop).any(asked)
                });
            if covered < needs || (covered > needs && exact) {
                found.push(format!("{symbol}: stops for {covered}, of {needs} to be protected"));
            }
        }
        let parts_closed =
            engine.trades().iter().filter(|trade| !trade.finished).map(|trade| trade.realised.0);
        match engine.controller().wallet() {
            None => found.push("wallet is unknown".to_owned()),
            // An entry in doubt may have paid its fee.
            Some(_) if in_question > 0 => {}
            Some(wallet) => {
                let parts_closed = parts_closed.sum::<i128>();
                let difference = (wallet.0 + parts_closed - self.desk.venue().wallet().0).abs();
                if difference > parts * PART_ROUNDING {
                    found.push(format!("wallet differs by {}", Dec(difference)));
                }
            }
        }
        in_question += self.orders_differ(&ids, &left_alone, &mut found);
        (found, in_question)
    }

    /// Whether what is held is nobody's, by the engine's own word.
    fn is_left_to_the_operator(&self, id: InstrumentId, held: Lots) -> bool {
        let Some(process) = &self.process else { return false };
        let disputes_it = process.intake.core.engine().disputed(id) == Some(held);
        self.settings.on_unknown_position == OnUnknownPosition::Halt && disputes_it
    }

    /// Whether the process has not both connections, or listens to one that says nothing any more.
    pub(super) fn is_deaf(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let sockets = [process.orders.socket, process.user.socket];
        sockets.into_iter().any(|socket| socket.is_none_or(|socket| self.deaf.contains(&socket)))
    }

    /// Open orders of both sides; how many are in question.
    fn orders_differ(
        &mut self,
        ids: &ClientIds,
        left_alone: &[InstrumentId],
        found: &mut Vec<String>,
    ) -> usize {
        let Some(process) = &self.process else { return 0 };
        let engine = process.intake.core.engine();
        let mut in_question = 0;
        let open: Vec<_> = self.desk.venue().open_orders().to_vec();
        let mut there = Vec::new();
        for order in &open {
            let Some(id) = ids.parse(self.desk.client_id(order.order.id)) else { continue };
            let known = engine.trades().iter().find_map(|trade| trade.order(id));
            match known {
                // It may be the only stop of what is held there: the engine knows no more of it than its id.
                None if left_alone.contains(&order.instrument)
                    && order.order.kind == OrderKind::StopMarket => {}
                None => found.push(format!("{id} is open, and no trade has it")),
                Some(known) if known.is_done() => found.push(format!("{id} is open, and believed done")),
                Some(known) if order.stage == Stage::Resting && known.cancel_sent.is_some() => {
                    found.push(format!("{id} is open, and its cancel under way"));
                }
                Some(_) => there.push(id),
            }
        }
        for order in engine.trades().iter().flat_map(|trade| &trade.orders) {
            if order.is_done() || there.contains(&order.id) {
                continue;
            }
            let question = matches!(order.state, OrderState::Unknown | OrderState::Sent);
            if question && engine.now().since(order.sent_ns) < IN_QUESTION_NS {
                in_question += 1;
            } else {
                found.push(format!("{} is believed {:?}, and not open", order.id, order.state));
            }
        }
        in_question
    }

    /// Whether nothing more can go wrong by itself: spells, blows, silences and restarts are over.
    pub fn clears_at(&self) -> TimeNs {
        let others = self.others_asked.map(|at| at + OTHERS_NS);
        [self.silent_until(), others].into_iter().flatten().fold(self.weather.clears, TimeNs::max)
    }

    /// Until when the venue wants to hear nothing: by the storm's word, or by its own limits.
    pub(super) fn silent_until(&self) -> Option<TimeNs> {
        let own = self.desk.silent_until_ms();
        let own = (own > START.ms()).then(|| self.clocks.world_of_venue(TimeNs::from_ms(own)));
        self.patience.ends().max(own)
    }
}
