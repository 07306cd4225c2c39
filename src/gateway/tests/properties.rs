//! Whatever arrives, in whatever order, twice or not at all.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What the venue says of one order's life, on both connections, each in its own order.
#[derive(Clone, Debug)]
struct Story {
    responses: Vec<Value>,
    messages: Vec<Value>,
    /// Fills, in lots, and how it ends.
    fills: Vec<i64>,
    end: OrderStatus,
}

fn story(request: RequestId, end: usize) -> Story {
    let new = order_message(1, "NEW", "NEW", "0", None);
    let part = order_message(1, "TRADE", "PARTIALLY_FILLED", "0.001", Some((31, "0.001")));
    let rest = order_message(1, "TRADE", "FILLED", "0.002", Some((32, "0.001")));
    let (messages, fills, end) = match end {
        0 => (vec![new, part, rest], vec![31, 32], OrderStatus::Filled),
        1 => {
            let canceled = order_message(1, "CANCELED", "CANCELED", "0.001", None);
            (vec![new, part, canceled], vec![31], OrderStatus::Canceled)
        }
        _ => (vec![new, order_message(1, "EXPIRED", "EXPIRED", "0", None)], vec![], OrderStatus::Expired),
    };
    let accepted = success(request, &order_result(1, "NEW", "0"));
    Story { responses: vec![accepted], messages, fills, end }
}

fn statuses(events: &[(InstrumentId, EventBody)]) -> Vec<OrderStatus> {
    let updates = events.iter().filter_map(|(_, body)| match body {
        EventBody::OrderUpdate(update) => Some(update.status),
        _ => None,
    });
    updates.collect()
}

fn trades(events: &[(InstrumentId, EventBody)]) -> Vec<i64> {
    let fills = events.iter().filter_map(|(_, body)| match body {
        EventBody::Fill(fill) => Some(fill.trade_id),
        _ => None,
    });
    fills.collect()
}

/// Every status is later than the one before it, and none comes twice.
fn is_forward(statuses: &[OrderStatus]) -> bool {
    let rank = |status: &OrderStatus| match status {
        OrderStatus::Unknown => 1,
        OrderStatus::Accepted => 2,
        OrderStatus::Triggered => 3,
        _ => 4,
    };
    statuses.windows(2).all(|pair| rank(&pair[0]) < rank(&pair[1]))
}

proptest! {
    /// The two connections interleave at will, messages come twice, the response is lost with its
    /// connection: the engine learns the same fills and the same end, each once.
    #[test]
    fn interleavings_agree(
        end in 0usize..3,
        choices in proptest::collection::vec((any::<bool>(), any::<bool>()), 12),
        drop_response: bool,
        lose_link_at in proptest::option::of(0usize..6),
    ) {
        let mut desk = Desk::new();
        desk.place(entry(1));
        let request = desk.request();
        let Story { mut responses, messages, fills, end } = story(request, end);
        if drop_response {
            responses.clear();
        }
        let (mut responses, mut messages) = (responses.into_iter().peekable(), messages.into_iter().peekable());
        let mut events = Vec::new();
        for (step, (response_first, twice)) in choices.into_iter().enumerate() {
            if lose_link_at == Some(step) {
                desk.on(Input::OrderLink(Link::Down));
                // What was on its way is gone.
                responses.by_ref().for_each(drop);
            }
            let from_responses = responses.peek().is_some() && (response_first || messages.peek().is_none());
            let repeat = if twice { 2 } else { 1 };
            if from_responses {
                let message = responses.next().unwrap();
                (0..repeat).for_each(|_| desk.response(&message));
            } else if let Some(message) = messages.next() {
                (0..repeat).for_each(|_| desk.user(&message));
            }
            events.extend(desk.events());
            prop_assert!(desk.written().is_empty() && desk.called().is_empty(), "nothing is sent again");
        }
        let statuses = statuses(&events);
        prop_assert!(is_forward(&statuses), "{statuses:?}");
        prop_assert_eq!(statuses.last(), Some(&end));
        prop_assert_eq!(trades(&events), fills);
        prop_assert_eq!(desk.gateway.unknown_orders(), 0);
    }

    /// Whatever the engine asks, and however roads come and go: no order is put on its way twice.
    #[test]
    fn an_order_goes_out_once(
        steps in proptest::collection::vec((0u8..8, 1u32..12, any::<bool>()), 1..120),
    ) {
        let mut desk = Desk::with(LimitSettings { orders_per_minute: 10_000, ..settings() }, false);
        let mut sent: BTreeSet<String> = BTreeSet::new();
        let mut taken: Vec<RequestId> = Vec::new();
        for (what, sequence, flag) in steps {
            match what {
                0..=2 => desk.place(if flag { stop(sequence) } else { entry(sequence) }),
                3 => desk.on(Input::OrderLink(if flag { Link::Up } else { Link::Down })),
                4 => desk.cancel(sequence, OrderKind::Market),
                5 => desk.wait(i64::from(sequence) * NS_PER_SEC),
                6 => if let Some(request) = taken.pop() {
                    let outcome = if flag { RestOutcome::Lost } else { RestOutcome::Unsent };
                    desk.on(Input::Rest(request, outcome));
                },
                _ => if let Some(text) = desk.out.texts.pop_front() {
                    // The socket took nothing of it.
                    desk.on(Input::NotSent(text.request));
                },
            }
            // Some of the texts are taken at once, the others wait and may be overtaken by a loss.
            if flag {
                for (_, text) in desk.written() {
                    let params = &text["params"];
                    if text["method"].as_str().unwrap().ends_with("place") {
                        let id = params.get("newClientOrderId").unwrap_or(&params["clientAlgoId"]);
                        prop_assert!(sent.insert(id.as_str().unwrap().to_string()), "{id} twice");
                    }
                }
                for call in desk.out.urgent.drain(..) {
                    taken.push(call.request);
                    if format!("{:?}", call.call).starts_with("Post") {
                        let id = call.call.query.split('&').find(|p| p.starts_with("newClientOrderId=") || p.starts_with("clientAlgoId="));
                        let id = id.unwrap().split_once('=').unwrap().1.to_string();
                        prop_assert!(sent.insert(id.clone()), "{id} twice");
                    }
                }
            }
        }
    }

    /// Whatever the engine asks and the venue says: notional and rate of what goes out keep the limits.
    #[test]
    fn nothing_that_goes_out_breaks_a_limit(
        steps in proptest::collection::vec((0u8..6, 1i64..20, 560_000i64..640_000, any::<bool>(), any::<bool>()), 1..150),
    ) {
        let mut desk = Desk::with(LimitSettings { orders_per_minute: 20, ..settings() }, false);
        let (mut sequence, mut sent) = (0u32, Vec::<(TimeNs, bool)>::new());
        let mut live: Vec<(u32, i64)> = Vec::new();
        let mut position = 0i64;
        let mut trade_id = 0;
        for (what, lots, reference, reduce_only, flag) in steps {
            match what {
                0..=3 => {
                    sequence += 1;
                    desk.place(Order { quantity: Lots(lots), reference: Ticks(reference), reduce_only, ..entry(sequence) });
                }
                4 => desk.wait(lots * NS_PER_SEC),
                _ => if let Some((which, quantity)) = live.pop() {
                    trade_id += 1;
                    let filled = format!("0.{quantity:03}");
                    desk.user(&order_message(which, "TRADE", "FILLED", &filled, Some((trade_id, &filled))));
                    position += quantity;
                    if flag {
                        desk.user(&account_message("ORDER", "1", "0", Some(&format!("0.{position:03}"))));
                    }
                },
            }
            for (_, text) in desk.written() {
                sent.push((desk.now, !reduce_only));
                sent.retain(|(at, _)| desk.now.since(*at) < 60 * NS_PER_SEC);
                prop_assert!(sent.len() <= 20 && sent.iter().filter(|(_, entry)| *entry).count() <= 10);
                if !reduce_only {
                    let dearer = reference.max(600_000);
                    prop_assert_eq!(text["params"]["quantity"].as_str().unwrap(), format!("0.{lots:03}"));
                    prop_assert!(lots * dearer <= 1_000 * 10_000, "{lots} at {dearer}");
                    prop_assert!((reference - 600_000).abs() <= 30_000);
                    live.push((sequence, lots));
                    let reached = position + live.iter().map(|(_, lots)| lots).sum::<i64>();
                    prop_assert!(reached * dearer <= 1_000 * 10_000, "{reached} at {dearer}");
                }
            }
        }
    }

    /// Hostile texts: no panic, and a count for each.
    #[test]
    fn hostile_texts(text in "\\PC{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..60), key in "[a-zA-Z]{1,3}", value in "[-0-9eE.]{0,24}") {
        let mut desk = Desk::new();
        desk.place(entry(1));
        for input in [text.as_bytes(), &bytes] {
            desk.on(Input::OrderText(input));
            desk.on(Input::UserText(input));
        }
        let account = account_message("ORDER", "1", "0", Some("0.001"));
        let mut broken_number = account.clone();
        broken_number["a"]["P"][0]["pa"] = json!(value);
        broken_number["a"]["B"][0]["wb"] = json!(value);
        desk.user(&broken_number);
        let order = order_message(1, "TRADE", "FILLED", "0.002", Some((1, "0.002")));
        for (mut message, inner) in [(order, "o"), (account, "a")] {
            message[inner][&key] = json!(value);
            desk.user(&message);
        }
        desk.response(&json!({"id": value, "status": 200, "result": {}}));
        desk.response(&json!({"id": "1", "status": 429, "error": {"code": -1003, "msg": text, "data": {"retryAfter": i64::MAX}}}));
        desk.wait(i64::MAX);
    }
}
