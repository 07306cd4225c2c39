//! What the engine says, in the model's words: `qtx evaluate`'s lines with every rule, and the states
//! and alarms that scenarios don't have.

use num_traits::Signed;
use quantum_trader::engine::Engine;
use quantum_trader::event::{Action, Decision, Instrument, OutputBody};
use quantum_trader::num::{Dec, Lots, Ticks};
use serde_json::{Value, json};

use crate::exact::{Q, int, plain, q, ratio};
use crate::lines::Listed;

type Row = (Listed, Instrument);

fn price(row: &Row, ticks: Ticks) -> Q {
    q(row.1.tick) * int(ticks.0)
}

fn quantity(row: &Row, lots: Lots) -> Q {
    q(row.1.step) * int(lots.0)
}

fn lots(row: &Row, lots: Lots) -> String {
    let places = row.0.step.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    plain(&quantity(row, lots), places)
}

fn money(value: &Q) -> String {
    plain(value, 2)
}

fn rounded(value: Dec) -> String {
    ratio(&q(value))
}

/// `None` for what the model has no word for. `tell`: fills of entries, too.
pub fn of(row: Option<&Row>, body: &OutputBody, engine: &Engine, tell: bool) -> Option<Value> {
    let row = match (row, body) {
        (_, OutputBody::TradingStateChanged(changed)) => {
            return Some(
                json!({"type": "state", "to": changed.to.as_str(), "cause": changed.cause.as_str()}),
            );
        }
        (_, OutputBody::Alarm(alarm)) => {
            return Some(json!({"type": "alarm", "kind": alarm.kind.as_str()}));
        }
        (row, _) => row?,
    };
    let symbol = row.0.symbol;
    Some(match body {
        OutputBody::Decision(judged) => decision(row, judged, engine),
        OutputBody::EntryFilled(filled) if tell => json!({
            "type": "filled", "symbol": symbol, "quantity": lots(row, filled.quantity),
            "entry": money(&q(filled.entry)), "stop_loss": money(&price(row, filled.stop)),
            "take_profit": money(&price(row, filled.target)),
        }),
        OutputBody::ExitFired(exit) => json!({
            "type": "exit", "symbol": symbol, "signal": exit.signal.as_str(),
            "quantity": lots(row, exit.quantity), "price": money(&price(row, exit.price)),
            "r": rounded(exit.r),
        }),
        OutputBody::StopMoved(moved) => json!({
            "type": "stop_moved", "symbol": symbol, "kind": moved.kind.as_str(),
            "stop": money(&price(row, moved.stop)),
        }),
        OutputBody::TradeClosed(closed) => json!({
            "type": "closed", "symbol": symbol, "pnl": money(&q(closed.pnl)),
            "r_multiple": rounded(closed.r_multiple), "mfe": rounded(closed.mfe),
            "mae": rounded(closed.mae), "state": closed.state.as_str(),
        }),
        _ => return None,
    })
}

fn decision(row: &Row, judged: &Decision, engine: &Engine) -> Value {
    let checks = engine.checks().iter();
    let rules = checks.map(|c| format!("{}{}", if c.passed { "" } else { "!" }, c.rule.as_str()));
    let mut said = json!({
        "type": "decision", "symbol": row.0.symbol, "action": Action::of(judged.side).as_str(),
        "approved": judged.approved, "quantity": null, "notional": null, "entry": null, "stop_loss": null,
        "take_profit": null, "risk": null, "risk_pct": null, "reward_risk": null,
        "rule": if judged.approved { "" } else { judged.rule.as_str() }, "rules": rules.collect::<Vec<_>>(),
    });
    if let Some(trade) = engine.trades().iter().find(|trade| trade.id == judged.order) {
        let plan = &trade.plan;
        let [entry, stop, target] = [plan.price, plan.stop, plan.target].map(|ticks| price(row, ticks));
        let (risk, distance) = (q(plan.risk), (&entry - &stop).abs());
        said["quantity"] = lots(row, plan.quantity).into();
        said["notional"] = money(&q(plan.notional)).into();
        said["entry"] = money(&entry).into();
        said["stop_loss"] = money(&stop).into();
        said["take_profit"] = money(&target).into();
        said["risk"] = money(&risk).into();
        said["risk_pct"] = ratio(&(risk / q(judged.threshold))).into();
        said["reward_risk"] = ratio(&((target - entry).abs() / distance)).into();
    }
    said
}
