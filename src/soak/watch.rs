//! What a test does beside the weather, and what it sees: single signals and orders by hand, the venue,
//! and whatever reached its door.

use super::market::instruments;
use super::world::World;
use super::{Failure, Outcome, START};
use crate::event::record::Entry;
use crate::event::{
    Action, Ballot, Consensus, Event, EventBody, InstrumentTable, OrderStatus, OrderUpdate, SEATS, Signal,
    SignalSource,
};
use crate::num::{Dec, InstrumentId, Lots, OrderId, Side, TimeNs};
use crate::sim::server::Desk;
use crate::venue::binance::SIMULATED_KEY;
use crate::venue::binance::sign::Signer;

/// Where a world is, beside what its seed draws.
#[derive(Clone, Debug)]
pub struct Site {
    /// Three of them.
    pub instruments: InstrumentTable,
    /// The venue has its own limits on requests and orders, whatever the seed says.
    pub strict: bool,
}

impl Default for Site {
    fn default() -> Site {
        Site { instruments: instruments(), strict: false }
    }
}

/// A request that reached the venue's door, whatever became of it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// By the world's clock.
    pub at: TimeNs,
    /// The text of the order websocket, or verb, path and query of a REST call.
    pub text: String,
}

impl World {
    /// A signal, now.
    ///
    /// # Errors
    /// The first thing that must not be.
    pub fn give(&mut self, instrument: InstrumentId, action: Action) -> Result<(), Failure> {
        let signal = self.signal_of(instrument, action, Consensus::Unanimous, Dec::new(9, 1));
        self.tell_engine(&signal)
    }

    pub(super) fn signal_of(
        &self,
        instrument: InstrumentId,
        action: Action,
        consensus: Consensus,
        confidence: Dec,
    ) -> Event {
        let signal = Signal {
            confidence: [confidence, Dec::ZERO, Dec::ZERO, Dec::ZERO],
            ballot: Ballot::of([Action::Abstain; SEATS]),
            given: true,
            action,
            consensus,
            source: SignalSource::External,
            pad: [0; 8],
        };
        Event { recv_ns: self.ours(), instrument, body: EventBody::Signal(signal) }
    }

    /// The account's owner sends a market order of his own, past the engine.
    pub fn trade_by_hand(&mut self, instrument: InstrumentId, side: Side, lots: Lots) {
        let Some(row) = self.market.table.get(instrument).copied() else { return };
        let quantity = row.format_quantity(lots);
        let stamp = crate::num::Now::now(&self.clocks.venue).ms();
        self.by_hand += 1;
        let number = self.by_hand;
        let query = format!(
            "symbol={}&side={}&type=MARKET&quantity={quantity}&newClientOrderId=hand-{number}&timestamp={stamp}",
            row.symbol,
            side.as_str()
        );
        let Ok(mut signer) = Signer::new("sim") else { return };
        let signature = signer.sign(&query);
        let query = format!("{query}&signature={signature}");
        self.desk.call("POST", crate::venue::binance::path::ORDER, &query, SIMULATED_KEY);
    }

    /// The engine hears a word on an order by hand, as it may come late or from a gateway of another start.
    ///
    /// # Errors
    /// The first thing that must not be.
    pub fn say(&mut self, id: InstrumentId, order: OrderId, status: OrderStatus) -> Result<(), Failure> {
        let update =
            OrderUpdate { order, venue_id: 0, filled: Lots::ZERO, event_ms: 0, code: 0, status, pad: [0; 3] };
        let body = EventBody::OrderUpdate(update);
        self.tell_engine(&Event { recv_ns: self.ours(), instrument: id, body })
    }

    /// The venue, from its own side.
    pub fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    /// From now on what reaches the venue's door is kept.
    pub fn watch_door(&mut self) {
        self.door.get_or_insert_default();
    }

    /// What reached it, oldest first.
    pub fn door(&self) -> &[Knock] {
        self.door.as_deref().unwrap_or_default()
    }

    pub(super) fn note_knock(&mut self, text: impl FnOnce() -> String) {
        if let Some(door) = &mut self.door {
            door.push(Knock { at: self.now, text: text() });
        }
    }

    /// From here on there is plenty to trade with, nobody trades anew, and who was to die lives.
    pub fn calm(&mut self) {
        self.market.thick = true;
        (self.quiet, self.dying) = (true, false);
    }

    /// The journal as it stands.
    pub fn entries(&self) -> &[Entry] {
        match &self.process {
            Some(process) => &process.intake.core.recorder().entries,
            None => &self.disk.journal.entries,
        }
    }

    /// What the gateway waits for, for whoever looks for a fault.
    pub fn describe(&self) -> String {
        let Some(process) = &self.process else { return "no process".to_owned() };
        let (urgent, other) = (process.out.urgent.len(), process.out.rest.len());
        let mut trades = String::new();
        let controller = process.intake.core.engine().controller();
        trades += &format!("{:?}, wallet {:?}\n", controller.state(), controller.wallet());
        for (id, row) in self.market.table.iter() {
            if let Some(stated) = process.intake.core.engine().disputed(id) {
                trades += &format!("{}: {} stated\n", row.symbol, stated.0);
            }
        }
        for trade in process.intake.core.engine().trades() {
            trades +=
                &format!("{} {:?}, {} open:", trade.id, trade.state, trade.open().0 * trade.side().sign());
            for order in trade.orders.iter().filter(|order| !order.is_done()) {
                trades += &format!(" {} {:?} {:?}", order.id, order.purpose, order.state);
            }
            trades += "\n";
        }
        format!(
            "{trades}REST: {:?} and {urgent} wait, {:?} and {other} wait; sockets {:?} {:?}; {}",
            process.urgent,
            process.other,
            process.orders.socket,
            process.user.socket,
            process.gateway.describe()
        )
    }

    pub fn instruments(&self) -> &InstrumentTable {
        &self.market.table
    }

    pub(super) fn outcome(&self, settled_ns: i64, in_question: usize) -> Outcome {
        let hash = self
            .process
            .as_ref()
            .map_or(self.disk.journal.hash, |process| process.intake.core.recorder().hash);
        Outcome {
            figures: self.audit.figures,
            coverage: self.audit.coverage.clone(),
            hash,
            settled_ns,
            in_question,
            simulated_ns: self.now.since(START),
        }
    }
}
