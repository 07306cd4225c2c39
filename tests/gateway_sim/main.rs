//! The gateway against the simulated venue, both over real sockets: two readings of one dialect that must
//! agree. Time is the test's.
#![cfg(feature = "server")]

#[path = "../sim_server/support.rs"]
#[allow(dead_code)] // the venue's own tests take all of it
mod support;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use quantum_trader::event::*;
use quantum_trader::gateway::{
    GatewayConfig, GatewayReport, LimitSettings, Refusal, RunningGateway, StartConfig, Wires, prepare,
};
use quantum_trader::host::time::SteppedTime;
use quantum_trader::num::*;
use quantum_trader::sim::server::{Disturbance, Pacing, Server, ServerConfig, Stops, spawn};
use quantum_trader::venue::binance::ClientIds;
use quantum_trader::venue::binance::sign::Credentials;
use quantum_trader::wire::Roots;
use support::{T0, books, exchange, instruments, quote, trade};

/// Whatever waits so long hangs.
const HANG: Duration = Duration::from_secs(60);
/// How much faster than the machine's the test's time goes.
const HASTE: i64 = 20;
const BTC: InstrumentId = InstrumentId(0);

struct Desk {
    server: Server,
    clock: SteppedTime,
    now: TimeNs,
    instructions: rtrb::Producer<(TimeNs, InstrumentId, Instruction)>,
    events: Receiver<Event>,
    gateway: Option<RunningGateway>,
}

impl Desk {
    /// A running gateway at a venue with these frames, after both books are there.
    fn new(frames: Vec<(i64, String)>) -> Desk {
        // No routine round within a test: they have one of their own.
        Desk::at(ServerConfig::default(), frames, 86_400)
    }

    fn auditing(frames: Vec<(i64, String)>, reconcile_s: i64) -> Desk {
        Desk::at(ServerConfig::default(), frames, reconcile_s)
    }

    fn at(server: ServerConfig, frames: Vec<(i64, String)>, reconcile_s: i64) -> Desk {
        let clock = SteppedTime::at(T0);
        let pacing = Pacing::Paced { clock: Box::new(clock.clone()), wall: || T0, scale: 1.0 };
        let server = spawn(server, exchange(frames), instruments(), pacing).unwrap();
        server.go();
        let limits = LimitSettings {
            order_usd_max: Dec::int(10_000),
            position_usd_max: Dec::int(10_000),
            orders_per_minute: 1_000,
            price_collar: Dec::new(5, 2),
        };
        let config = StartConfig {
            endpoints: server.endpoints(),
            roots: Roots::Public,
            symbols: vec!["BTCUSDT".into(), "ETHUSDT".into()],
            leverage: 5,
            taker_fee: "0.0005".into(),
            gateway: GatewayConfig {
                ids: ClientIds::new("qt").unwrap(),
                limits,
                time_sync_ns: 3_600 * 1_000_000_000,
                lockstep: false,
                pings: true,
                reconcile_ns: reconcile_s * NS_PER_SEC,
            },
            stale_ns: None,
        };
        let prepared = prepare(config, Credentials::new("sim", "sim").unwrap(), &clock).unwrap();
        let said: Vec<String> = prepared.reading.events.iter().map(|event| words(&event.body)).collect();
        assert_eq!(said, ["Leverage 5", "Snapshot", "Clock"]);
        assert_eq!(
            *prepared.reading.instruments.get(BTC).unwrap(),
            *instruments().get(BTC).unwrap(),
            "as the venue has it"
        );
        let (producer, consumer) = rtrb::RingBuffer::new(64);
        let (sender, events) = crossbeam_channel::bounded(1_024);
        let prices: Arc<[AtomicI64]> = [500_000, 300_000].into_iter().map(AtomicI64::new).collect();
        let wires = Wires {
            instructions: consumer,
            events: sender,
            clock: Box::new(clock.clone()),
            fence: None,
            bans: None,
        };
        let gateway = prepared.run(prices, wires).unwrap();
        let mut desk =
            Desk { server, clock, now: T0, instructions: producer, events, gateway: Some(gateway) };
        desk.pass(5);
        desk
    }

    fn pass(&mut self, ms: i64) {
        self.now = self.now + ms * NS_PER_MS;
        self.clock.set(self.now);
    }

    fn tell(&mut self, instruction: Instruction) {
        self.instructions.push((self.now, BTC, instruction)).unwrap();
    }

    /// The next events, while [`HASTE`] ms pass with every one of the machine's: nothing is late because
    /// the threads and sockets of a busy machine are.
    fn events<const N: usize>(&mut self) -> [String; N] {
        std::array::from_fn(|_| self.wait_for(|desk| desk.events.try_recv().ok().map(|e| words(&e.body))))
    }

    fn wait_for<T>(&mut self, mut look: impl FnMut(&Desk) -> Option<T>) -> T {
        let (began, mut passed) = (Instant::now(), 0);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(began.elapsed() < HANG, "it does not come");
            // One at most a look: what a pause of this thread took is not made up for.
            let due = began.elapsed().as_micros() as i64 * HASTE / 1_000;
            if due > passed {
                passed = due;
                self.pass(1);
            }
            thread::yield_now();
        }
    }

    /// The events up to this one.
    fn until(&mut self, last: &str) -> Vec<String> {
        let mut said = Vec::new();
        while said.last().is_none_or(|word| word != last) {
            let [next] = self.events();
            said.push(next);
        }
        said
    }

    fn stop(mut self) -> GatewayReport {
        self.gateway.take().unwrap().stop()
    }
}

fn words(body: &EventBody) -> String {
    match body {
        EventBody::OrderUpdate(OrderUpdate { order, status, code, filled, .. }) => {
            let code = if *code == 0 { String::new() } else { format!(" {code}") };
            format!("{status:?} {} {}{code}", order.sequence(), filled.0)
        }
        EventBody::Fill(fill) => {
            format!("Fill {} {}@{}", fill.order.sequence(), fill.quantity.0, fill.price.0)
        }
        EventBody::AccountUpdate(update) => format!("{:?}", update.reason),
        EventBody::VenuePosition(position) => format!("Position {}", position.quantity.0),
        EventBody::VenueSetup(setup) => format!("Leverage {}", setup.leverage),
        EventBody::FeedStatus(status) => format!("{:?} {:?}", status.feed, status.state),
        EventBody::ClockRead(_) => "Clock".to_string(),
        other => format!("{other:?}"),
    }
}

fn id(sequence: u32) -> OrderId {
    OrderId::new(7, sequence)
}

fn entry(sequence: u32) -> Instruction {
    Instruction::Order(order(sequence))
}

fn order(sequence: u32) -> Order {
    Order {
        id: id(sequence),
        trade: id(1),
        quantity: Lots(20),
        trigger: Ticks::ZERO,
        reference: Ticks(500_000),
        side: Side::Buy,
        kind: OrderKind::Market,
        purpose: Purpose::Entry,
        working_type: WorkingType::ContractPrice,
        reduce_only: false,
        pad: [0; 3],
    }
}

fn stop(sequence: u32, trigger: i64) -> Instruction {
    Instruction::Order(Order {
        trigger: Ticks(trigger),
        side: Side::Sell,
        kind: OrderKind::StopMarket,
        purpose: Purpose::Stop,
        reduce_only: true,
        ..order(sequence)
    })
}

fn cancel(sequence: u32, kind: OrderKind) -> Instruction {
    Instruction::Cancel(Cancel { id: id(sequence), kind, pad: [0; 7] })
}

fn query(sequence: u32, kind: OrderKind) -> Instruction {
    Instruction::Query(Query { id: id(sequence), kind, pad: [0; 7] })
}

const BOUGHT: [&str; 5] = ["Accepted 1 0", "Order", "Position 20", "Fill 1 20@500001", "Filled 1 20"];

#[test]
fn a_trade_from_entry_to_stop() {
    // Far enough ahead that everything before it has happened.
    let mut frames = books();
    frames.push((60_000, trade("BTCUSDT", "49000.00")));
    frames.push((60_000, quote("BTCUSDT", "48999.90", "49000.00")));
    let mut desk = Desk::new(frames);
    desk.tell(entry(1));
    assert_eq!(desk.events(), BOUGHT);
    desk.tell(stop(2, 490_000));
    assert_eq!(desk.events(), ["Accepted 2 0"]);
    // A second one with another trigger; the first goes.
    desk.tell(stop(3, 495_000));
    assert_eq!(desk.events(), ["Accepted 3 0"]);
    desk.tell(cancel(2, OrderKind::StopMarket));
    assert_eq!(desk.events(), ["Canceled 2 0"]);
    desk.tell(query(2, OrderKind::StopMarket));
    assert_eq!(desk.events(), ["Canceled 2 0"]);
    desk.tell(query(3, OrderKind::StopMarket));
    assert_eq!(desk.events(), ["Accepted 3 0"]);
    desk.tell(query(1, OrderKind::Market));
    assert_eq!(desk.events(), ["Filled 1 20"]);
    desk.pass(60_000);
    let said = desk.until("Filled 3 20");
    assert_eq!(said[..4], ["Triggered 3 0", "Order", "Position 0", &said[3]]);
    assert!(said[3].starts_with("Fill 3 20@"), "{said:?}");
    // Over: cancelled and asked for by the ordinary road.
    desk.tell(cancel(3, OrderKind::StopMarket));
    assert_eq!(desk.events(), ["CancelRejected 3 20 -2011"]);
    desk.tell(query(3, OrderKind::StopMarket));
    assert_eq!(desk.events(), ["Filled 3 20"]);
    let report = desk.stop();
    assert_eq!((report.counters.unreadable, report.counters.unmatched, report.counters.foreign), (0, 0, 0));
    assert_eq!((report.counters.orders_sent, report.counters.round_trip.0.len()), (3, 3));
}

#[test]
fn routine_rounds_find_what_is_known_and_say_nothing() {
    let mut desk = Desk::auditing(books(), 15);
    desk.tell(entry(1));
    assert_eq!(desk.events(), BOUGHT);
    desk.tell(stop(2, 490_000));
    assert_eq!(desk.events(), ["Accepted 2 0"]);
    desk.wait_for(|desk| {
        let rounds = desk.gateway.as_ref().unwrap().report().counters.reconciliation_rounds;
        (rounds >= 4).then_some(())
    });
    assert!(desk.events.try_iter().all(|event| matches!(event.body, EventBody::ClockRead(_))));
    let counters = desk.stop().counters;
    assert_eq!(counters.assumed_fills, 0);
}

#[test]
fn refusals_of_the_venue() {
    let mut desk = Desk::new(books());
    desk.tell(stop(1, 490_000));
    assert_eq!(desk.events(), ["Rejected 1 0 -2022"], "nothing to reduce");
    desk.tell(entry(2));
    desk.events::<5>();
    desk.tell(stop(3, 500_500));
    assert_eq!(desk.events(), ["Rejected 3 0 -2021"], "passed already");
    desk.tell(query(9, OrderKind::Market));
    assert_eq!(desk.events(), ["NotFound 9 0 -2013"]);
    desk.tell(query(9, OrderKind::StopMarket));
    assert_eq!(desk.events(), ["NotFound 9 0 -2013"]);
    desk.tell(cancel(9, OrderKind::StopMarket));
    assert_eq!(desk.events(), ["CancelRejected 9 0 -2011"]);
    desk.server.faults().set_stops(Stops::Refuse);
    desk.tell(stop(10, 490_000));
    assert_eq!(desk.events(), ["Rejected 10 0 -4131"]);
    desk.server.faults().set_stops(Stops::Swallow);
    desk.tell(stop(11, 490_000));
    assert_eq!(desk.until("Unknown 11 0"), ["Unknown 11 0"]);
    desk.stop();
}

#[test]
fn a_venue_with_tight_limits_is_never_asked_too_much() {
    let limits = ServerConfig {
        weight_per_minute: 130,
        orders_per_10_s: 6,
        orders_per_minute: 15,
        ..ServerConfig::default()
    };
    let mut desk = Desk::at(limits, books(), 86_400);
    let exit =
        |sequence| Order { side: Side::Sell, reduce_only: true, purpose: Purpose::Exit, ..order(sequence) };
    for sequence in 1..=150 {
        // Each is answered before time goes on: no request is late.
        let (instruction, ends) = match sequence % 3 {
            0 => (cancel(sequence - 1, OrderKind::Market), ["CancelRejected", "CancelRejected"]),
            1 => (entry(sequence), ["Filled", "Rejected"]),
            _ => (Instruction::Order(exit(sequence)), ["Filled", "Rejected"]),
        };
        desk.tell(instruction);
        loop {
            let [word] = desk.events();
            let of_it = word.split(' ').nth(1) == Some(&sequence.to_string()) || sequence % 3 == 0;
            if of_it && ends.iter().any(|end| word.starts_with(end)) {
                break;
            }
        }
        desk.pass(1_000);
    }
    let counters = desk.gateway.take().unwrap().stop().counters;
    assert!(counters.refused(Refusal::VenueRate) > 20 && counters.orders_sent > 20, "{counters:?}");
    let audit = ureq::get(format!("http://{}/sim/audit", desk.server.addr())).call().unwrap();
    let audit: serde_json::Value =
        serde_json::from_str(&audit.into_body().read_to_string().unwrap()).unwrap();
    assert_eq!(audit["requests_over_limits"], 0);
    assert_eq!((audit["orders_requested"].as_u64(), counters.silences), (Some(counters.orders_sent), 0));
}

#[test]
fn a_listen_key_that_ends_before_its_time() {
    let mut desk = Desk::new(books());
    desk.tell(entry(1));
    desk.events::<5>();
    desk.tell(stop(2, 490_000));
    assert_eq!(desk.events(), ["Accepted 2 0"]);
    desk.server.disturb(Disturbance::ExpireListenKey);
    let said = desk.until("User Up");
    assert_eq!(said, ["User Down", "Accepted 2 0", "Snapshot", "Position 20", "User Up"]);
    desk.tell(cancel(2, OrderKind::StopMarket));
    assert_eq!(desk.events(), ["Canceled 2 0"], "the new stream says it");
    let report = desk.stop();
    assert_eq!((report.counters.listen_keys_expired, report.counters.unreadable), (1, 0));
}

#[test]
fn a_venue_that_closes_everything() {
    let mut desk = Desk::new(books());
    desk.tell(entry(1));
    assert_eq!(desk.events(), BOUGHT);
    desk.server.disturb(Disturbance::Close);
    desk.until("User Up");
    desk.tell(stop(2, 490_000));
    assert_eq!(desk.events(), ["Accepted 2 0"]);
    desk.server.disturb(Disturbance::Nonsense);
    desk.server.disturb(Disturbance::Pings(500));
    desk.tell(cancel(2, OrderKind::StopMarket));
    let said = desk.until("Canceled 2 0");
    assert!(said.iter().all(|word| !word.contains("Down")), "{said:?}");
    let report = desk.stop();
    assert_eq!(report.counters.order_link_losses, 1);
    assert!(report.counters.unreadable > 0, "nonsense was counted");
}
