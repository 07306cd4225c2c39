//! Fields of the events.

use super::Fields;
use crate::event::*;

/// Writes an event's payload.
pub(super) fn write(body: &EventBody, f: &mut Fields) {
    match body {
        EventBody::RunStart(p) => run_start(p, f),
        EventBody::ConfigText(p) => config_text(p, f),
        EventBody::Instrument(p) => instrument(p, f),
        EventBody::RunEnd(p) => f.word("reason", p.reason),
        EventBody::AggTrade(p) | EventBody::Trade(p) => trade(p, f),
        EventBody::Quote(p) => quote(p, f),
        EventBody::Depth(p) => depth(p, f),
        EventBody::Bar(p) => bar(p, f),
        EventBody::MarkPrice(p) => mark_price(p, f),
        EventBody::Ticker(p) => ticker(p, f),
        EventBody::ForceOrder(p) => force_order(p, f),
        EventBody::Prices(p) => prices(p, f),
        EventBody::Signal(p) => signal(p, f),
        EventBody::SignalWithConditions(p) => signal_with_conditions(p, f),
        EventBody::OrderUpdate(p) => order_update(p, f),
        EventBody::Fill(p) => fill(p, f),
        EventBody::AccountUpdate(p) => account_update(p, f),
        EventBody::VenuePosition(p) => venue_position(p, f),
        EventBody::VenueSetup(p) => venue_setup(p, f),
        EventBody::Reconcile(p) => reconcile(p, f),
        EventBody::Timer(p) => f.int("count", p.count),
        EventBody::Command(p) => f.word("command", p.command),
        EventBody::FeedStatus(p) => feed_status(p, f),
        EventBody::Gap(p) => {
            f.int("frames", p.frames);
            f.int("bytes", p.bytes);
        }
        EventBody::DecodeFault(p) => decode_fault(p, f),
        EventBody::QueueShare(p) => {
            f.word("queue", p.queue);
            f.int("used_ppm", p.used_ppm);
        }
        EventBody::Divergence(p) => f.int("sequence", p.sequence),
        EventBody::ClockSync(p) => {
            f.int("offset_ns", p.offset_ns);
            f.int("slew_ppb", p.slew_ppb);
        }
        EventBody::Conflated(p) => f.int("quotes", p.quotes),
        EventBody::ConfigChange(p) => f.put("digest", format_args!("{:016x}", p.digest)),
        EventBody::ArchiveStatus(p) => {
            f.flag("failing", p.failing);
            f.int("error", p.error);
        }
        EventBody::ClockRead(p) => {
            f.int("ahead_ns", p.ahead_ns);
            f.int("error_ns", p.error_ns);
        }
    }
}

fn run_start(p: &RunStart, f: &mut Fields) {
    f.put("run_id", format_args!("{:016x}", p.run_id));
    f.put("build_id", format_args!("{:016x}", p.build_id));
    f.int("epoch", p.epoch);
    f.int("instruments", p.instruments);
    f.flag("resting_stops", p.resting_stops);
    f.flag("simulated", p.simulated);
}

fn config_text(p: &ConfigText, f: &mut Fields) {
    f.int("piece", p.piece);
    f.int("pieces", p.pieces);
    // A piece may end inside a character of the text.
    f.put("text", String::from_utf8_lossy(p.bytes()));
}

fn instrument(p: &Instrument, f: &mut Fields) {
    f.dec("tick", p.tick);
    f.dec("step", p.step);
    f.dec("size_step", p.size_step);
    f.word("size_unit", p.size_unit);
    f.dec("min_notional", p.min_notional);
    f.lots("min_quantity", p.min_quantity);
    if p.max_quantity.0 != i64::MAX {
        f.lots("max_quantity", p.max_quantity);
    }
    f.dec("taker_fee", p.taker_fee);
    f.dec("maintenance_margin", p.maintenance_margin);
}

fn trade(p: &Trade, f: &mut Fields) {
    f.price("price", p.price);
    f.size("size", p.size);
    f.flag("buyer_maker", p.buyer_maker);
    f.flag("market", p.market);
    f.int("id", p.id);
    f.int("first_id", p.first_id);
    f.int("last_id", p.last_id);
    f.ms("trade_ms", p.trade_ms);
    f.ms("event_ms", p.event_ms);
}

fn quote(p: &Quote, f: &mut Fields) {
    f.price("bid", p.bid);
    f.size("bid_size", p.bid_size);
    f.price("ask", p.ask);
    f.size("ask_size", p.ask_size);
    f.int("update_id", p.update_id);
    f.ms("transaction_ms", p.transaction_ms);
    f.ms("event_ms", p.event_ms);
}

fn depth(p: &Depth, f: &mut Fields) {
    f.price("bid", p.bid);
    f.size("bid_size", p.bid_size);
    f.price("ask", p.ask);
    f.size("ask_size", p.ask_size);
    f.int("first_id", p.first_id);
    f.int("last_id", p.last_id);
    f.int("previous_id", p.previous_id);
    f.int("bid_levels", p.bid_levels);
    f.int("ask_levels", p.ask_levels);
    f.ms("transaction_ms", p.transaction_ms);
    f.ms("event_ms", p.event_ms);
}

fn bar(p: &Bar, f: &mut Fields) {
    f.ms("open_ms", p.open_ms);
    f.price("open", p.open);
    f.price("high", p.high);
    f.price("low", p.low);
    f.price("close", p.close);
    f.size("volume", p.volume);
    f.dec("quote_volume", p.quote_volume);
    f.size("taker_buy_volume", p.taker_buy_volume);
    f.int("trades", p.trades);
    f.int("interval_s", p.interval_s);
    f.flag("closed", p.closed);
    f.word("source", p.source);
    f.ms("event_ms", p.event_ms);
}

fn mark_price(p: &MarkPrice, f: &mut Fields) {
    f.dec("mark", p.mark);
    f.dec("index", p.index);
    f.dec("settle", p.settle);
    f.dec("funding_rate", p.funding_rate);
    f.ms("next_funding_ms", p.next_funding_ms);
    f.ms("event_ms", p.event_ms);
}

fn ticker(p: &Ticker, f: &mut Fields) {
    f.price("last", p.last);
    f.price("open", p.open);
    f.price("high", p.high);
    f.price("low", p.low);
    f.dec("volume", p.volume);
    f.dec("quote_volume", p.quote_volume);
    f.int("trades", p.trades);
    f.ms("event_ms", p.event_ms);
}

fn force_order(p: &ForceOrder, f: &mut Fields) {
    f.put("side", p.side.as_str());
    f.price("price", p.price);
    f.dec("average_price", p.average_price);
    f.size("size", p.size);
    f.size("last_size", p.last_size);
    f.size("filled_size", p.filled_size);
    f.ms("trade_ms", p.trade_ms);
    f.ms("event_ms", p.event_ms);
}

fn prices(p: &Prices, f: &mut Fields) {
    f.price("price", p.price);
    f.price("bid", p.bid);
    f.price("ask", p.ask);
    f.price("mark", p.mark);
}

fn signal_with_conditions(p: &SignalWithConditions, f: &mut Fields) {
    signal(&p.signal, f);
    let given = [
        ("atr", p.atr_given, p.atr),
        ("ema", p.ema_given, p.ema),
        ("volume_24h", p.volume_given, p.volume_24h),
        ("spread_bps", p.spread == SpreadGiven::Bps, p.spread_bps),
    ];
    for (name, _, value) in given.into_iter().filter(|(_, given, _)| *given) {
        f.dec(name, value);
    }
    if p.spread == SpreadGiven::Quotes {
        f.price("bid", p.bid);
        f.price("ask", p.ask);
    }
}

/// Votes as the seats name them; shared with the rule voters' own output.
pub(super) fn signal(p: &Signal, f: &mut Fields) {
    f.put("source", p.source);
    if p.given {
        f.put("action", p.action);
        f.put("consensus", p.consensus);
        f.dec("confidence", p.confidence[0]);
        return;
    }
    for ((seat, vote), confidence) in Seat::ALL.iter().zip(p.ballot.votes()).zip(p.confidence) {
        f.put(seat.as_str(), vote);
        f.dec(confidence_name(*seat), confidence);
    }
}

const fn confidence_name(seat: Seat) -> &'static str {
    match seat {
        Seat::Xgboost => "xgboost_confidence",
        Seat::Lightgbm => "lightgbm_confidence",
        Seat::Nhits => "nhits_confidence",
        Seat::Patchtst => "patchtst_confidence",
    }
}

fn order_update(p: &OrderUpdate, f: &mut Fields) {
    f.order("order", p.order);
    f.word("status", p.status);
    f.lots("filled", p.filled);
    f.int("code", p.code);
    f.int("venue_id", p.venue_id);
    f.ms("event_ms", p.event_ms);
}

fn fill(p: &Fill, f: &mut Fields) {
    f.order("order", p.order);
    f.put("side", p.side.as_str());
    f.price("price", p.price);
    f.lots("quantity", p.quantity);
    f.dec("fee", p.fee);
    f.flag("maker", p.maker);
    f.word("cause", p.cause);
    f.int("trade_id", p.trade_id);
    f.ms("event_ms", p.event_ms);
}

fn account_update(p: &AccountUpdate, f: &mut Fields) {
    f.word("reason", p.reason);
    f.dec("wallet", p.wallet);
    f.dec("change", p.change);
    f.ms("event_ms", p.event_ms);
}

fn venue_position(p: &VenuePosition, f: &mut Fields) {
    f.lots("quantity", p.quantity);
    f.dec("entry", p.entry);
    f.ms("event_ms", p.event_ms);
}

fn venue_setup(p: &VenueSetup, f: &mut Fields) {
    f.int("leverage", p.leverage);
    f.flag("isolated", p.isolated);
    f.flag("one_way", p.one_way);
    f.flag("single_asset", p.single_asset);
}

fn reconcile(p: &Reconcile, f: &mut Fields) {
    f.dec("wallet_difference", p.wallet_difference);
    f.lots("position_difference", crate::num::Lots(p.position_difference));
    f.int("orders_adopted", p.orders_adopted);
    f.int("orders_missing", p.orders_missing);
}

fn feed_status(p: &FeedStatus, f: &mut Fields) {
    f.word("feed", p.feed);
    f.word("state", p.state);
    f.ms("since_ms", p.since_ms);
}

fn decode_fault(p: &DecodeFault, f: &mut Fields) {
    f.put("reason", p.reason.as_str());
    f.int("bytes", p.bytes);
    f.put("crc32c", format_args!("{:08x}", p.crc32c));
    let head = p.head.get(..usize::from(p.head_length)).unwrap_or(&p.head);
    f.put("head", String::from_utf8_lossy(head));
}
