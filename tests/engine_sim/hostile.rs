//! Events no honest source would send: every field extreme, every id known, foreign or missing.

use super::market::Dice;
use quantum_trader::event::*;
use quantum_trader::num::*;

fn int(dice: &mut Dice) -> i64 {
    match dice.between(0, 3) {
        0 => dice.pick(&[i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]),
        1 => dice.pick(&[-1_000_000_000_000_000, 999_999_999_999_999, 1_000_000_000_000_000, 1 << 53]),
        _ => dice.between(1, 600_000),
    }
}

fn dec(dice: &mut Dice) -> Dec {
    match dice.between(0, 4) {
        0 => Dec(dice.pick(&[i128::MIN, i128::MAX, -1, 1, 10i128.pow(33), -(10i128.pow(33))])),
        1 => Dec::int(int(dice)),
        _ => Dec::new(dice.between(-20_000, 20_000), 1),
    }
}

fn time(dice: &mut Dice, now: TimeNs) -> i64 {
    if dice.one_in(4) { int(dice) } else { now.ms() + dice.between(-5_000, 5_000) }
}

/// Any event; `ids` are orders the engine has issued.
pub fn event(dice: &mut Dice, now: TimeNs, ids: &[OrderId]) -> Event {
    let instrument = InstrumentId(dice.pick(&[0, 0, 1, 1, 2, 2, 3, 500, u16::MAX]));
    let recv_ns = if dice.one_in(10) { TimeNs(now.0 - dice.between(0, 10 * NS_PER_SEC)) } else { now };
    let order = if ids.is_empty() || dice.one_in(6) { OrderId(int(dice) as u64) } else { dice.pick(ids) };
    let body = match dice.between(0, 15) {
        0..=2 => fill(dice, now, order),
        3..=5 => update(dice, now, order),
        6 | 7 => account(dice, now),
        8 => EventBody::VenuePosition(VenuePosition {
            entry: dec(dice),
            quantity: Lots(int(dice)),
            event_ms: time(dice, now),
        }),
        9 => EventBody::Reconcile(Reconcile {
            wallet_difference: dec(dice),
            position_difference: int(dice),
            orders_adopted: 1,
            orders_missing: 1,
        }),
        10..=13 => market(dice, now),
        14 => signal(dice),
        _ => control(dice),
    };
    Event { recv_ns, instrument, body }
}

fn fill(dice: &mut Dice, now: TimeNs, order: OrderId) -> EventBody {
    let causes =
        [FillCause::Order, FillCause::Order, FillCause::Order, FillCause::Liquidation, FillCause::Adl];
    EventBody::Fill(Fill {
        order,
        trade_id: int(dice),
        fee: dec(dice),
        price: Ticks(int(dice)),
        quantity: Lots(if dice.one_in(2) { dice.between(1, 20) } else { int(dice) }),
        event_ms: time(dice, now),
        side: dice.pick(&[Side::Buy, Side::Sell]),
        maker: false,
        cause: dice.pick(&causes),
        pad: [0; 5],
    })
}

fn update(dice: &mut Dice, now: TimeNs, order: OrderId) -> EventBody {
    EventBody::OrderUpdate(OrderUpdate {
        order,
        venue_id: int(dice),
        filled: Lots(int(dice)),
        event_ms: time(dice, now),
        code: dice.pick(&[0, -2021, -2022, -4118, -1, i32::MIN]),
        status: dice.pick(&OrderStatus::ALL),
        pad: [0; 3],
    })
}

fn account(dice: &mut Dice, now: TimeNs) -> EventBody {
    let reasons = [
        AccountReason::Snapshot,
        AccountReason::Order,
        AccountReason::Funding,
        AccountReason::Transfer,
        AccountReason::Adjustment,
    ];
    EventBody::AccountUpdate(AccountUpdate {
        wallet: dec(dice),
        change: dec(dice),
        event_ms: time(dice, now),
        reason: dice.pick(&reasons),
        pad: [0; 7],
    })
}

fn market(dice: &mut Dice, now: TimeNs) -> EventBody {
    let mut price = || Ticks(int(dice));
    let (a, b, c, d) = (price(), price(), price(), price());
    let (size, ms) = (Size(int(dice)), time(dice, now));
    match dice.between(0, 4) {
        0 => EventBody::Quote(Quote {
            bid: a,
            bid_size: size,
            ask: b,
            ask_size: size,
            update_id: int(dice),
            transaction_ms: ms,
            event_ms: time(dice, now),
        }),
        1 => EventBody::AggTrade(Trade {
            price: a,
            size,
            id: int(dice),
            first_id: int(dice),
            last_id: int(dice),
            trade_ms: ms,
            event_ms: time(dice, now),
            buyer_maker: dice.one_in(2),
            market: true,
            pad: [0; 6],
        }),
        2 => EventBody::Bar(Bar {
            open_ms: ms / 60_000 * 60_000,
            open: a,
            high: b.max(c),
            low: b.min(c),
            close: d,
            volume: size,
            quote_volume: dec(dice),
            taker_buy_volume: size,
            event_ms: time(dice, now),
            trades: u32::MAX,
            interval_s: 60,
            closed: true,
            source: dice.pick(&[BarSource::Kline, BarSource::History, BarSource::Trades]),
            pad: [0; 6],
        }),
        3 => EventBody::MarkPrice(MarkPrice {
            mark: dec(dice),
            index: dec(dice),
            settle: dec(dice),
            funding_rate: dec(dice),
            next_funding_ms: ms,
            event_ms: ms,
        }),
        _ => EventBody::Ticker(Ticker {
            last: a,
            open: b,
            high: c,
            low: d,
            volume: dec(dice),
            quote_volume: dec(dice),
            trades: int(dice),
            event_ms: ms,
        }),
    }
}

fn signal(dice: &mut Dice) -> EventBody {
    let actions = [Action::Long, Action::Short, Action::Hold, Action::Abstain];
    EventBody::Signal(Signal {
        confidence: [dec(dice), dec(dice), dec(dice), dec(dice)],
        ballot: Ballot::of([
            dice.pick(&actions),
            dice.pick(&actions),
            dice.pick(&actions),
            dice.pick(&actions),
        ]),
        given: dice.one_in(2),
        action: dice.pick(&actions),
        consensus: Consensus::Unanimous,
        source: SignalSource::External,
        pad: [0; 8],
    })
}

fn control(dice: &mut Dice) -> EventBody {
    match dice.between(0, 4) {
        0 => EventBody::VenueSetup(VenueSetup {
            leverage: dice.pick(&[0, 1, 5, 125, u32::MAX]),
            isolated: false,
            one_way: !dice.one_in(4),
            single_asset: true,
            pad: 0,
        }),
        1 => EventBody::Gap(Gap { frames: int(dice) as u64, bytes: 0 }),
        2 => EventBody::Divergence(Divergence { sequence: int(dice) as u64 }),
        3 => EventBody::FeedStatus(FeedStatus {
            since_ms: int(dice),
            feed: Feed::User,
            state: dice.pick(&[FeedState::Up, FeedState::Down, FeedState::Stale]),
            pad: [0; 6],
        }),
        _ => EventBody::RunStart(RunStart {
            run_id: 1,
            build_id: 1,
            epoch: dice.between(0, 12) as u32,
            instruments: 3,
            resting_stops: !dice.one_in(4),
            simulated: true,
            rule_voters: dice.one_in(2),
            pad: [0; 5],
        }),
    }
}
