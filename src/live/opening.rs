//! What a start begins with: the events that open a run, and what an earlier start left under way.

use crate::engine::Engine;
use crate::event::{ConfigText, Event, EventBody, InstrumentTable, Order, Purpose, RunStart, WorkingType};
use crate::gateway::Earlier;
use crate::journal::Identity;
use crate::num::{Lots, OrderId, Ticks, TimeNs};
use crate::risk::config::{ExitPrice, Settings};
use crate::trade::LiveOrder;

/// What every run's journal begins with: who it is, its instruments, its settings.
pub fn opening(
    start: TimeNs,
    identity: &Identity,
    settings: &Settings,
    instruments: &InstrumentTable,
    simulated: bool,
) -> Vec<Event> {
    let run_start = RunStart {
        run_id: identity.run_id,
        build_id: identity.build_id,
        epoch: identity.epoch,
        instruments: instruments.len() as u32,
        resting_stops: true,
        simulated,
        rule_voters: true,
        pad: [0; 5],
    };
    let mut events = vec![Event::global(start, EventBody::RunStart(run_start))];
    for (instrument, row) in instruments.iter() {
        events.push(Event { recv_ns: start, instrument, body: EventBody::Instrument(*row) });
    }
    let toml = settings.to_toml();
    events.extend(ConfigText::split(&toml).map(|piece| Event::global(start, EventBody::ConfigText(piece))));
    events
}

/// What the engine has under way, for the gateway.
pub fn earlier(engine: &Engine) -> Earlier {
    let working_type = match engine.settings().exit_price {
        ExitPrice::Mark => WorkingType::MarkPrice,
        ExitPrice::Book | ExitPrice::Last => WorkingType::ContractPrice,
    };
    let mut earlier = Earlier {
        fills: engine.fills_applied().iter().collect(),
        unheard_since: engine.unheard_since(),
        ..Earlier::default()
    };
    for trade in engine.trades() {
        let open = if trade.finished { Lots::ZERO } else { trade.open() };
        earlier.positions.push((trade.instrument, Lots(open.0 * trade.side().sign())));
        let asked = |order: &&LiveOrder| {
            let doubtful = !trade.finished && order.is_doubtful(engine.unheard_since());
            !order.is_done() || doubtful
        };
        let live = trade.orders.iter().filter(asked);
        earlier
            .orders
            .extend(live.map(|live| (trade.instrument, as_sent(live, trade.id, working_type), live.filled)));
    }
    earlier
}

fn as_sent(live: &LiveOrder, trade: OrderId, working_type: WorkingType) -> Order {
    Order {
        id: live.id,
        trade,
        quantity: live.quantity,
        trigger: if live.purpose == Purpose::Stop { live.trigger } else { Ticks::ZERO },
        reference: live.reference,
        side: live.side,
        kind: live.kind,
        purpose: live.purpose,
        working_type,
        reduce_only: live.purpose != Purpose::Entry,
        pad: [0; 3],
    }
}
