//! What users of other engines were hurt by, one test each: looked at where it hurt, at the venue.
//! `docs/TESTING.md` says what keeps each from happening, and how each test was seen to fail.

#[path = "hurts_busy.rs"]
mod busy;
#[path = "hurts_orders.rs"]
mod orders;
#[path = "hurts_process.rs"]
mod process;
#[path = "hurts_roads.rs"]
mod roads;

use std::collections::BTreeMap;

use quantum_trader::event::record::Entry;
use quantum_trader::event::*;
use quantum_trader::num::*;
use quantum_trader::risk::config::{OnUnknownPosition, Settings};
use quantum_trader::soak::{Knock, START, Site, Weather, World};

const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);
const SOL: InstrumentId = InstrumentId(2);
const EACH: [InstrumentId; 3] = [BTC, ETH, SOL];

/// A moment after the start.
fn at(ms: i64) -> TimeNs {
    START + ms * NS_PER_MS
}

/// Nobody trades but the test, there is plenty at the touch, and stops are so far away that only what the
/// test does ends a trade.
fn settings(drawn: Settings) -> Settings {
    Settings {
        sl_multiplier: Dec::int(15),
        atr_mult_sl: Dec::int(15),
        tp_multiplier: Dec::new(375, 1),
        require_trend: false,
        enable_breakeven: false,
        enable_partial_tp: false,
        enable_trailing: false,
        enable_time_exit: false,
        enable_circuit_breaker: false,
        max_position_usd: Dec::int(5_000),
        on_unknown_position: OnUnknownPosition::Adopt,
        ..drawn
    }
}

/// The first `count` seeds with an account of usual size and a market that does not jump beyond stops,
/// each in the weather made for it; a process has just started.
fn worlds(count: usize, weather: impl Fn() -> Weather) -> impl Iterator<Item = World> {
    worlds_with(count, weather, |settings| settings)
}

fn worlds_with(
    count: usize,
    weather: impl Fn() -> Weather,
    change: impl Fn(Settings) -> Settings,
) -> impl Iterator<Item = World> {
    let made = (0..).map(move |seed| World::new(seed, |_| weather()).unwrap());
    let usual = made.filter(|world| world.leverage == 5).map(move |mut world| {
        world.calm();
        world.settings = change(settings(world.settings));
        world.watch_door();
        world.run_until(at(1_100)).unwrap();
        world
    });
    usual.filter(is_gentle).take(count)
}

/// Bars before the start range over less than half a percent.
fn is_gentle(world: &World) -> bool {
    events(world).all(|event| match &event.body {
        EventBody::Bar(bar) => (bar.high.0 - bar.low.0) * 200 < bar.close.0,
        _ => true,
    })
}

fn fair() -> Weather {
    Weather::fair(START)
}

fn pass(world: &mut World, ms: i64) {
    let until = world.now + ms * NS_PER_MS;
    world.run_until(until).unwrap();
}

/// Lets time pass by the millisecond until something is so, and says how many it took.
fn until(world: &mut World, longest_ms: i64, what: &str, is: impl Fn(&mut World) -> bool) -> i64 {
    for ms in 0..=longest_ms {
        if is(world) {
            return ms;
        }
        pass(world, 1);
    }
    panic!("{what}: not within {longest_ms} ms; {}", world.describe());
}

/// What is held at the venue, in lots; negative if short.
fn held(world: &mut World, id: InstrumentId) -> i64 {
    world.desk().venue().position(id).quantity.0
}

/// For how much of a position stops rest at the venue, or work.
fn stopped(world: &mut World, id: InstrumentId) -> i64 {
    world.desk().venue().stopped(id).0
}

/// Stops at the venue are for as much as is held there, or more.
fn covered(world: &mut World, id: InstrumentId) -> bool {
    stopped(world, id) >= held(world, id).abs()
}

/// A position with a stop for exactly as much, and nothing else on its way.
fn settled(world: &mut World, id: InstrumentId) -> bool {
    held(world, id) != 0 && stopped(world, id) == held(world, id).abs()
}

fn trade_is_there(world: &World, id: InstrumentId) -> bool {
    let process = world.process.as_ref();
    process.is_some_and(|it| it.intake.core.engine().trades().iter().any(|trade| trade.instrument == id))
}

/// Signals until the venue holds a position.
fn enter(world: &mut World, id: InstrumentId, action: Action) {
    for _ in 0..300 {
        if held(world, id) != 0 {
            return;
        }
        if !trade_is_there(world, id) {
            world.give(id, action).unwrap();
        }
        pass(world, 1);
        for _ in 0..99 {
            if held(world, id) != 0 {
                return;
            }
            pass(world, 1);
        }
    }
    let last: Vec<_> = outputs(world).filter(|output| output.instrument == id).collect();
    panic!("no entry in thirty seconds: {:?}", &last[last.len().saturating_sub(4)..]);
}

/// A position with its stop.
fn enter_and_settle(world: &mut World, id: InstrumentId, action: Action) -> i64 {
    enter(world, id, action);
    until(world, 2_000, "a stop", |world| settled(world, id));
    pass(world, 500);
    held(world, id)
}

/// A request as the venue reads it.
#[derive(Debug)]
struct Asked {
    at: TimeNs,
    by_socket: bool,
    /// Method of the order websocket, or verb and path.
    name: String,
    params: BTreeMap<String, String>,
}

impl Asked {
    fn of(knock: &Knock) -> Asked {
        let Knock { at, text } = knock;
        if let Ok(request) = serde_json::from_str::<serde_json::Value>(text) {
            let params = request["params"].as_object().unwrap().iter().map(|(key, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (key.clone(), value)
            });
            let name = request["method"].as_str().unwrap().to_owned();
            return Asked { at: *at, by_socket: true, name, params: params.collect() };
        }
        let (name, query) = text.split_once('?').unwrap();
        let params = query.split('&').filter_map(|pair| pair.split_once('='));
        let params = params.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Asked { at: *at, by_socket: false, name: name.to_owned(), params }
    }

    fn is(&self, name: &str) -> bool {
        self.params.get("type").is_some_and(|kind| kind == name)
    }

    /// An order that is to be placed, of any kind.
    fn places(&self) -> bool {
        self.params.contains_key("quantity")
    }

    fn reduces(&self) -> bool {
        self.params.get("reduceOnly").is_some_and(|value| value == "true")
    }

    /// An order that adds to a position.
    fn enters(&self) -> bool {
        self.places() && !self.reduces()
    }

    /// A market order that closes.
    fn exits(&self) -> bool {
        self.is("MARKET") && self.reduces()
    }
}

/// What reached the venue's door from `since` on.
fn asked(world: &World, since: TimeNs) -> Vec<Asked> {
    world.door().iter().filter(|knock| knock.at >= since).map(Asked::of).collect()
}

fn events(world: &World) -> impl Iterator<Item = &Event> {
    world.entries().iter().filter_map(|entry| match entry {
        Entry::Event(event) => Some(event),
        Entry::Output { .. } => None,
    })
}

fn outputs(world: &World) -> impl Iterator<Item = &Output> {
    world.entries().iter().filter_map(|entry| match entry {
        Entry::Output { output, .. } => Some(output),
        Entry::Event(_) => None,
    })
}
