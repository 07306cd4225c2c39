//! Fields of the outputs.

use super::{Fields, event};
use crate::event::*;

/// Writes an output's payload.
pub(super) fn write(body: &OutputBody, f: &mut Fields) {
    match body {
        OutputBody::Order(p) => order(p, f),
        OutputBody::Cancel(p) => {
            f.order("id", p.id);
            f.word("order_kind", p.kind);
        }
        OutputBody::Query(p) => {
            f.order("id", p.id);
            f.word("order_kind", p.kind);
        }
        OutputBody::Decision(p) => decision(p, f),
        OutputBody::Votes(p) => event::signal(p, f),
        OutputBody::EntryFilled(p) => entry_filled(p, f),
        OutputBody::ExitFired(p) => exit_fired(p, f),
        OutputBody::StopMoved(p) => stop_moved(p, f),
        OutputBody::TradeChanged(p) => {
            f.order("trade", p.trade);
            f.put("from", p.from);
            f.put("to", p.to);
        }
        OutputBody::TradeClosed(p) => trade_closed(p, f),
        OutputBody::Protected(p) => {
            f.order("trade", p.trade);
            f.int("unprotected_ns", p.unprotected_ns);
            f.flag("by_stop", p.by_stop);
            f.flag("whole", p.whole);
        }
        OutputBody::TradingStateChanged(p) => {
            f.put("from", p.from);
            f.put("to", p.to);
            f.put("cause", p.cause);
        }
        OutputBody::LimitChanged(p) => limit_changed(p, f),
        OutputBody::Equity(p) => equity(p, f),
        OutputBody::Alarm(p) => {
            f.put("alarm", p.kind);
            f.int("value", p.value);
            f.order("order", p.order);
        }
        OutputBody::BarClosed(p) => bar_closed(p, f),
    }
}

fn order(p: &Order, f: &mut Fields) {
    f.order("id", p.id);
    f.order("trade", p.trade);
    f.word("purpose", p.purpose);
    f.put("side", p.side.as_str());
    f.word("order_kind", p.kind);
    f.lots("quantity", p.quantity);
    if p.kind == OrderKind::StopMarket {
        f.price("trigger", p.trigger);
        f.word("working_type", p.working_type);
    }
    f.price("reference", p.reference);
    f.flag("reduce_only", p.reduce_only);
}

fn decision(p: &Decision, f: &mut Fields) {
    f.flag("approved", p.approved);
    f.put("side", p.side.direction());
    f.put("rule", p.rule);
    f.put("consensus", p.consensus);
    f.int("confidence_ppm", p.confidence_ppm);
    f.int("risk_multiplier_ppm", p.risk_multiplier_ppm);
    f.dec("observed", p.observed);
    f.dec("threshold", p.threshold);
    f.price("price", p.price);
    if p.approved {
        f.order("order", p.order);
        f.lots("quantity", p.quantity);
        f.price("stop", p.stop);
        f.price("target", p.target);
    }
    f.put("digest", format_args!("{:016x}", p.digest));
}

fn entry_filled(p: &EntryFilled, f: &mut Fields) {
    f.order("trade", p.trade);
    f.put("side", p.side.direction());
    f.dec("entry", p.entry);
    f.lots("quantity", p.quantity);
    f.price("stop", p.stop);
    f.price("target", p.target);
}

fn exit_fired(p: &ExitFired, f: &mut Fields) {
    f.order("trade", p.trade);
    f.put("signal", p.signal);
    f.put("side", p.side.direction());
    f.lots("quantity", p.quantity);
    f.price("price", p.price);
    f.dec("r", p.r);
}

fn stop_moved(p: &StopMoved, f: &mut Fields) {
    f.order("trade", p.trade);
    f.put("move", p.kind);
    f.put("side", p.side.direction());
    f.price("stop", p.stop);
    f.price("previous", p.previous);
}

fn trade_closed(p: &TradeClosed, f: &mut Fields) {
    f.order("trade", p.trade);
    f.put("state", p.state);
    f.put("signal", p.signal);
    f.put("side", p.side.direction());
    f.put("consensus", p.consensus);
    f.lots("quantity", p.quantity);
    f.dec("entry", p.entry);
    f.dec("exit", p.exit);
    f.dec("pnl", p.pnl);
    f.dec("fees", p.fees);
    f.dec("funding", p.funding);
    f.dec("slippage", p.slippage);
    f.dec("r_multiple", p.r_multiple);
    f.dec("mfe", p.mfe);
    f.dec("mae", p.mae);
    f.price("best", p.best);
    f.price("worst", p.worst);
    f.ns("opened_ns", p.opened_ns);
    f.ns("closed_ns", p.closed_ns);
}

fn limit_changed(p: &LimitChanged, f: &mut Fields) {
    f.put("limit", p.limit);
    f.flag("active", p.active);
    f.dec("observed", p.observed);
    f.dec("threshold", p.threshold);
    if p.until_ns.0 != 0 {
        f.ns("until_ns", p.until_ns);
    }
}

fn equity(p: &Equity, f: &mut Fields) {
    f.dec("equity", p.equity);
    f.dec("wallet", p.wallet);
    f.dec("daily_drawdown", p.daily_drawdown);
    f.dec("weekly_drawdown", p.weekly_drawdown);
    f.dec("exposure", p.exposure);
    f.int("open_positions", p.open_positions);
    f.int("pending_entries", p.pending_entries);
}

fn bar_closed(p: &BarClosed, f: &mut Fields) {
    f.ms("open_ms", p.open_ms);
    f.price("open", p.open);
    f.price("high", p.high);
    f.price("low", p.low);
    f.price("close", p.close);
    f.size("volume", p.volume);
    f.size("taker_buy_volume", p.taker_buy_volume);
    f.int("trades", p.trades);
    f.int("flat_before", p.flat_before);
    f.dec("atr", p.atr);
    f.dec("ema", p.ema);
}
