//! Scenario lines as values, and as the text that is sent.

use quantum_trader::evaluate::Scenario;
use quantum_trader::risk::config::Settings;
use serde_json::{Value, json};

/// An instrument whose numbers are small, so that limits are met exactly and often.
#[derive(Clone, Debug)]
pub struct Listed {
    pub symbol: &'static str,
    pub tick: &'static str,
    pub step: &'static str,
    pub min_qty: &'static str,
    /// No scenario line states one.
    pub max_qty: Option<&'static str>,
    pub min_notional: &'static str,
    pub taker_fee: &'static str,
    pub maintenance_margin: &'static str,
    pub leverage: Option<u32>,
}

#[derive(Clone, Debug)]
pub enum Spread {
    Missing,
    Bps(String),
    Book(String, String),
}

#[derive(Clone, Debug)]
pub struct SignalLine {
    pub symbol: &'static str,
    pub action: &'static str,
    pub consensus: &'static str,
    pub confidence: String,
    pub price: Option<String>,
    pub spread: Spread,
    pub atr: Option<String>,
    pub ema: Option<String>,
    pub volume: Option<String>,
}

#[derive(Clone, Debug)]
pub enum What {
    Account(String),
    Instrument(Listed),
    Signal(SignalLine),
    Fill {
        symbol: &'static str,
        price: String,
        quantity: Option<String>,
    },
    Price {
        symbol: &'static str,
        price: String,
        bid: Option<String>,
        ask: Option<String>,
        mark: Option<String>,
    },
    Reset,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub time_ms: Option<i64>,
    pub what: What,
}

impl Line {
    pub fn json(&self) -> Value {
        let mut line = match &self.what {
            What::Account(equity) => json!({"type": "account", "equity": equity}),
            What::Instrument(i) => json!({
                "type": "instrument", "symbol": i.symbol, "tick": i.tick, "step": i.step, "min_qty": i.min_qty,
                "min_notional": i.min_notional, "taker_fee": i.taker_fee,
                "maintenance_margin": i.maintenance_margin, "leverage": i.leverage,
            }),
            What::Signal(s) => {
                let mut line = json!({
                    "type": "signal", "symbol": s.symbol, "action": s.action, "consensus": s.consensus,
                    "confidence": s.confidence, "price": s.price, "atr": s.atr, "ema_200": s.ema,
                    "volume_24h": s.volume,
                });
                match &s.spread {
                    Spread::Missing => {}
                    Spread::Bps(bps) => line["spread_bps"] = bps.as_str().into(),
                    Spread::Book(bid, ask) => {
                        (line["bid"], line["ask"]) = (bid.as_str().into(), ask.as_str().into());
                    }
                }
                line
            }
            What::Fill { symbol, price, quantity } => {
                json!({"type": "fill", "symbol": symbol, "price": price, "quantity": quantity})
            }
            What::Price { symbol, price, bid, ask, mark } => json!({
                "type": "price", "symbol": symbol, "price": price, "bid": bid, "ask": ask, "mark": mark,
            }),
            What::Reset => json!({"type": "reset"}),
        };
        if let Some(ms) = self.time_ms {
            line["time_ms"] = ms.into();
        }
        line
    }
}

/// A scenario under test.
pub struct Desk(Scenario);

impl Desk {
    pub fn new(settings: &Settings) -> Desk {
        Desk(Scenario::new(settings))
    }

    /// With an account of 10,000 and BTCUSDT.
    pub fn funded(settings: &Settings) -> Desk {
        let mut desk = Desk::new(settings);
        desk.quiet(&json!({"type": "account", "equity": "10000"}));
        desk.quiet(&json!({
            "type": "instrument", "symbol": "BTCUSDT", "tick": "0.1", "step": "0.001", "min_qty": "0.001",
            "min_notional": "5",
        }));
        desk
    }

    pub fn send(&mut self, line: &Value) -> Vec<Value> {
        self.send_bytes(line.to_string().as_bytes())
    }

    pub fn send_bytes(&mut self, line: &[u8]) -> Vec<Value> {
        values(self.0.line(line))
    }

    /// What it answers, to the character, without the last line's end.
    pub fn send_text(&mut self, line: &Value) -> String {
        self.0.line(line.to_string().as_bytes()).trim_end_matches('\n').to_string()
    }

    pub fn price_text(&mut self, price: &str) -> String {
        self.send_text(&json!({"type": "price", "symbol": "BTCUSDT", "price": price}))
    }

    pub fn end_text(&mut self) -> String {
        self.0.end().trim_end_matches('\n').to_string()
    }

    pub fn end(&mut self) -> Vec<Value> {
        values(self.0.end())
    }

    /// A line that has nothing to say.
    pub fn quiet(&mut self, line: &Value) {
        let said = self.send(line);
        assert!(said.is_empty(), "{line}: {said:?}");
    }

    /// The one line it answers with.
    pub fn one(&mut self, line: &Value) -> Value {
        let said = self.send(line);
        assert_eq!(said.len(), 1, "{line}: {said:?}");
        said[0].clone()
    }

    pub fn price(&mut self, price: &str) -> Vec<Value> {
        self.send(&json!({"type": "price", "symbol": "BTCUSDT", "price": price}))
    }
}

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The worked example's signal with some fields replaced; `null` leaves one out.
pub fn signal(changes: Value) -> Value {
    let mut line = json!({
        "type": "signal", "symbol": "BTCUSDT", "action": "LONG", "consensus": "STRONG", "confidence": "0.75",
        "price": "50000", "spread_bps": "10", "atr": "1500", "ema_200": "48000", "volume_24h": "5000000000",
    });
    for (name, value) in changes.as_object().unwrap() {
        line[name] = value.clone();
    }
    line
}

/// Its mirror.
pub fn short(changes: Value) -> Value {
    let mut line = signal(json!({"action": "SHORT", "ema_200": "52000"}));
    for (name, value) in changes.as_object().unwrap() {
        line[name] = value.clone();
    }
    line
}

/// The rule that refused; "" if none did.
pub fn rule(decision: &Value) -> &str {
    assert_eq!(decision["type"], "decision", "{decision}");
    let reason = decision["reason"].as_str().map_or("", |reason| reason.split(": ").next().unwrap());
    assert_eq!(decision["approved"], reason.is_empty(), "{decision}");
    reason
}

/// Rules that were looked at, in order; a failure is marked.
pub fn rules(decision: &Value) -> Vec<String> {
    let checks = decision["checks"].as_array().unwrap().iter();
    checks
        .map(|check| {
            let failed = if check["passed"] == true { "" } else { "!" };
            format!("{failed}{}", check["rule"].as_str().unwrap())
        })
        .collect()
}
