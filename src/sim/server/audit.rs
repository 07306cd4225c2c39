//! What an auditor asks for, out of the dialect: `GET /sim/audit`. Positions and open orders are the
//! venue's own, in this instant; what is counted follows its reports, in its own time.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::core::Core;
use super::render::orders::order_type;
use crate::event::{Order, OrderKind, OrderStatus};
use crate::num::{InstrumentId, Lots, Millis, OrderId, Side};
use crate::sim::venue::{OrderReport, Report, ReportBody};

/// Client ids requested again that are named; the rest is counted.
const AGAIN_MAX: usize = 100;

/// What is counted from the start of the venue on.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Orders asked for under the id of another, refused ones too.
    again: u64,
    again_ids: Vec<String>,
    covers: BTreeMap<InstrumentId, Cover>,
    bare_ms_max: Millis,
}

/// A position, and the stops that would close it.
#[derive(Debug, Default)]
struct Cover {
    position: Lots,
    stops: BTreeMap<OrderId, (Side, Lots)>,
    /// Since when stops for all of it were missing.
    bare_since: Option<Millis>,
}

impl Cover {
    fn is_whole(&self) -> bool {
        let closing = if self.position.0 > 0 { Side::Sell } else { Side::Buy };
        let of_it = self.stops.values().filter(|(side, _)| *side == closing);
        of_it.map(|(_, left)| left.wide()).sum::<i128>() >= self.position.wide().abs()
    }

    /// A stop counts until it has ended: one that triggered is what closes the position.
    fn note_stop(&mut self, report: &OrderReport) {
        let OrderReport { order, filled, status, .. } = report;
        let ended =
            status.is_some_and(|status| !matches!(status, OrderStatus::Accepted | OrderStatus::Triggered));
        if ended {
            self.stops.remove(&order.id);
        } else {
            self.stops.insert(order.id, (order.side, Lots(order.quantity.0 - filled.0)));
        }
    }

    /// For how long a position has stood without, if that ended at `now_ms`.
    fn look(&mut self, now_ms: Millis) -> Option<Millis> {
        if self.is_whole() {
            return self.bare_since.take().map(|since| now_ms - since);
        }
        self.bare_since.get_or_insert(now_ms);
        None
    }
}

impl Audit {
    pub fn requested_again(&self) -> u64 {
        self.again
    }

    pub fn note_again(&mut self, client_id: &str) {
        self.again += 1;
        if self.again_ids.len() < AGAIN_MAX && !self.again_ids.iter().any(|known| known == client_id) {
            self.again_ids.push(client_id.to_owned());
        }
    }

    /// Follows a report.
    pub fn take(&mut self, report: &Report) {
        let cover = self.covers.entry(report.instrument).or_default();
        let at_ms = match &report.body {
            ReportBody::Order(order) if is_reducing_stop(&order.order) => {
                cover.note_stop(order);
                order.event_ms
            }
            ReportBody::Account { position: Some(position), .. } => {
                cover.position = position.quantity;
                position.event_ms
            }
            _ => return,
        };
        if let Some(bare_ms) = cover.look(at_ms) {
            self.bare_ms_max = self.bare_ms_max.max(bare_ms);
        }
    }

    /// For how long the longest of the positions that stand without stops for all of them has done so.
    fn bare_ms(&self, now_ms: Millis) -> Millis {
        let since = self.covers.values().filter_map(|cover| cover.bare_since).min();
        since.map_or(0, |since| now_ms.saturating_sub(since).max(0))
    }
}

fn is_reducing_stop(order: &Order) -> bool {
    order.kind == OrderKind::StopMarket && order.reduce_only
}

impl Core {
    pub(super) fn audit(&mut self) -> String {
        let now_ms = self.now.ms();
        let venue = self.exchange.link().venue();
        let positions: Map<String, Value> = self
            .instruments
            .iter()
            .map(|(id, row)| {
                let quantity = row.quantity(venue.position(id).quantity);
                (row.symbol.to_string(), quantity.to_string().into())
            })
            .collect();
        let orders = venue.open_orders().iter().filter_map(|open| {
            let (row, order) = (self.instruments.get(open.instrument)?, &open.order);
            let rests = order.kind == OrderKind::StopMarket;
            Some(json!({
                "client_id": self.book.client_id(order.id),
                "symbol": row.symbol.as_str(),
                "side": order.side.as_str(),
                "kind": order_type(order),
                "reduce_only": order.reduce_only,
                "quantity": row.quantity(order.quantity).to_string(),
                "filled": row.quantity(open.filled).to_string(),
                "trigger": rests.then(|| row.price(order.trigger).to_string()),
            }))
        });
        let orders: Vec<Value> = orders.collect();
        let bare_ms = self.audit.bare_ms(now_ms);
        json!({
            "now_ms": now_ms,
            "orders_requested": self.clients.report.orders,
            "requested_again": { "count": self.audit.again, "client_ids": self.audit.again_ids },
            "positions": positions,
            "open_orders": orders,
            "requests_over_limits": self.rates.over_limits,
            "requests_during_ban": self.rates.during_ban,
            "unprotected_ms": { "now": bare_ms, "longest": self.audit.bare_ms_max.max(bare_ms) },
        })
        .to_string()
    }
}
