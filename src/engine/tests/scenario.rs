//! What scenarios rely on: an engine behind which no venue is, and the protocol's choices that bind
//! the live one as well.

use super::*;

/// As [`Desk`] begins, but for a venue.
fn alone(settings: Settings) -> Desk {
    let engine = Engine::new(&settings, &InstrumentTable::default());
    let mut desk = Desk { engine, out: Outbox::new(), now: TimeNs::from_ms(START_MS), trade_id: 0 };
    desk.send(EventBody::RunStart(RunStart {
        run_id: 1,
        build_id: 1,
        epoch: 7,
        instruments: 0,
        resting_stops: false,
        simulated: true,
        rule_voters: false,
        pad: [0; 5],
    }));
    desk.send(EventBody::Instrument(btcusdt()));
    desk.wallet(10_000, AccountReason::Snapshot);
    desk
}

fn prices(price: i64) -> EventBody {
    let price = Ticks(price);
    EventBody::Prices(Prices { price, bid: price, ask: price, mark: price })
}

fn given(atr: Dec) -> EventBody {
    let mut confidence = [Dec::ZERO; SEATS];
    confidence[0] = Dec::new(75, 2);
    let signal = Signal {
        confidence,
        ballot: Ballot::of([Action::Abstain; SEATS]),
        given: true,
        action: Action::Long,
        consensus: Consensus::Strong,
        source: SignalSource::External,
        pad: [0; 8],
    };
    EventBody::SignalWithConditions(SignalWithConditions {
        signal,
        atr,
        ema: Dec::int(48_000),
        volume_24h: Dec::int(5_000_000_000),
        spread_bps: Dec::int(10),
        bid: Ticks::ZERO,
        ask: Ticks::ZERO,
        spread: SpreadGiven::Bps,
        atr_given: true,
        ema_given: true,
        volume_given: true,
        pad: [0; 12],
    })
}

fn fired(outputs: &[OutputBody]) -> Vec<(ExitSignal, Lots)> {
    let exits = outputs.iter().filter_map(|o| if let OutputBody::ExitFired(e) = o { Some(e) } else { None });
    exits.map(|exit| (exit.signal, exit.quantity)).collect()
}

#[test]
fn conditions_given_are_used_and_not_the_markets() {
    let mut desk = Desk::new(Settings::DEFAULT);
    let d = decision(&desk.send(given(Dec::new(1, 18) + Dec::int(1_500))));
    assert_eq!((d.stop, d.observed), (Ticks(477_499), Dec::new(1, 18) + Dec::int(1_500)));
    let mut bare = alone(Settings::DEFAULT);
    bare.send(prices(500_000));
    assert!(decision(&bare.send(given(Dec::int(1_500)))).approved, "no bar, no quote, no ticker");
    let mut unpriced = alone(Settings::DEFAULT);
    assert_eq!(decision(&unpriced.send(given(Dec::int(1_500)))).rule, Rule::Ready);
}

#[test]
fn without_a_wallet_it_was_another_rule_that_refused() {
    let table = InstrumentTable::new(vec![btcusdt()]).unwrap();
    let engine = Engine::new(&Settings::DEFAULT, &table);
    let mut desk = Desk { engine, out: Outbox::new(), now: TimeNs::from_ms(START_MS), trade_id: 0 };
    desk.send(prices(400_000));
    assert_eq!(decision(&desk.send(given(Dec::int(1_500)))).rule, Rule::Ready, "and not the trend");
}

#[test]
fn leverage_is_a_venues_and_without_one_only_what_is_stated() {
    let looked_at = |desk: &Desk| desk.engine.checks().iter().any(|check| check.rule == Rule::Liquidation);
    let mut live = Desk::new(Settings::DEFAULT);
    live.signal(Action::Long, Consensus::Strong);
    assert!(looked_at(&live));
    let mut desk = alone(Settings::DEFAULT);
    desk.send(prices(500_000));
    desk.send(given(Dec::int(1_500)));
    assert!(!looked_at(&desk));
    let mut stated = alone(Settings::DEFAULT);
    let setup = VenueSetup { leverage: 20, isolated: false, one_way: true, single_asset: true, pad: 0 };
    stated.send(EventBody::VenueSetup(setup));
    stated.send(prices(500_000));
    assert_eq!(decision(&stated.send(given(Dec::int(1_500)))).rule, Rule::Liquidation);
}

#[test]
fn where_no_venue_is_the_stop_fires_at_once_and_the_breaker_waits_for_the_command() {
    let settings = Settings {
        circuit_breaker_flatten: true,
        circuit_breaker_loss_pct: Dec::new(1, 3),
        max_position_usd: Dec::int(5_000),
        ..Settings::DEFAULT
    };
    let mut desk = alone(settings);
    desk.send(prices(500_000));
    let entry = order(&desk.send(given(Dec::int(1_500))));
    desk.fill(entry.id, Side::Buy, 500_000, entry.quantity.0);
    let said = desk.send(prices(490_000));
    assert!(desk.engine.flatten_due() && fired(&said).is_empty());
    let said = desk.send(EventBody::Command(Command { command: CommandKind::Flatten, pad: [0; 7] }));
    assert_eq!(fired(&said), [(ExitSignal::Flatten, entry.quantity)]);
    assert!(!desk.engine.flatten_due());
    let mut stopped = alone(Settings::DEFAULT);
    stopped.send(prices(500_000));
    let entry = order(&stopped.send(given(Dec::int(1_500))));
    stopped.fill(entry.id, Side::Buy, 500_000, 10);
    assert_eq!(fired(&stopped.send(prices(477_500))), [(ExitSignal::StopLoss, Lots(10))]);
}

#[test]
fn halted_and_without_a_resting_stop_a_position_had_none() {
    let mut desk = alone(Settings::DEFAULT);
    desk.send(prices(500_000));
    let entry = order(&desk.send(given(Dec::int(1_500))));
    desk.fill(entry.id, Side::Buy, 500_000, 10);
    desk.send(EventBody::Command(Command { command: CommandKind::Halt, pad: [0; 7] }));
    assert!(fired(&desk.send(prices(556_250))).is_empty(), "no target");
    assert_eq!(fired(&desk.send(prices(477_500))), [(ExitSignal::StopLoss, Lots(10))]);
}

#[test]
fn a_fill_counts_from_its_own_time_though_the_clock_went_on() {
    let mut desk = alone(Settings::DEFAULT);
    desk.send(prices(500_000));
    let entry = order(&desk.send(given(Dec::int(1_500))));
    let decided = desk.now;
    desk.pass_ms(24 * 3_600_000 + 1);
    desk.send(EventBody::ClockSync(ClockSync { offset_ns: 0, slew_ppb: 0 }));
    let now = std::mem::replace(&mut desk.now, decided);
    desk.fill(entry.id, Side::Buy, 500_000, 10);
    desk.now = now;
    assert_eq!(fired(&desk.send(prices(500_000))), [(ExitSignal::TimeExit, Lots(10))]);
}

#[test]
fn a_close_beside_a_partial_said_what_the_partial_had_said() {
    let settings = Settings { partial_tp_at_r: Dec::new(1, 1), ..Settings::DEFAULT };
    let mut desk = Desk::new(settings);
    desk.long();
    desk.pass_ms(24 * 3_600_000 + 1);
    let said = desk.quote(502_500, 502_600);
    assert_eq!(fired(&said), [(ExitSignal::PartialTp, Lots(5)), (ExitSignal::TimeExit, Lots(5))]);
    let exits: Vec<i64> = said
        .iter()
        .filter_map(|o| if let OutputBody::Order(o) = o { Some(o.quantity.0) } else { None })
        .collect();
    assert_eq!(exits, [5, 5]);
}

#[test]
fn the_price_of_a_close_by_command_was_no_excursion() {
    let mut desk = Desk::new(Settings::DEFAULT);
    desk.long();
    let close = Command { command: CommandKind::Close, pad: [0; 7] };
    let exit = order(&desk.send(EventBody::Command(close)));
    let account = closed(&desk.fill(exit.id, Side::Sell, 499_750, 10));
    // 25 of 2,250, cut after 18 places.
    assert_eq!((account.worst, account.mae), (Ticks(499_750), Dec(11_111_111_111_111_111)));
}

#[test]
fn instruments_join_and_a_held_one_stays_as_it_is() {
    let mut desk = alone(Settings { regime_symbol: Symbol::new("BTCUSDT"), ..Settings::DEFAULT });
    assert!(desk.engine.regime.is_some());
    desk.send(prices(500_000));
    desk.send(EventBody::Instrument(btcusdt()));
    let price = |desk: &Desk| desk.engine.market(BTC).map(|market| market.price);
    assert_eq!(price(&desk), Some(Ticks(500_000)), "stated again, it is as it was");
    let finer = Instrument { min_quantity: Lots(2), ..btcusdt() };
    let mut other = alone(Settings::DEFAULT);
    other.send(prices(500_000));
    other.send(EventBody::Instrument(finer));
    assert_eq!(price(&other), Some(Ticks::ZERO), "changed, it begins anew");
    let entry = order(&{
        desk.send(prices(500_000));
        desk.send(given(Dec::int(1_500)))
    });
    desk.fill(entry.id, Side::Buy, 500_000, 10);
    desk.send(EventBody::Instrument(finer));
    assert_eq!(price(&desk), Some(Ticks(500_000)), "not while something of it is held");
    let far = Event { recv_ns: desk.now, instrument: InstrumentId(9), body: EventBody::Instrument(finer) };
    desk.engine.step(&far, &mut desk.out);
    assert!(desk.engine.market(InstrumentId(9)).is_none(), "ids have no gaps");
}
