//! The scenario: one line after the other, each as events for the engine.

use super::listing::Listing;
use super::request::{Kind, Request, read};
use super::said::{self, Checked, Said, Sized};
use crate::engine::{Engine, Outbox};
use crate::event::{
    AccountReason, AccountUpdate, Action, ClockSync, Command, CommandKind, Decision, Event, EventBody, Fill,
    FillCause, Instrument, InstrumentTable, Order, Output, OutputBody, Prices, Purpose, RunStart,
    SignalWithConditions, VenueSetup,
};
use crate::num::{Dec, InstrumentId, Lots, OrderId, Rounding, Side, Ticks, TimeNs};
use crate::observe::Lines;
use crate::risk::config::Settings;
use crate::risk::money;
use crate::trade::Trade;

const NOTHING_PENDING: &str = "nothing is pending in this instrument";
/// Messages may repeat parts of a line, which may be long.
const ERROR_CHARS_MAX: usize = 300;

/// A scenario under way.
pub struct Scenario {
    settings: Settings,
    /// Says why a signal was rejected, as the log does.
    reasons: Lines,
    engine: Engine,
    outbox: Box<Outbox>,
    listing: Listing,
    /// Exits said and not filled yet, in the order they were said.
    due: Vec<Due>,
    fills: i64,
    /// Number of the line under way, from 1.
    number: u64,
    said: String,
}

/// What of an exit order is still to fill.
struct Due {
    id: InstrumentId,
    order: Order,
    left: Lots,
}

/// One fill, as the engine will hear of it.
struct Execution {
    id: InstrumentId,
    order: OrderId,
    side: Side,
    price: Ticks,
    quantity: Lots,
    at: TimeNs,
    cause: FillCause,
}

/// A `fill` line that belongs to exits.
#[derive(Clone, Copy)]
struct ExitFill {
    id: InstrumentId,
    price: Ticks,
    quantity: Lots,
}

/// Whether a fill of an entry is printed.
#[derive(Clone, Copy, PartialEq)]
enum Tell {
    Entry,
    Nothing,
}

impl Scenario {
    /// Correlation is not modelled: its rule is switched off whatever the settings say.
    pub fn new(settings: &Settings) -> Scenario {
        let settings = Settings { max_correlation: Dec::ONE, ..*settings };
        Scenario {
            settings,
            reasons: Lines::new(InstrumentTable::default(), settings),
            engine: new_engine(&settings),
            outbox: Outbox::new(),
            listing: Listing::default(),
            due: Vec::new(),
            fills: 0,
            number: 0,
            said: String::new(),
        }
    }

    /// Takes a line, without its end; the lines it causes, each with its end. A line that is refused
    /// changes nothing, but what was due before it happens.
    pub fn line(&mut self, line: &[u8]) -> &str {
        self.begin();
        let request = read(line, &self.listing).and_then(|request| self.possible(request));
        let exit = request.as_ref().ok().and_then(|request| self.exit_fill(&request.kind));
        self.fill_due(exit);
        match request {
            Ok(request) => self.apply(request, exit.is_some()),
            Err(error) => self.refuse(error),
        }
        &self.said
    }

    /// A line that is too long to be read.
    pub fn oversized(&mut self, bytes_max: usize) -> &str {
        self.begin();
        self.fill_due(None);
        self.refuse(format!("longer than the {bytes_max} bytes allowed"));
        &self.said
    }

    /// The end of the input: what is due still happens.
    pub fn end(&mut self) -> &str {
        self.said.clear();
        self.fill_all_due();
        &self.said
    }

    fn begin(&mut self) {
        self.said.clear();
        self.number += 1;
    }

    fn say(&mut self, line: &Said) {
        push(&mut self.said, line);
    }

    fn refuse(&mut self, error: String) {
        let error = error.chars().take(ERROR_CHARS_MAX).collect();
        self.say(&Said::Error { line: self.number, error });
    }

    /// A fill is of something, and no more of it than there is.
    fn possible(&self, request: Request) -> Result<Request, String> {
        if let Kind::Fill { id, quantity, .. } = &request.kind {
            let pending = self.due_lots(*id).or_else(|| self.assumed(*id).map(|rest| rest.quantity));
            let pending = pending.ok_or(NOTHING_PENDING)?;
            if quantity.is_some_and(|quantity| quantity > pending) {
                return Err("quantity: more than is pending".to_string());
            }
        }
        Ok(request)
    }

    fn trade(&self, id: InstrumentId) -> Option<&Trade> {
        self.engine.trades().iter().find(|trade| trade.instrument == id)
    }

    /// Lots on their way out; `None` if there are none.
    fn due_lots(&self, id: InstrumentId) -> Option<Lots> {
        let lots: i64 = self.due.iter().filter(|due| due.id == id).map(|due| due.left.0).sum();
        (lots > 0).then_some(Lots(lots))
    }

    fn exit_fill(&self, kind: &Kind) -> Option<ExitFill> {
        let Kind::Fill { id, price, quantity } = kind else { return None };
        let due = self.due_lots(*id)?;
        Some(ExitFill { id: *id, price: *price, quantity: quantity.unwrap_or(due) })
    }

    fn apply(&mut self, request: Request, exit_filled: bool) {
        let at = request.at.unwrap_or(TimeNs(0)).max(self.engine.now());
        match request.kind {
            Kind::Account { equity } => self.account(at, equity),
            Kind::Instrument { row, leverage } => self.instrument(at, row, leverage),
            Kind::Signal { id, prices, given } => self.signal(at, id, prices, &given),
            Kind::Price { id, prices } => {
                self.pass_to(at);
                self.prices(at, id, prices);
            }
            // Done before the clock moved.
            Kind::Fill { .. } if exit_filled => self.pass_to(at),
            Kind::Fill { id, price, quantity } => self.entry_fill(at, id, price, quantity),
            Kind::Reset => {
                (self.engine, self.listing) = (new_engine(&self.settings), Listing::default());
                self.due.clear();
                self.say(&Said::Reset);
            }
        }
    }

    /// The first account says what there is; later ones are gains and losses.
    fn account(&mut self, at: TimeNs, equity: Dec) {
        let (reason, change) = match self.engine.controller().equity() {
            None => (AccountReason::Snapshot, Dec::ZERO),
            Some(now) => (AccountReason::Funding, money::add(equity, -now)),
        };
        let update = AccountUpdate { wallet: equity, change, event_ms: at.ms(), reason, pad: [0; 7] };
        self.event(at, InstrumentId::NONE, EventBody::AccountUpdate(update));
    }

    fn instrument(&mut self, at: TimeNs, row: Instrument, leverage: Option<u32>) {
        let id = match self.listing.place(&row) {
            Ok(id) => id,
            Err(error) => return self.refuse(error),
        };
        let changes = self.listing.row(id).is_some_and(|known| *known != row);
        if changes && self.trade(id).is_some() {
            return self.refuse(format!("symbol \"{}\": it is traded and can't change now", row.symbol));
        }
        self.listing.put(id, row);
        self.event(at, id, EventBody::Instrument(row));
        let leverage = leverage.unwrap_or(0);
        let setup = VenueSetup { leverage, isolated: false, one_way: true, single_asset: true, pad: 0 };
        self.event(at, id, EventBody::VenueSetup(setup));
    }

    fn signal(&mut self, at: TimeNs, id: InstrumentId, prices: Option<Prices>, given: &SignalWithConditions) {
        self.pass_to(at);
        match prices {
            Some(prices) => {
                self.prices(at, id, prices);
                self.fill_all_due();
            }
            None => self.settle_entry(id, FillCause::Order),
        }
        self.event(at, id, EventBody::SignalWithConditions(*given));
        let decision = self.outbox.outputs().iter().find_map(|output| match output.body {
            OutputBody::Decision(decision) => Some(decision),
            _ => None,
        });
        match decision {
            Some(decision) => self.say_decision(id, &decision),
            None => self.say_hold(id),
        }
    }

    fn prices(&mut self, at: TimeNs, id: InstrumentId, prices: Prices) {
        self.settle_entry(id, FillCause::Assumed);
        self.event(at, id, EventBody::Prices(prices));
    }

    fn say_decision(&mut self, id: InstrumentId, decision: &Decision) {
        let Some(row) = self.listing.row(id) else { return };
        let plan = self.engine.trades().iter().find(|trade| trade.id == decision.order);
        let size = plan.map(|trade| Sized::of(&trade.plan, decision, row)).unwrap_or_default();
        let line = Said::Decision {
            symbol: row.symbol.as_str(),
            action: Action::of(decision.side).as_str(),
            approved: decision.approved,
            size,
            reason: (!decision.approved).then(|| self.reasons.reason(row, decision)),
            checks: self.engine.checks().iter().filter_map(|check| Checked::of(check, row)).collect(),
        };
        push(&mut self.said, &line);
    }

    fn say_hold(&mut self, id: InstrumentId) {
        let Some(row) = self.listing.row(id) else { return };
        let line = Said::Decision {
            symbol: row.symbol.as_str(),
            action: Action::Hold.as_str(),
            approved: false,
            size: Sized::default(),
            reason: Some("hold: no side to take".to_string()),
            checks: Vec::new(),
        };
        push(&mut self.said, &line);
    }

    /// The clock goes on; day and week roll before anything of the line is applied.
    fn pass_to(&mut self, at: TimeNs) {
        self.event(at, InstrumentId::NONE, EventBody::ClockSync(ClockSync { offset_ns: 0, slew_ppb: 0 }));
    }

    /// What is left of a pending entry, filled at its decision's price and time.
    fn assumed(&self, id: InstrumentId) -> Option<Execution> {
        let trade = self.trade(id)?;
        let order = trade.order(trade.id).filter(|order| !order.is_done())?;
        let (price, quantity) = (trade.plan.price, order.unfilled());
        Some(Execution {
            id,
            order: order.id,
            side: order.side,
            price,
            quantity,
            at: order.sent_ns,
            cause: FillCause::Order,
        })
    }

    /// With `Assumed` the limits wait for the price that follows.
    fn settle_entry(&mut self, id: InstrumentId, cause: FillCause) {
        if let Some(rest) = self.assumed(id) {
            self.execute(&Execution { cause, ..rest }, Tell::Nothing);
        }
    }

    fn entry_fill(&mut self, at: TimeNs, id: InstrumentId, price: Ticks, quantity: Option<Lots>) {
        // The exits due before this line may have tripped the breaker, which fills and closes all.
        let Some(rest) = self.assumed(id) else { return self.refuse(NOTHING_PENDING.to_string()) };
        let quantity = quantity.unwrap_or(rest.quantity);
        self.execute(&Execution { price, quantity, at, ..rest }, Tell::Entry);
    }

    /// Exits said by earlier lines fill at the price they were tested at, but for what `given` fills.
    fn fill_due(&mut self, given: Option<ExitFill>) {
        let mut asked = given.map_or(Lots::ZERO, |given| given.quantity);
        for due in std::mem::take(&mut self.due) {
            let mut left = due.left;
            if let Some(given) = given.filter(|given| given.id == due.id && asked.0 > 0) {
                let part = asked.min(left);
                self.execute_due(&due, given.price, part);
                (asked, left) = (asked - part, left - part);
            }
            if left.0 > 0 {
                self.execute_due(&due, due.order.reference, left);
            }
        }
    }

    /// Exits, and those that their fills cause by tripping the breaker.
    fn fill_all_due(&mut self) {
        while !self.due.is_empty() {
            self.fill_due(None);
        }
    }

    fn execute_due(&mut self, due: &Due, price: Ticks, quantity: Lots) {
        let (id, order, side, at) = (due.id, due.order.id, due.order.side, self.engine.now());
        self.execute(
            &Execution { id, order, side, price, quantity, at, cause: FillCause::Order },
            Tell::Nothing,
        );
    }

    fn execute(&mut self, execution: &Execution, tell: Tell) {
        self.report(execution, tell);
        self.flatten_if_due();
    }

    /// Tells the engine of a fill.
    fn report(&mut self, execution: &Execution, tell: Tell) {
        let Some(row) = self.listing.row(execution.id) else { return };
        self.fills += 1;
        let fill = Fill {
            order: execution.order,
            trade_id: self.fills,
            fee: fee(row, execution.price, execution.quantity),
            price: execution.price,
            quantity: execution.quantity,
            event_ms: execution.at.ms(),
            side: execution.side,
            maker: false,
            cause: execution.cause,
            pad: [0; 5],
        };
        self.step(execution.at, execution.id, EventBody::Fill(fill), tell);
    }

    fn event(&mut self, at: TimeNs, id: InstrumentId, body: EventBody) {
        self.step(at, id, body, Tell::Nothing);
        self.flatten_if_due();
    }

    /// The breaker closes everything: pending entries first count as filled.
    fn flatten_if_due(&mut self) {
        if !self.engine.flatten_due() {
            return;
        }
        let held: Vec<InstrumentId> = self.engine.trades().iter().map(|trade| trade.instrument).collect();
        for id in held {
            if let Some(execution) = self.assumed(id) {
                self.report(&execution, Tell::Nothing);
            }
        }
        let flatten = Command { command: CommandKind::Flatten, pad: [0; 7] };
        self.step(self.engine.now(), InstrumentId::NONE, EventBody::Command(flatten), Tell::Nothing);
    }

    /// One event: what the engine says of it is printed, its exits become due.
    fn step(&mut self, at: TimeNs, id: InstrumentId, body: EventBody, tell: Tell) {
        let Scenario { engine, outbox, listing, due, said, number, .. } = self;
        engine.step(&Event { recv_ns: at, instrument: id, body }, outbox);
        for Output { instrument: id, body } in outbox.outputs() {
            let Some(row) = listing.row(*id) else { continue };
            match body {
                OutputBody::EntryFilled(filled) if tell == Tell::Entry => {
                    push(said, &said::filled(row, filled))
                }
                OutputBody::ExitFired(exit) => push(said, &said::exit(row, exit)),
                OutputBody::StopMoved(moved) => push(said, &said::stop_moved(row, moved)),
                OutputBody::TradeClosed(account) => push(said, &said::closed(row, account)),
                OutputBody::Order(order) if order.purpose == Purpose::Exit => {
                    due.push(Due { id: *id, order: *order, left: order.quantity });
                }
                // Of faults that no line should be able to cause.
                OutputBody::Alarm(alarm) => {
                    let error = format!("{}: alarm {} in the engine", row.symbol, alarm.kind);
                    push(said, &Said::Error { line: *number, error });
                }
                _ => {}
            }
        }
    }
}

fn push(said: &mut String, line: &Said) {
    // Strings and flags: there is nothing in a line that could fail to be written.
    if let Ok(text) = serde_json::to_string(line) {
        said.push_str(&text);
        said.push('\n');
    }
}

/// An engine at time 0 behind which no venue is.
fn new_engine(settings: &Settings) -> Engine {
    let mut engine = Engine::new(settings, &InstrumentTable::default());
    let start = RunStart {
        run_id: 0,
        build_id: 0,
        epoch: 1,
        instruments: 0,
        resting_stops: false,
        simulated: true,
        rule_voters: false,
        pad: [0; 5],
    };
    engine.step(&Event::global(TimeNs(0), EventBody::RunStart(start)), &mut Outbox::new());
    engine
}

/// What a fill costs, half to even where it needs more than 18 places.
fn fee(row: &Instrument, price: Ticks, quantity: Lots) -> Dec {
    let notional = money::of(row, price.wide() * quantity.wide());
    // A fee is at most the whole of it, so it is in range.
    notional.mul(row.taker_fee, Rounding::HalfEven).unwrap_or(notional)
}
