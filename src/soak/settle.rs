//! Once nothing goes wrong any more: what engine and venue must agree on.

use super::world::World;
use crate::event::OrderKind;
use crate::num::{Dec, InstrumentId, NS_PER_SEC, TimeNs};
use crate::risk::config::OnUnknownPosition;
use crate::sim::venue::Stage;
use crate::trade::OrderState;
use crate::venue::binance::ClientIds;

/// An order that the venue can't find is given up after a minute: until then both sides may rightly
/// have an open question. With what a question and its answer take.
const IN_QUESTION_NS: i64 = 65 * NS_PER_SEC;
/// The venue rounds the cost that a partial close releases at its eighth place.
const PART_ROUNDING: i128 = 10i128.pow(10);

impl World {
    /// Everything engine and venue do not agree on, in words; empty when they do. Orders that are in
    /// question are counted beside.
    pub fn differences(&mut self) -> (Vec<String>, usize) {
        let mut found = Vec::new();
        let Some(ids) = ClientIds::new(self.settings.order_prefix.as_str()) else { return (found, 0) };
        let Some(process) = &self.process else { return (vec!["no process".to_owned()], 0) };
        let engine = process.intake.core.engine();
        let (mut parts, mut in_question) = (0i128, 0);
        let halts = self.settings.on_unknown_position == OnUnknownPosition::Halt;
        let mut left_alone = Vec::new();
        if engine.is_recovering() {
            found.push("recovering".to_owned());
        }
        for (id, row) in self.market.table.iter() {
            let trade = engine.trades().iter().find(|trade| trade.instrument == id);
            let position = self.desk.venue().position(id);
            let ours = trade.filter(|t| !t.finished).map_or(0, |t| t.open().0 * t.side().sign());
            let entry = trade.and_then(|trade| trade.order(trade.id));
            let in_doubt = entry.is_some_and(|entry| {
                entry.state == OrderState::Unknown && engine.now().since(entry.sent_ns) < IN_QUESTION_NS
            });
            if position.quantity.0 != ours && in_doubt {
                // Whose it is depends on what became of the entry.
                in_question += 1;
                left_alone.push(id);
                continue;
            }
            if position.quantity.0 != ours && halts {
                // Left to the operator, with whatever rests there: it may be its only stop.
                left_alone.push(id);
                continue;
            }
            if position.quantity.0 != ours {
                found.push(format!("{}: {} held, {ours} believed", row.symbol, position.quantity.0));
            }
            parts += i128::from(trade.map_or(0, |trade| trade.exited.0.min(1_000)));
            let stops = self.desk.venue().open_orders().iter().filter(|open| {
                open.instrument == id
                    && open.order.kind == OrderKind::StopMarket
                    && open.order.side.sign() * ours < 0
            });
            let covered: i64 = stops.map(|open| open.remaining().0).sum();
            if covered < ours.abs() {
                found.push(format!("{}: {covered} of {} protected", row.symbol, ours.abs()));
            }
        }
        let Some(process) = &self.process else { return (found, 0) };
        let engine = process.intake.core.engine();
        let parts_closed =
            engine.trades().iter().filter(|trade| !trade.finished).map(|trade| trade.realised.0);
        if let Some(wallet) = engine.controller().wallet().filter(|_| left_alone.is_empty()) {
            let difference = (wallet.0 + parts_closed.sum::<i128>() - self.desk.venue().wallet().0).abs();
            if difference > parts * PART_ROUNDING {
                found.push(format!("wallet differs by {}", Dec(difference)));
            }
        }
        in_question += self.orders_differ(&ids, &left_alone, &mut found);
        (found, in_question)
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
                None if left_alone.contains(&order.instrument) => {}
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
        let patience = self.patience.ends().unwrap_or(self.weather.clears);
        self.weather.clears.max(patience)
    }
}
