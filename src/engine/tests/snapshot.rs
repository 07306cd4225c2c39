//! What is refused of a snapshot, and by which name. That engines go on from one is in
//! `tests/engine_sim`.

use super::*;
use crate::num::OutOfRange;
use crate::risk::levels::AveragePrice;
use crate::risk::money::MONEY_MAX;

#[test]
fn what_is_wrong_with_the_bytes_is_said() {
    let bytes = Desk::new(Settings::DEFAULT).engine.snapshot(5);
    let said = |change: fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        Engine::restore(&bytes).map(|(_, sequence)| sequence).map_err(|error| error.to_string())
    };
    assert_eq!(said(|_| {}), Ok(5));
    let refused = |change, why: &str| assert_eq!(said(change), Err(why.to_string()));
    refused(|bytes| bytes.clear(), "not a snapshot");
    refused(|bytes| bytes[0] = b'q', "not a snapshot");
    refused(|bytes| bytes[8] = 9, "a snapshot of version 9; this one reads 5");
    refused(|bytes| bytes.truncate(20), "a snapshot cut short: 20 bytes of 32");
    refused(|bytes| bytes.extend([0; 3]), "3 bytes behind the end of a snapshot");
    assert!(said(|bytes| bytes[24] ^= 1).unwrap_err().contains("damaged"), "the sequence number counts, too");
}

#[test]
fn equal_states_have_equal_hashes() {
    let (mut a, mut b) = (Desk::new(Settings::DEFAULT), Desk::new(Settings::DEFAULT));
    assert_eq!(a.engine.state_hash(), b.engine.state_hash());
    a.quote(499_750, 500_251);
    assert_ne!(a.engine.state_hash(), b.engine.state_hash());
    b.quote(499_750, 500_251);
    assert_eq!(a.engine.state_hash(), b.engine.state_hash());
    let (restored, _) = Engine::restore(&a.engine.snapshot(1)).unwrap();
    assert_eq!(restored.state_hash(), a.engine.state_hash());
    assert_eq!(restored.trades.capacity(), TRADES_MAX, "and room for the trades to come");
}

type Break = (&'static str, fn(&mut Engine));

/// Values that no event leads to; the first trade has an entry and a stop.
const BREAKS: &[Break] = &[
    ("settings", |e| e.settings.enable_risk_layer = false),
    ("weights", |e| e.weights[0].0 += 1),
    ("voters", |e| e.voters.clear()),
    ("leverage", |e| e.leverage.push(None)),
    ("leverage", |e| e.leverage[0] = Some(0)),
    ("disputed", |e| e.disputed.clear()),
    ("left_alone", |e| e.left_alone.clear()),
    ("trade_of", |e| e.trade_of[0] = NO_TRADE),
    ("trade_of", |e| e.trades.clear()),
    ("trade.instrument", |e| e.trades[0].instrument = InstrumentId(1)),
    ("trade.instrument", |e| e.trades = vec![e.trades[0].clone(); 2]),
    ("regime", |e| e.regime = Some(InstrumentId(1))),
    ("sequence", |e| e.sequence = u32::MAX),
    ("stated_wallet", |e| e.stated_wallet = Some(Dec::MAX)),
    ("instrument.tick, step and size_step", |e| e.markets[0].instrument.tick = Dec::ZERO),
    ("instrument.maintenance_margin", |e| e.markets[0].instrument.maintenance_margin = Dec::MAX),
    ("market.size_value", |e| e.markets[0].instrument.size_step.0 *= 2),
    ("market.disbelieved", |e| e.markets[0].disbelieved = u64::MAX),
    ("market.price, bid and ask", |e| e.markets[0].bid = Ticks(i64::MIN)),
    ("plan.price, stop and target", |e| e.trades[0].plan.stop = Ticks::ZERO),
    ("plan.quantity", |e| e.trades[0].plan.quantity = Lots::ZERO),
    ("plan.atr", |e| e.trades[0].plan.atr = Dec::ZERO),
    ("order.quantity", |e| e.trades[0].orders[1].quantity = Lots(i64::MAX)),
    ("order.filled", |e| e.trades[0].orders[1].filled = Lots(11)),
    ("order.reported", |e| e.trades[0].orders[1].reported = Lots(-1)),
    ("order.trigger and reference", |e| e.trades[0].orders[1].trigger = Ticks(i64::MAX)),
    ("exit.side and atr", |e| e.trades[0].exit.as_mut().unwrap().side = Side::Sell),
    ("exit.entry", |e| e.trades[0].exit.as_mut().unwrap().entry.quantity = Lots::ZERO),
    ("exit's levels", |e| e.trades[0].exit.as_mut().unwrap().best = Some(Ticks(i64::MAX))),
    ("trade.id", |e| e.trades[0].orders.clear()),
    ("trade.id", |e| e.trades[0].orders.swap(0, 1)),
    ("order.id", |e| e.sequence = 1),
    ("order.purpose", |e| e.trades[0].orders[1].purpose = Purpose::Entry),
    ("trade.entry", |e| e.trades[0].entry.cost = -1),
    ("trade.exited", |e| e.trades[0].exited = Lots(-1)),
    ("trade.exit_value", |e| e.trades[0].exit_value = 1),
    ("trade's money", |e| e.trades[0].fees = Dec::MAX),
    ("trade.finished", |e| e.trades[0].exited = e.trades[0].entry.quantity),
    ("controller.wallet", |e| _ = e.controller.set_wallet(Dec(MONEY_MAX.0 + 1))),
    ("controller.unrealised, peaks and trough", |e| e.controller.set_unrealised(Dec(-MONEY_MAX.0 - 1))),
    ("exit.entry", |e| e.trades[0].exit.as_mut().unwrap().entry.cost = -1),
    ("exit.entry", |e| {
        e.trades[0].exit.as_mut().unwrap().entry = AveragePrice { cost: 0, quantity: Lots(0) }
    }),
    ("trade.id", |e| e.trades[0].orders[1].id = e.trades[0].id),
    ("trade.entry", |e| e.trades[0].entry.cost = dearest(e.trades[0].entry.quantity) + 1),
    ("trade.exit_value", |e| {
        (e.trades[0].exited, e.trades[0].exit_value) = (Lots(3), dearest(Lots(3)) + 1);
    }),
    ("trade.slippage", |e| e.trades[0].slippage = most_slipped() + 1),
    ("trade.slippage", |e| e.trades[0].slippage = -most_slipped() - 1),
];

/// Values at their limits.
const LIMITS: &[fn(&mut Engine)] = &[
    |e| _ = e.controller.set_wallet(MONEY_MAX),
    |e| e.controller.set_unrealised(-MONEY_MAX),
    |e| e.trades[0].entry.cost = dearest(e.trades[0].entry.quantity),
    |e| (e.trades[0].exited, e.trades[0].exit_value) = (Lots(3), dearest(Lots(3))),
    |e| e.trades[0].slippage = most_slipped(),
    |e| e.trades[0].slippage = -most_slipped(),
];

/// Lots at the highest price, in tick-lots.
fn dearest(lots: Lots) -> i128 {
    lots.wide() * Ticks::PRICE_MAX.wide()
}

/// The largest quantity from one end of the levels to the other.
fn most_slipped() -> i128 {
    2 * Ticks::LEVEL_MAX.wide() * Lots::TOTAL_MAX.wide()
}

#[test]
fn values_no_engine_has_are_refused_by_name() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.long();
    for (name, spoil) in BREAKS {
        let mut engine = desk.engine.clone();
        spoil(&mut engine);
        let error = Engine::restore(&engine.snapshot(1)).err();
        assert_eq!(error, Some(SnapshotError::Value(OutOfRange(name))));
    }
    for (i, reach) in LIMITS.iter().enumerate() {
        let mut engine = desk.engine.clone();
        reach(&mut engine);
        assert!(Engine::restore(&engine.snapshot(1)).is_ok(), "limit {i}");
    }
}

/// With the risk layer off there may be a trade in each instrument, and a timer may find all of them
/// in trouble at once.
#[test]
fn as_many_trades_as_there_may_be_are_read_back_and_bear_a_timer() {
    let row = |i: usize| Instrument { symbol: Symbol::new(&format!("S{i}")).unwrap(), ..btcusdt() };
    let table = InstrumentTable::new((0..=TRADES_MAX).map(row).collect()).unwrap();
    let off = Settings { enable_risk_layer: false, ..Settings::DEFAULT };
    let (mut engine, mut out) = (Engine::new(&off, &table), Outbox::new());
    let mut step = |engine: &mut Engine, s: i64, instrument: InstrumentId, body: EventBody| {
        engine.step(&Event { recv_ns: TimeNs(s * 1_000 * NS_PER_MS), instrument, body }, &mut out);
        out.outputs().iter().map(|output| output.body).collect::<Vec<_>>()
    };
    let price = Ticks(500_000);
    for (id, _) in table.iter() {
        let prices = Prices { price, bid: price, ask: price, mark: price };
        step(&mut engine, 1, id, EventBody::Prices(prices));
        let signal = Signal {
            confidence: [Dec::ONE; SEATS],
            ballot: Ballot::of([Action::Long; SEATS]),
            given: false,
            action: Action::Long,
            consensus: Consensus::Strong,
            source: SignalSource::External,
            pad: [0; 8],
        };
        let given = SignalWithConditions {
            signal,
            atr: Dec::int(1_500),
            ema: Dec::ZERO,
            volume_24h: Dec::ZERO,
            spread_bps: Dec::ZERO,
            bid: price,
            ask: price,
            spread: SpreadGiven::No,
            atr_given: true,
            ema_given: false,
            volume_given: false,
            pad: [0; 12],
        };
        let said = step(&mut engine, 1, id, EventBody::SignalWithConditions(given));
        let approved = decision(&said);
        assert_eq!(approved.approved, id.index() < TRADES_MAX);
        // Filled lot by lot, so that stops pile up before the first is answered.
        for lot in 0..approved.quantity.0 - 1 {
            let fill = Fill {
                order: approved.order,
                trade_id: lot,
                fee: Dec::ZERO,
                price,
                quantity: Lots(1),
                event_ms: 0,
                side: Side::Buy,
                maker: false,
                cause: FillCause::Order,
                pad: [0; 5],
            };
            step(&mut engine, 1, id, EventBody::Fill(fill));
        }
    }
    assert_eq!(engine.trades.len(), TRADES_MAX);
    assert!(engine.trades.iter().all(|trade| trade.live(Purpose::Stop).count() == crate::trade::STOPS_MAX));
    let (mut restored, _) = Engine::restore(&engine.snapshot(1)).unwrap();
    for s in [10, 11, 16, 70] {
        let timer = EventBody::Timer(Timer { count: 1 });
        let said = step(&mut engine, s, InstrumentId::NONE, timer);
        assert!(said.len() >= TRADES_MAX, "each is asked for, at the least");
        assert_eq!(step(&mut restored, s, InstrumentId::NONE, timer), said);
    }
}
