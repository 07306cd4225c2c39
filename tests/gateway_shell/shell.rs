//! A running gateway, and what can happen to its connections.

use std::sync::Mutex;

use super::wire_support::{CLOSE, PING, PONG, frame, text};
use super::*;
use quantum_trader::gateway::{AnswerClass, Refusal};

#[test]
fn an_order_there_and_back() {
    let mut run = Run::new();
    run.place(entry(1));
    let request = run.orders.text();
    assert_eq!(request["method"], "order.place");
    assert_eq!(request["params"]["newClientOrderId"], "qt-00000007-00000001");
    run.accept(request["id"].as_str().unwrap(), 1);
    assert_eq!(run.event(), "Accepted 1");
    run.user.say(&filled(1, 5));
    assert_eq!((run.event(), run.event()), ("Fill 1 5".to_string(), "Filled 1".to_string()));
    run.place(Order { quantity: Lots(17), ..entry(2) });
    assert_eq!(run.event(), "Rejected 2");
    let report = run.stop();
    let counters = &report.counters;
    assert_eq!((counters.orders_sent, counters.answered(AnswerClass::Success)), (1, 1));
    assert_eq!((counters.refused(Refusal::OrderNotional), counters.round_trip.0.len()), (1, 1));
    assert_eq!((report.order_wire.sent, report.user_wire.frames), (1, 1));
}

#[test]
fn a_connection_that_closes_with_an_order_on_it() {
    let mut run = Run::new();
    run.place(entry(1));
    run.request();
    run.orders.send(&frame(CLOSE, true, b"\x03\xe9"));
    assert_eq!(run.event(), "Unknown 1");
    // Until there is another, by REST.
    run.server.answer("POST /fapi/v1/order", 200, &accepted("", 2)["result"]);
    run.place(entry(2));
    let call = run.server.expect("POST /fapi/v1/order");
    assert!(call.query.contains("newClientOrderId=qt-00000007-00000002"), "{}", call.query);
    assert_eq!(run.event(), "Accepted 2");
    run.orders = run.wait_for(|run| run.server.try_socket());
    let report = run.stop();
    assert_eq!(
        (report.counters.unknown, report.counters.order_link_losses, report.unknown_orders),
        (1, 1, 1)
    );
}

#[test]
fn a_connection_that_refuses_is_tried_again() {
    let mut run = Run::new();
    run.server.refusing.store(true, Ordering::Release);
    run.orders.send(&frame(CLOSE, true, b""));
    let mut passed = 0;
    run.wait_for(|_| {
        passed += 1;
        (passed > 5_000).then_some(())
    });
    assert!(run.server.try_socket().is_none());
    run.server.refusing.store(false, Ordering::Release);
    run.orders = run.wait_for(|run| run.server.try_socket());
    assert_eq!(run.orders.path, "/ws-fapi/v1");
    assert_eq!(run.stop().counters.order_link_losses, 1, "one loss, however long it takes");
}

#[test]
fn a_connection_refused_with_a_ban_is_not_tried_again_before_it_is_over() {
    let mut run = Run::new();
    run.server.refusing.store(true, Ordering::Release);
    run.server.banning.store(true, Ordering::Release);
    run.orders.send(&frame(CLOSE, true, b""));
    let event = run.wait_for(|run| run.events.try_recv().ok());
    assert_eq!(words(&event.body), "Orders Down");
    // In nine minutes it would be tried nine times, and with each turn of the gateway once more.
    for _ in 0..9 {
        run.clock.pass(60_000);
        let reads = run.clock.reads();
        run.wait_for(|run| (run.clock.reads() > reads + 100).then_some(()));
    }
    assert_eq!(run.server.refused.load(Ordering::Acquire), 1);
    run.place(entry(1));
    assert_eq!(run.event(), "Rejected 1");
    run.server.refusing.store(false, Ordering::Release);
    run.clock.pass(60_000);
    run.orders = run.wait_for(|run| run.server.try_socket());
    assert_eq!(run.event(), "Orders Up");
    let kept = run.bans.0.lock().unwrap().clone();
    assert!(kept.len() == 1 && kept[0].since(T0) > 600 * 1_000_000_000, "{kept:?}");
    assert_eq!(run.stop().forgotten_ban.as_deref(), Some("no disk"));
}

#[test]
fn a_venue_that_never_answers() {
    let mut run = Run::new();
    run.place(entry(1));
    run.request();
    let event = run.wait_for(|run| run.events.try_recv().ok());
    assert_eq!(words(&event.body), "Unknown 1");
    // The connection is not what it seems: another one.
    run.orders = run.wait_for(|run| run.server.try_socket());
    assert_eq!(run.stop().counters.answered(AnswerClass::Lost), 1);
}

#[test]
fn a_connection_whose_other_end_is_gone_is_found_out_without_an_order_on_it() {
    let mut run = Run::new();
    let soon = run.clock.shows() + 2_200 * 1_000_000;
    run.wait_for(|run| (run.clock.shows() >= soon).then_some(()));
    assert_eq!(run.orders.frame(), Some((9, Vec::new())), "it was quiet, and is asked");
    run.orders.send(&frame(PONG, true, b""));
    // From here on nobody reads there. The user stream has never answered, and is not judged by it.
    run.orders = run.wait_for(|run| run.server.try_socket());
    assert_eq!(run.orders.path, "/ws-fapi/v1");
    let report = run.stop();
    assert_eq!((report.counters.order_link_losses, report.counters.user_link_losses), (1, 0));
    assert!(report.order_wire.pings_sent >= 2 && report.order_wire.pongs_received == 1);
}

#[test]
fn a_venue_that_speaks_nonsense() {
    let mut run = Run::new();
    for nonsense in ["", "x", "{}", "[[[[", "{\"id\":", "null", "\u{1f600}"] {
        run.orders.send(&text(nonsense));
    }
    run.orders.send(&frame(2, true, &[0xff; 50]));
    run.place(entry(1));
    let request = run.request();
    run.accept(&request, 1);
    assert_eq!(run.event(), "Accepted 1");
    // A frame no server may send: reserved bits.
    run.orders.send(&[0xf1, 0x00]);
    run.orders = run.wait_for(|run| run.server.try_socket());
    let report = run.stop();
    assert_eq!((report.counters.unreadable, report.counters.order_link_losses), (8, 1));
}

#[test]
fn a_flood_of_pings_holds_up_no_order() {
    let mut run = Run::new();
    let flood: Vec<u8> = (0..2_000u32).flat_map(|n| frame(PING, true, &n.to_be_bytes())).collect();
    run.orders.send(&flood);
    run.place(entry(1));
    let mut last_pong = None;
    let request = loop {
        match run.orders.frame().unwrap() {
            (PONG, payload) => last_pong = Some(payload),
            (1, payload) => break serde_json::from_slice::<Value>(&payload).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert!(last_pong.is_none_or(|payload| payload.len() == 4));
    run.accept(request["id"].as_str().unwrap(), 1);
    assert_eq!(run.event(), "Accepted 1");
    assert_eq!(run.stop().order_wire.pings, 2_000);
}

#[test]
fn a_frame_in_pieces_of_one_byte() {
    let mut run = Run::new();
    run.place(entry(1));
    let request = run.request();
    for byte in text(&accepted(&request, 1).to_string()) {
        run.orders.send(&[byte]);
    }
    assert_eq!(run.event(), "Accepted 1");
    run.stop();
}

#[test]
fn half_a_frame_and_the_end() {
    let mut run = Run::new();
    run.place(entry(1));
    let request = run.request();
    let whole = text(&accepted(&request, 1).to_string());
    run.orders.send(&whole[..whole.len() / 2]);
    run.orders.hang_up();
    assert_eq!(run.event(), "Unknown 1");
    run.stop();
}

#[test]
fn a_listen_key_that_expires() {
    let mut run = Run::new();
    run.server.answer("GET /fapi/v3/positionRisk", 200, &json!([]));
    run.server.answer("GET /fapi/v1/userTrades", 200, &json!([]));
    run.user.say(&json!({"e": "listenKeyExpired", "E": T0_MS, "listenKey": "the-listen-key"}));
    assert_eq!(run.event(), "User Down");
    run.server.answer("POST /fapi/v1/listenKey", 200, &json!({"listenKey": "another"}));
    run.user = run.wait_for(|run| run.server.try_socket());
    assert_eq!(run.user.path, "/private/ws?listenKey=another");
    assert_eq!(
        (run.event(), run.event(), run.event()),
        ("Snapshot 1000.5".into(), "Position 0".into(), "User Up".into())
    );
    run.place(entry(1));
    run.request();
    run.user.say(&filled(1, 9));
    assert_eq!(run.event(), "Fill 1 9");
    let report = run.stop();
    assert_eq!((report.counters.listen_keys_expired, report.counters.reconciliations), (1, 1));
}

#[test]
fn no_event_is_lost_when_nobody_takes_them() {
    let mut run = Run::with(|_| {}, 1, None);
    for trade in 0..3_000 {
        run.user.say(&json!({"e": "ACCOUNT_UPDATE", "E": T0_MS, "a": {"m": "DEPOSIT", "P": [],
            "B": [{"a": "USDT", "wb": trade.to_string(), "bc": "1"}]}}));
    }
    for trade in 0..3_000 {
        assert_eq!(run.event(), format!("Transfer {trade}"));
    }
    assert!(run.stop().backlog_max > 1);
}

#[test]
fn it_ends_when_the_engine_is_gone() {
    let mut run = Run::new();
    run.events = crossbeam_channel::never();
    run.user.say(&filled(1, 1));
    let gateway = run.gateway.take().unwrap();
    let began = Instant::now();
    while !gateway.is_over() {
        assert!(began.elapsed() < HANG, "it goes on");
        thread::yield_now();
    }
}

/// What the gateway told the other side of lockstep.
#[derive(Default)]
struct Told {
    received: AtomicU64,
    heard: AtomicU64,
    withheld: AtomicU64,
    waited: Mutex<Vec<u64>>,
}

struct TestFence(Arc<Told>);

impl Fence for TestFence {
    fn wait_received(&self, sent: u64) {
        self.0.waited.lock().unwrap().push(sent);
        while self.0.received.load(Ordering::Acquire) < sent {
            thread::yield_now();
        }
    }

    fn heard(&self, messages: u64) {
        self.0.heard.fetch_add(messages, Ordering::AcqRel);
    }

    fn withheld(&self, instructions: u64) {
        self.0.withheld.fetch_add(instructions, Ordering::AcqRel);
    }
}

#[test]
fn in_lockstep_each_request_is_received_before_the_next() {
    let told = Arc::new(Told::default());
    let fence = TestFence(Arc::clone(&told));
    let mut run = Run::with(|config| config.gateway.lockstep = true, 1_024, Some(Box::new(fence)));
    let wait = |what: &AtomicU64, wanted: u64| {
        let began = Instant::now();
        while what.load(Ordering::Acquire) < wanted {
            assert!(began.elapsed() < HANG, "{wanted} does not come");
            thread::yield_now();
        }
    };
    run.place(entry(1));
    run.place(Order { quantity: Lots(17), ..entry(2) });
    run.place(entry(3));
    let first = run.request();
    told.received.store(1, Ordering::Release);
    // Its refusal is in the channel before it is counted.
    wait(&told.withheld, 1);
    assert_eq!(run.events.try_recv().map(|event| words(&event.body)), Ok("Rejected 2".to_string()));
    let second = run.request();
    told.received.store(2, Ordering::Release);
    run.accept(&first, 1);
    run.accept(&second, 3);
    run.user.say(&filled(1, 5));
    wait(&told.heard, 3);
    let events: Vec<String> = run.events.try_iter().map(|event| words(&event.body)).collect();
    assert_eq!(events.len(), 4, "{events:?}");
    assert!(events.contains(&"Fill 1 5".to_string()) && events.contains(&"Accepted 3".to_string()));
    assert_eq!(told.waited.lock().unwrap().first(), Some(&1));
    // No time is too long, and a lost connection is the end.
    run.clock.pass(86_400_000);
    run.orders.send(&frame(CLOSE, true, b""));
    let gateway = run.gateway.take().unwrap();
    let began = Instant::now();
    while !gateway.is_over() {
        assert!(began.elapsed() < HANG, "it goes on");
        thread::yield_now();
    }
}
