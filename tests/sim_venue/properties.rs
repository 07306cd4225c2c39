//! What holds for any sequence of inputs.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use proptest::prelude::*;
use quantum_trader::sim::venue::Stage;

#[derive(Clone, Debug)]
enum Input {
    Quote { eth: bool, bid: i64, bid_lots: i64, spread: i64, ask_lots: i64 },
    Trade { eth: bool, price: i64 },
    Mark { eth: bool, price: i64, rate: i64, due_in_ms: i64 },
    Order { eth: bool, order: Order },
    Cancel { eth: bool, id: u64 },
    Query { eth: bool, id: u64 },
    Wait,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

fn order() -> impl Strategy<Value = Order> {
    let price = 90i64..110;
    // Few ids, so that some come twice.
    let any = (1u64..60, side(), 0i64..30, price, any::<bool>(), 0..3);
    any.prop_map(|(id, side, lots, trigger, by_mark, kind)| {
        let order = match kind {
            0 => market_order(id, side, lots * 100),
            1 => exit_order(id, side, lots * 100),
            _ => stop_order(id, side, lots * 100, trigger),
        };
        let working_type = if by_mark { WorkingType::MarkPrice } else { WorkingType::ContractPrice };
        Order { working_type, ..order }
    })
}

/// Prices near 100 ticks move by whole percents, so that everything happens within few inputs.
fn input() -> impl Strategy<Value = Input> {
    let eth = any::<bool>();
    prop_oneof![
        4 => (eth, 90i64..110, 0i64..2_000, 0i64..4, 0i64..2_000).prop_map(
            |(eth, bid, bid_lots, spread, ask_lots)| Input::Quote { eth, bid, bid_lots, spread, ask_lots }
        ),
        3 => (eth, 80i64..120).prop_map(|(eth, price)| Input::Trade { eth, price }),
        1 => (eth, 80i64..120, -100i64..100, -500i64..5_000).prop_map(
            |(eth, price, rate, due_in_ms)| Input::Mark { eth, price, rate, due_in_ms }
        ),
        5 => (eth, order()).prop_map(|(eth, order)| Input::Order { eth, order }),
        1 => (eth, 1u64..60).prop_map(|(eth, id)| Input::Cancel { eth, id }),
        1 => (eth, 1u64..60).prop_map(|(eth, id)| Input::Query { eth, id }),
        1 => Just(Input::Wait),
    ]
}

/// What the account starts with: little enough that some sequences end in liquidation.
const WALLET: Dec = Dec::int(4);

/// Instruments cheap enough that ticks near 100 make sensible notionals.
fn venue(leverage: u32) -> Venue {
    let rows = instruments().iter().map(|(_, row)| Instrument { min_notional: dec("1"), ..*row }).collect();
    let config = VenueConfig { wallet: WALLET, leverage, funding: true };
    Venue::new(InstrumentTable::new(rows).unwrap(), config)
}

fn apply(venue: &mut Venue, now: TimeNs, input: &Input, out: &mut Reports) {
    let of = |eth: &bool| if *eth { ETH } else { BTC };
    let feed = |venue: &mut Venue, eth: &bool, body, out: &mut Reports| {
        venue.on_market(now, &Event { recv_ns: now, instrument: of(eth), body }, out);
    };
    match input {
        Input::Quote { eth, bid, bid_lots, spread, ask_lots } => {
            feed(venue, eth, quote_of(*bid, *bid_lots, bid + spread, *ask_lots), out);
        }
        Input::Trade { eth, price } => feed(venue, eth, trade_of(*price, true), out),
        Input::Mark { eth, price, rate, due_in_ms } => {
            let tick = if *eth { dec("0.01") } else { dec("0.1") };
            // A third of a tick off the grid.
            let mark = Dec(tick.0 * i128::from(*price) + tick.0 / 3);
            feed(venue, eth, mark_of(mark, Dec::new(*rate, 4), now.ms() + due_in_ms), out);
        }
        Input::Order { eth, order } => venue.on_order(now, of(eth), order, out),
        Input::Cancel { eth, id } => {
            let cancel = Cancel { id: OrderId(*id), kind: OrderKind::Market, pad: [0; 7] };
            venue.on_cancel(now, of(eth), &cancel, out);
        }
        Input::Query { eth, id } => {
            let query = Query { id: OrderId(*id), kind: OrderKind::Market, pad: [0; 7] };
            venue.on_query(now, of(eth), &query, out);
        }
        Input::Wait => venue.on_time(now + 2 * NS_PER_SEC, out),
    }
}

/// Books kept from the reports and inputs alone, independent of the venue's own.
#[derive(Default)]
struct Audit {
    positions: [i64; 2],
    /// What fills paid, less what they received, with fees; less funding.
    paid: i128,
    orders: BTreeMap<OrderId, (Order, Option<OrderStatus>)>,
    filled: BTreeMap<OrderId, i64>,
    trade_ids: BTreeSet<i64>,
    /// Tick-lots of each order's fills.
    paid_by: BTreeMap<OrderId, i128>,
    /// Position after the fill that must follow.
    announced: Option<(InstrumentId, i64)>,
    /// Lots of each instrument's bid and ask not yet taken.
    touch: [[i64; 2]; 2],
    event_ms: i64,
}

impl Audit {
    fn input(&mut self, input: &Input) {
        if let Input::Quote { eth, bid_lots, ask_lots, .. } = input {
            self.touch[usize::from(*eth)] = [*bid_lots, *ask_lots];
        }
    }

    fn report(&mut self, table: &InstrumentTable, submitted: Option<&Order>, report: &Report) {
        for (id, body) in report.events() {
            self.event(table, submitted, matches!(report.body, ReportBody::Answer(_)), id, &body);
        }
        if let ReportBody::Order(order) = &report.body {
            let price = |fill: &Fill| fill.price.wide() * fill.quantity.wide();
            let paid = self.paid_by.entry(order.order.id).or_default();
            *paid += order.fill.as_ref().map_or(0, price);
            assert!(order.order.id.is_none() || order.paid == *paid, "the average price is off");
        }
    }

    fn event(
        &mut self,
        table: &InstrumentTable,
        submitted: Option<&Order>,
        answer: bool,
        id: InstrumentId,
        body: &EventBody,
    ) {
        let event_ms = match body {
            EventBody::OrderUpdate(update) => {
                self.update(submitted, update);
                // A refusal has no time, and what a query finds may be old.
                if answer { self.event_ms } else { update.event_ms }
            }
            EventBody::Fill(fill) => {
                self.fill(table, id, fill);
                fill.event_ms
            }
            EventBody::AccountUpdate(update) => {
                if update.reason == AccountReason::Funding {
                    self.paid -= update.change.0;
                }
                update.event_ms
            }
            EventBody::VenuePosition(position) => {
                // Said before the fill it comes from.
                self.announced = Some((id, position.quantity.0));
                position.event_ms
            }
            other => panic!("unexpected {}", other.name()),
        };
        assert!(event_ms >= self.event_ms, "time ran backwards");
        self.event_ms = event_ms;
    }

    fn update(&mut self, submitted: Option<&Order>, update: &OrderUpdate) {
        match update.status {
            OrderStatus::Accepted if !self.orders.contains_key(&update.order) => {
                self.orders.insert(update.order, (*submitted.expect("nothing was sent"), None));
            }
            OrderStatus::Filled | OrderStatus::Canceled | OrderStatus::Expired => {
                let (order, end) = self.orders.get_mut(&update.order).expect("never accepted");
                let filled = self.filled.get(&update.order).copied().unwrap_or(0);
                assert_eq!(update.filled.0, filled);
                assert_eq!(update.status == OrderStatus::Filled, filled == order.quantity.0);
                // Queries repeat the end; nothing may change it.
                assert!(end.is_none_or(|end| end == update.status), "ended twice");
                *end = Some(update.status);
            }
            _ => {}
        }
    }

    fn fill(&mut self, table: &InstrumentTable, id: InstrumentId, fill: &Fill) {
        assert!(self.trade_ids.insert(fill.trade_id), "trade id {} twice", fill.trade_id);
        assert!(fill.quantity.0 > 0);
        let level = &mut self.touch[id.index()][usize::from(fill.side == Side::Buy)];
        *level -= fill.quantity.0;
        assert!(*level >= 0, "more taken than the touch had");
        let position = &mut self.positions[id.index()];
        let before = *position;
        *position += fill.side.sign() * fill.quantity.0;
        assert_eq!(self.announced.take(), Some((id, *position)), "the position said does not follow");
        let reduces = position.abs() < before.abs() && position.signum() * before.signum() >= 0;
        if fill.order.is_none() {
            assert!(reduces && fill.cause == FillCause::Liquidation);
        } else {
            let (order, end) = self.orders.get(&fill.order).expect("never accepted");
            assert_eq!((*end, order.side), (None, fill.side));
            assert!(reduces || !order.reduce_only, "reduce-only went from {before} to {position}");
            *self.filled.entry(fill.order).or_default() += fill.quantity.0;
        }
        let instrument = table.get(id).unwrap();
        let value = instrument.money(fill.price.wide() * fill.quantity.wide()).unwrap();
        self.paid += i128::from(fill.side.sign()) * value.0 + fill.fee.0;
    }

    fn books(&self, venue: &Venue) {
        let mut cost = 0;
        for (index, held) in self.positions.iter().enumerate() {
            let position = venue.position(InstrumentId(index as u16));
            assert_eq!(position.quantity.0, *held);
            cost += position.cost.0;
            assert!(*held != 0 || position.cost == Dec::ZERO);
            assert!(position.cost.0.signum() as i64 == held.signum());
        }
        assert_eq!(venue.wallet().0 - cost, WALLET.0 - self.paid, "money appeared or vanished");
        let open: BTreeSet<_> = venue.open_orders().iter().map(|open| open.order.id).collect();
        let unended = self.orders.iter().filter(|(_, (_, end))| end.is_none());
        assert_eq!(open, unended.map(|(id, _)| *id).collect(), "an order is lost, or ended in silence");
    }
}

/// Integers of every magnitude, mostly positive: negative ones are refused at the door.
fn int() -> impl Strategy<Value = i64> {
    let positive = (0..=i64::MAX, 0..63u32).prop_map(|(value, shift)| value >> shift);
    prop_oneof![5 => positive, 1 => any::<i64>()]
}

fn wide() -> impl Strategy<Value = i128> {
    (any::<i128>(), 0..128u32).prop_map(|(value, shift)| value >> shift)
}

fn steps() -> impl Strategy<Value = Vec<(i64, Input)>> {
    proptest::collection::vec((0i64..600, input()), 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_books_hold_whatever_comes(steps in steps(), leverage in 1u32..60) {
        let (mut venue, mut twin) = (venue(leverage), venue(leverage));
        let table = instruments();
        let (mut audit, mut now) = (Audit::default(), ms(0));
        for (pause_ms, input) in &steps {
            now = now + pause_ms * NS_PER_MS;
            let (mut out, mut again) = (Vec::new(), Vec::new());
            // What expires on the way still meets the old touch, but takes nothing from it; a
            // liquidation after the input meets the new one.
            venue.on_time(now, &mut out);
            twin.on_time(now, &mut again);
            for report in out.drain(..) {
                audit.report(&table, None, &report);
            }
            again.clear();
            audit.input(input);
            apply(&mut venue, now, input, &mut out);
            apply(&mut twin, now, input, &mut again);
            let submitted = match input {
                Input::Order { order, .. } => Some(order),
                _ => None,
            };
            for report in &out {
                audit.report(&table, submitted, report);
            }
            audit.books(&venue);
            prop_assert_eq!(out, again);
            prop_assert_eq!(venue.digest(), twin.digest());
            prop_assert!(venue.next_timer().is_none_or(|due| due > venue.now()));
        }
    }

    /// Full-range numbers: nothing panics, and what is refused changes nothing.
    #[test]
    fn hostile_numbers_do_not_panic(
        wallet in prop_oneof![wide(), Just(10i128.pow(38))],
        leverage in any::<u32>(),
        steps in proptest::collection::vec(
            (int(), [int(), int(), int(), int()], [wide(), wide()], 0..8, 0..3u16, side()), 1..40),
    ) {
        let config = VenueConfig { wallet: Dec(wallet), leverage, funding: true };
        let mut venue = Venue::new(instruments(), config);
        let mut out = Vec::new();
        for (at, [a, b, c, d], [x, y], kind, id, side) in steps {
            let now = TimeNs(at);
            let instrument = InstrumentId(id);
            let quote = Quote {
                bid: Ticks(a),
                bid_size: Size(b),
                ask: Ticks(c),
                ask_size: Size(d),
                update_id: 0,
                transaction_ms: 0,
                event_ms: 0,
            };
            let event = |body| Event { recv_ns: now, instrument, body };
            match kind {
                0 | 1 => venue.on_market(now, &event(EventBody::Quote(quote)), &mut out),
                2 => venue.on_market(now, &event(trade_of(a, true)), &mut out),
                3 => venue.on_market(now, &event(mark_of(Dec(x), Dec(y), b)), &mut out),
                4 => venue.on_order(now, instrument, &market_order(a as u64, side, b), &mut out),
                5 => venue.on_order(now, instrument, &exit_order(a as u64, side, b), &mut out),
                6 => venue.on_order(now, instrument, &stop_order(a as u64, side, b, c), &mut out),
                _ => venue.on_time(now, &mut out),
            }
            let _ = (venue.equity(), venue.margin_ratio(), venue.digest());
        }
    }
}

/// The generator reaches what the properties speak of; otherwise they would hold of nothing.
#[test]
fn the_generator_reaches_every_case() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, TestRunner};
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..60 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let (mut venue, mut now, mut out) = (venue(1 + round % 60), ms(0), Vec::new());
        for (pause_ms, input) in &steps {
            now = now + pause_ms * NS_PER_MS;
            apply(&mut venue, now, input, &mut out);
            for open in venue.open_orders() {
                if open.filled.0 > 0 && open.stage != Stage::Resting {
                    *seen.entry("partial".to_string()).or_default() += 1;
                }
            }
        }
        for (_, body) in out.iter().flat_map(Report::events) {
            let text = match &body {
                EventBody::OrderUpdate(update) if update.code != 0 => update.code.to_string(),
                EventBody::OrderUpdate(update) => format!("{:?}", update.status),
                EventBody::Fill(fill) => format!("{:?}", fill.cause),
                EventBody::AccountUpdate(update) => format!("{:?}", update.reason),
                other => other.name().to_string(),
            };
            *seen.entry(text).or_default() += 1;
        }
    }
    let wanted = [
        "Accepted",
        "Filled",
        "Expired",
        "Canceled",
        "Triggered",
        "Liquidation",
        "Funding",
        "partial",
        "-2011",
        "-2013",
        "-2019",
        "-2021",
        "-2022",
        "-4003",
        "-4116",
        "-4118",
        "-4131",
    ];
    for case in wanted {
        assert!(seen.contains_key(case), "{case} never happened: {seen:?}");
    }
}
