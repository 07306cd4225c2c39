//! What stands between gateway and venue, and what becomes of a request there.

use serde::Deserialize;

use super::Dice;
use super::weather::{Kind, Weather};
use crate::num::{Millis, NS_PER_SEC, TimeNs};
use crate::venue::binance::code;
use crate::venue::binance::request::{RestCall, Verb};
use crate::venue::binance::{method, path};

/// The venue's shortest ban.
const BAN_S: i64 = 120;
/// Reasons for which an order is refused that is right by itself.
const REFUSALS: [i32; 9] = [
    code::MARGIN_NOT_SUFFICIENT,
    code::PERCENT_PRICE,
    code::SERVER_OVERLOADED,
    code::NEW_ORDER_REJECTED,
    code::REDUCE_ONLY_REJECTED,
    code::REDUCE_ONLY_MARGIN,
    code::WOULD_TRIGGER_IMMEDIATELY,
    code::MIN_NOTIONAL,
    code::MAX_LEVERAGE_RATIO,
];

/// What a request does to an order, as far as faults tell requests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Place,
    Cancel,
    Query,
    Else,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The venue has it, and its answer comes.
    Through,
    /// It never arrives.
    Vanishes,
    /// The venue acts on it, and its answer is lost.
    Unanswered,
    /// An answer that is not the venue's own; whether it acted on the request.
    Told { status: u16, code: i32, retry_s: Option<i64>, acts: bool },
}

impl Fate {
    const fn refused(status: u16, code: i32) -> Fate {
        Fate::Told { status, code, retry_s: None, acts: false }
    }
}

/// The venue's patience.
#[derive(Debug, Default)]
pub struct Patience {
    /// Banned until then, whatever is asked.
    pub banned_until: Option<TimeNs>,
    /// Told to be silent until then.
    throttled_until: Option<TimeNs>,
}

impl Patience {
    fn fate(&mut self, weather: &Weather, now: TimeNs, dice: &mut Dice) -> Option<Fate> {
        self.banned_until = self.banned_until.filter(|until| now < *until);
        self.throttled_until = self.throttled_until.filter(|until| now < *until);
        let told = |status, until: TimeNs| {
            let retry_s = Some((until.since(now) + NS_PER_SEC - 1) / NS_PER_SEC);
            Fate::Told { status, code: code::TOO_MANY_REQUESTS, retry_s, acts: false }
        };
        if let Some(until) = self.banned_until {
            return Some(told(418, until));
        }
        // Who goes on asking is banned.
        let ban = self.throttled_until.is_some() && dice.one_in(4);
        let throttles = weather.is(Kind::Throttle, now);
        if ban || (throttles && dice.one_in(60)) {
            return Some(told(418, *self.banned_until.insert(now + BAN_S * NS_PER_SEC)));
        }
        if let Some(until) = self.throttled_until {
            return Some(told(429, until));
        }
        if throttles && dice.one_in(5) {
            let until = now + dice.between(1, 10) * NS_PER_SEC;
            return Some(told(429, *self.throttled_until.insert(until)));
        }
        None
    }

    /// When everything may be asked again.
    pub fn ends(&self) -> Option<TimeNs> {
        [self.banned_until, self.throttled_until].into_iter().flatten().max()
    }
}

/// Decides what becomes of a request that reaches the venue's door.
pub fn fate(
    does: Does,
    by_socket: bool,
    weather: &Weather,
    patience: &mut Patience,
    now: TimeNs,
    dice: &mut Dice,
) -> Fate {
    let is = |kind| weather.is(kind, now);
    if is(Kind::Maintenance) {
        return if by_socket || dice.one_in(2) {
            Fate::Vanishes
        } else {
            Fate::refused(503, code::SERVER_OVERLOADED)
        };
    }
    if let Some(fate) = patience.fate(weather, now, dice) {
        return fate;
    }
    if by_socket && is(Kind::LoseRequests) && dice.one_in(3) {
        return Fate::Vanishes;
    }
    if by_socket && is(Kind::LoseAnswers) && dice.one_in(2) {
        return Fate::Unanswered;
    }
    if !by_socket && is(Kind::RestLost) && dice.one_in(2) {
        return if dice.one_in(2) { Fate::Unanswered } else { Fate::Vanishes };
    }
    if does == Does::Place && is(Kind::StatusUnknown) && dice.one_in(2) {
        let code = dice.pick(&[code::TIMEOUT, code::UNEXPECTED_RESPONSE, 0]);
        let status = if code == 0 { 503 } else { 400 };
        return Fate::Told { status, code, retry_s: None, acts: dice.one_in(2) };
    }
    if does == Does::Place && is(Kind::Refuse) && dice.one_in(3) {
        return Fate::refused(400, dice.pick(&REFUSALS));
    }
    if is(Kind::Forget) && dice.one_in(2) {
        match does {
            Does::Cancel => return Fate::refused(400, code::CANCEL_REJECTED),
            Does::Query => return Fate::refused(400, code::NO_SUCH_ORDER),
            Does::Place | Does::Else => {}
        }
    }
    Fate::Through
}

/// What a request of the order websocket asks.
#[derive(Deserialize)]
pub struct Asked<'a> {
    pub id: &'a str,
    method: &'a str,
}

impl Asked<'_> {
    pub fn does(&self) -> Does {
        match self.method {
            method::ORDER_PLACE | method::ALGO_ORDER_PLACE => Does::Place,
            method::ORDER_CANCEL | method::ALGO_ORDER_CANCEL => Does::Cancel,
            method::ORDER_STATUS => Does::Query,
            _ => Does::Else,
        }
    }
}

pub fn call_does(call: &RestCall) -> Does {
    match (call.path, call.verb) {
        (path::ORDER | path::ALGO_ORDER, Verb::Post) => Does::Place,
        (path::ORDER | path::ALGO_ORDER, Verb::Delete) => Does::Cancel,
        (path::ORDER | path::ALGO_ORDER, Verb::Get) => Does::Query,
        _ => Does::Else,
    }
}

/// A refusal as the order websocket words it, at the venue's time.
pub fn refusal_text(id: &str, status: u16, code: i32, retry_s: Option<i64>, now_ms: Millis) -> String {
    let data = retry_s.map_or_else(String::new, |seconds| {
        let retry_ms = now_ms + seconds * 1_000;
        format!(r#","data":{{"serverTime":{now_ms},"retryAfter":{retry_ms}}}"#)
    });
    format!(r#"{{"id":"{id}","status":{status},"error":{{"code":{code},"msg":"soak"{data}}}}}"#)
}

/// And as REST does.
pub fn refusal_body(code: i32) -> Vec<u8> {
    format!(r#"{{"code":{code},"msg":"soak"}}"#).into_bytes()
}
