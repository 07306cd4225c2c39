//! The link: latencies, order, lockstep.

use super::*;
use proptest::prelude::*;
use quantum_trader::event::Instruction;
use quantum_trader::sim::link::{Link, LinkConfig};

const CONFIG: LinkConfig =
    LinkConfig { order_latency_ns: 5_000_000, report_latency_ns: 3_000_000, jitter_ns: 0, seed: 1 };

fn link(config: LinkConfig) -> Link {
    let venue = VenueConfig { wallet: dec("10000"), leverage: 5, funding: true };
    let mut link = Link::new(Venue::new(instruments(), venue), config);
    link.market(ms(0), &event(0, quote_of(500_000, 10, 500_001, 10)));
    link
}

fn event(at_ms: i64, body: EventBody) -> Event {
    Event { recv_ns: ms(at_ms), instrument: BTC, body }
}

/// What arrives by `until`: milliseconds and text.
fn drain(link: &mut Link, until: TimeNs) -> Vec<(i64, String)> {
    arrivals(link, until).iter().map(|event| (event.recv_ns.ms(), line(&event.body))).collect()
}

fn arrivals(link: &mut Link, until: TimeNs) -> Vec<Event> {
    std::iter::from_fn(|| link.poll(until)).flat_map(|delivery| delivery.events()).collect()
}

fn send(link: &mut Link, at_ms: i64, order: Order) {
    link.send(ms(at_ms), BTC, Instruction::Order(order));
}

#[test]
fn an_order_takes_both_latencies() {
    let mut link = link(CONFIG);
    send(&mut link, 100, market_order(1, Side::Buy, 10));
    assert!(link.pending());
    assert_eq!(link.next_due(), Some(ms(105)));
    assert_eq!(drain(&mut link, ms(107)), []);
    assert_eq!(link.next_due(), Some(ms(108)));
    let said = drain(&mut link, ms(108));
    assert_eq!(said.len(), 5);
    assert!(said.iter().all(|(at, _)| *at == 108));
    assert_eq!(said[0].1, "1 Accepted 0");
    assert!(!link.pending());
    assert_eq!(link.round_trip_ns_max(), 8_000_000);
}

#[test]
fn commands_due_come_before_the_market_frame_of_the_same_instant() {
    for (frame_ms, price) in [(104, 600_000), (105, 500_001), (106, 500_001)] {
        for polled in [true, false] {
            let mut link = link(CONFIG);
            send(&mut link, 100, market_order(1, Side::Buy, 4));
            if polled {
                assert_eq!(drain(&mut link, ms(frame_ms)), []);
            }
            link.market(ms(frame_ms), &event(frame_ms, quote_of(599_999, 10, 600_000, 10)));
            let said = drain(&mut link, ms(200));
            assert!(said[3].1.contains(&format!("@{price} ")), "{frame_ms}: {said:?}");
            assert_eq!(said[0].0, 108);
        }
    }
}

#[test]
fn cancels_queries_and_timers_travel_too() {
    let mut link = link(CONFIG);
    send(&mut link, 100, market_order(1, Side::Buy, 14));
    let query = Query { id: OrderId(1), kind: OrderKind::Market, pad: [0; 7] };
    let cancel = Cancel { id: OrderId(1), kind: OrderKind::Market, pad: [0; 7] };
    link.send(ms(110), BTC, Instruction::Query(query));
    assert_eq!(drain(&mut link, ms(130)).last().unwrap(), &(118, "1 Accepted 10".to_string()));
    assert_eq!(link.next_due(), Some(ms(2_105)), "the order's expiry at the venue");
    assert!(!link.pending());
    link.send(ms(2_101), BTC, Instruction::Cancel(cancel));
    // Due at 2,106, a millisecond after the order expired by itself.
    assert_eq!(
        drain(&mut link, ms(3_000)),
        [(2_108, "1 Expired 10".to_string()), (2_109, "1 CancelRejected -2011".to_string())]
    );
}

/// A report that the engine has not seen stops the clock of the venue: the answer to it is in time.
#[test]
fn the_venue_waits_for_the_answer_to_a_report() {
    let mut link = link(CONFIG);
    send(&mut link, 100, market_order(1, Side::Buy, 14));
    let seen = link.poll(ms(60_000)).unwrap();
    assert_eq!(seen.recv_ns, ms(108));
    let cancel = Cancel { id: OrderId(1), kind: OrderKind::Market, pad: [0; 7] };
    link.send(seen.recv_ns, BTC, Instruction::Cancel(cancel));
    let said = drain(&mut link, ms(60_000));
    assert_eq!(said.last().unwrap(), &(116, "1 Canceled 10".to_string()), "not expired at 2,105");
}

#[test]
fn hostile_times_and_latencies_saturate() {
    let slow =
        LinkConfig { order_latency_ns: u64::MAX, report_latency_ns: u64::MAX, jitter_ns: u64::MAX, seed: 0 };
    let mut link = link(slow);
    send(&mut link, i64::MAX, market_order(1, Side::Buy, 4));
    send(&mut link, i64::MIN, market_order(2, Side::Buy, 4));
    assert_eq!(link.round_trip_ns_max(), u64::MAX);
    assert_eq!(drain(&mut link, TimeNs(i64::MAX - 1)), []);
    let last = drain(&mut link, TimeNs(i64::MAX));
    assert_eq!(last.len(), 10, "both are answered at the end of time");
}

fn configs() -> impl Strategy<Value = LinkConfig> {
    (0..9_000_000u64, 0..9_000_000u64, 0..20_000_000u64, any::<u64>()).prop_map(
        |(order_latency_ns, report_latency_ns, jitter_ns, seed)| LinkConfig {
            order_latency_ns,
            report_latency_ns,
            jitter_ns,
            seed,
        },
    )
}

/// Sends a query of each id at its time, answers nothing, and returns what comes back and when;
/// `pace` is how far a poll looks ahead.
fn run(config: LinkConfig, sent: &[i64], pace: i64) -> (Vec<Event>, u64) {
    let mut link = link(config);
    let mut got = Vec::new();
    for (n, at) in sent.iter().enumerate() {
        got.extend(arrivals(&mut link, TimeNs(*at)));
        let query = Query { id: OrderId(n as u64 + 1), kind: OrderKind::Market, pad: [0; 7] };
        link.send(TimeNs(*at), BTC, Instruction::Query(query));
    }
    let mut until = sent.last().copied().unwrap_or(0);
    while link.pending() {
        got.extend(arrivals(&mut link, TimeNs(until)));
        until += pace;
    }
    (got, link.venue().digest())
}

proptest! {
    #[test]
    fn every_command_is_answered_in_order_within_the_bounds(
        config in configs(),
        mut sent in proptest::collection::vec(0..200_000_000i64, 1..40),
    ) {
        sent.sort_unstable();
        let (got, digest) = run(config, &sent, 1_000_000);
        prop_assert_eq!(got.len(), sent.len());
        let least = (config.order_latency_ns + config.report_latency_ns) as i64;
        let most = least + 2 * config.jitter_ns as i64;
        for (n, (event, at)) in got.iter().zip(&sent).enumerate() {
            let EventBody::OrderUpdate(update) = event.body else { panic!("not an update") };
            prop_assert_eq!(update.order, OrderId(n as u64 + 1), "overtaken");
            let took = event.recv_ns.0 - at;
            prop_assert!((least..=most).contains(&took), "{took} not in {least}..={most}");
        }
        prop_assert!(got.windows(2).all(|pair| pair[0].recv_ns <= pair[1].recv_ns));
        // The same again, polled at another pace, is the same.
        prop_assert_eq!(run(config, &sent, 7_777_777), (got, digest));
    }
}

/// A small trader in lockstep with the market: enters long, stops every entry, exits on a trigger.
/// `extra_polls` adds polls between frames, which must change nothing.
fn trade(config: LinkConfig, prices: &[i64], extra_polls: i64) -> (Vec<Event>, u64) {
    let mut link = link(config);
    let (mut seen, mut id) = (Vec::new(), 0);
    for (n, price) in prices.iter().enumerate() {
        let frame = n as i64 * 50;
        for part in 1..=extra_polls + 1 {
            let until = TimeNs((frame - 50) * NS_PER_MS + 50 * NS_PER_MS * part / (extra_polls + 1));
            while let Some(delivery) = link.poll(until) {
                for event in delivery.events() {
                    id += 1;
                    let order = match event.body {
                        EventBody::Fill(fill) if fill.side == Side::Buy => {
                            Some(stop_order(id, Side::Sell, fill.quantity.0, fill.price.0 - 20))
                        }
                        EventBody::OrderUpdate(update) if update.status == OrderStatus::Triggered => {
                            Some(exit_order(id, Side::Sell, 100))
                        }
                        _ => None,
                    };
                    if let Some(order) = order {
                        link.send(event.recv_ns, BTC, Instruction::Order(order));
                    }
                    seen.push(event);
                }
            }
        }
        link.market(ms(frame), &event(frame, quote_of(price - 1, 8, *price, 8)));
        link.market(ms(frame), &event(frame, trade_of(*price, true)));
        id += 1;
        send(&mut link, frame, market_order(id, Side::Buy, 10));
    }
    (seen, link.venue().digest())
}

proptest! {
    #[test]
    fn a_lockstep_run_does_not_depend_on_how_often_it_is_polled(
        config in configs(),
        prices in proptest::collection::vec(50_000i64..50_100, 2..60),
    ) {
        let run = trade(config, &prices, 0);
        prop_assert!(run.0.iter().any(|e| matches!(e.body, EventBody::Fill(_))));
        prop_assert!(run.0.windows(2).all(|pair| pair[0].recv_ns <= pair[1].recv_ns));
        prop_assert_eq!(trade(config, &prices, 6), run);
    }
}

#[test]
fn jitter_spreads_over_its_whole_range_and_follows_the_seed() {
    let config = LinkConfig { order_latency_ns: 0, report_latency_ns: 0, jitter_ns: 9, seed: 7 };
    let sent: Vec<i64> = (0..2_000).map(|n| n * 1_000).collect();
    let delays = |seed| -> Vec<i64> {
        let (got, _) = run(LinkConfig { seed, ..config }, &sent, 1_000);
        got.iter().zip(&sent).map(|(event, at)| event.recv_ns.0 - at).collect()
    };
    let first = delays(7);
    assert_eq!((first.iter().min(), first.iter().max()), (Some(&0), Some(&18)));
    assert_ne!(first, delays(8));
}
