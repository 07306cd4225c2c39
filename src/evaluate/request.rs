//! What a line asks for. Everything about a line that can be wrong by itself is found here, before
//! anything changes.

use super::fields::{Fields, decimal, missing, refused, shown};
use super::listing::{self, Listing, Numbers};
use crate::event::{
    Action, Ballot, Consensus, Instrument, Prices, SEATS, Seat, Signal, SignalSource, SignalWithConditions,
    SpreadGiven,
};
use crate::num::{Dec, InstrumentId, Lots, NS_PER_MS, Ticks, TimeNs};

/// Account money has at most these places.
const ACCOUNT_PLACES: u32 = 8;
/// Highest leverage; the venue's own limits are far below.
const LEVERAGE_MAX: i64 = 1_000_000;
const ACTIONS: &[&str] = &["LONG", "SHORT", "HOLD"];

/// A line, understood.
pub(super) struct Request {
    /// `None`: the time before.
    pub at: Option<TimeNs>,
    pub kind: Kind,
}

#[allow(clippy::large_enum_variant)] // one at a time
pub(super) enum Kind {
    Account { equity: Dec },
    Instrument { row: Instrument, leverage: Option<u32> },
    Signal { id: InstrumentId, prices: Option<Prices>, given: SignalWithConditions },
    Fill { id: InstrumentId, price: Ticks, quantity: Option<Lots> },
    Price { id: InstrumentId, prices: Prices },
    Reset,
}

/// Reads a line. The error is one line of text.
pub(super) fn read(line: &[u8], listing: &Listing) -> Result<Request, String> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_string())?;
    let fields = Fields::parse(line)?;
    let at = time(&fields)?;
    let kind = match fields.text("type")?.as_str() {
        "account" => account(&fields)?,
        "instrument" => instrument(&fields)?,
        "signal" => signal(&fields, listing)?,
        "fill" => fill(&fields, listing)?,
        "price" => {
            let (id, row) = listing.find(&fields.text("symbol")?)?;
            Kind::Price { id, prices: prices(&fields, row)?.ok_or_else(|| missing("price"))? }
        }
        "reset" => Kind::Reset,
        other => {
            let known = "account, instrument, signal, fill, price or reset";
            return Err(format!("type {}: {known}", shown(other)));
        }
    };
    Ok(Request { at, kind })
}

/// Times before the one before, negative ones too, are that one: only a time too late is wrong.
fn time(fields: &Fields) -> Result<Option<TimeNs>, String> {
    let Some(ms) = fields.integer("time_ms")? else { return Ok(None) };
    if ms > i64::MAX / NS_PER_MS {
        return Err(refused("time_ms", &ms.to_string(), "number out of range"));
    }
    Ok(Some(TimeNs::from_ms(ms)))
}

fn account(fields: &Fields) -> Result<Kind, String> {
    let equity = fields.decimal("equity")?.ok_or_else(|| missing("equity"))?;
    let refuse = |why: &str| Err(refused("equity", &equity.to_string(), why));
    if equity.is_negative() {
        return refuse("number out of range");
    }
    if equity.0 % 10i128.pow(crate::num::MAX_PLACES - ACCOUNT_PLACES) != 0 {
        return refuse("more than 8 decimal places");
    }
    Ok(Kind::Account { equity })
}

fn instrument(fields: &Fields) -> Result<Kind, String> {
    let or_zero = |name: &str| Ok::<String, String>(fields.number(name)?.unwrap_or_else(|| "0".to_string()));
    let row = listing::instrument(&Numbers {
        symbol: fields.text("symbol")?,
        tick: fields.required("tick")?,
        step: fields.required("step")?,
        min_quantity: fields.required("min_qty")?,
        min_notional: fields.required("min_notional")?,
        taker_fee: or_zero("taker_fee")?,
        maintenance_margin: or_zero("maintenance_margin")?,
    })?;
    let leverage = match fields.integer("leverage")? {
        None => None,
        // Bounded by the line above its use.
        Some(leverage) if (1..=LEVERAGE_MAX).contains(&leverage) => Some(leverage as u32),
        Some(leverage) => return Err(refused("leverage", &leverage.to_string(), "number out of range")),
    };
    Ok(Kind::Instrument { row, leverage })
}

fn fill(fields: &Fields, listing: &Listing) -> Result<Kind, String> {
    let (id, row) = listing.find(&fields.text("symbol")?)?;
    let price = listing::price("price", &fields.required("price")?, row)?;
    let quantity = fields.number("quantity")?.map(|text| listing::quantity(&text, row)).transpose()?;
    Ok(Kind::Fill { id, price, quantity })
}

/// The prices of a line; `None` without `price`.
fn prices(fields: &Fields, row: &Instrument) -> Result<Option<Prices>, String> {
    let price = |name: &str| fields.number(name)?.map(|text| listing::price(name, &text, row)).transpose();
    let (last, bid, ask, mark) = (price("price")?, price("bid")?, price("ask")?, price("mark")?);
    Ok(last.map(|price| Prices {
        price,
        bid: bid.unwrap_or(price),
        ask: ask.unwrap_or(price),
        mark: mark.unwrap_or(price),
    }))
}

fn signal(fields: &Fields, listing: &Listing) -> Result<Kind, String> {
    let (id, row) = listing.find(&fields.text("symbol")?)?;
    let prices = prices(fields, row)?;
    let quote = |name: &str| fields.number(name)?.map(|text| listing::price(name, &text, row)).transpose();
    let (bid, ask, bps) = (quote("bid")?, quote("ask")?, fields.decimal("spread_bps")?);
    let (atr, ema) = (fields.decimal("atr")?, fields.decimal("ema_200")?);
    let volume = fields.decimal("volume_24h")?;
    let given = SignalWithConditions {
        signal: voted(fields)?,
        atr: atr.unwrap_or(Dec::ZERO),
        ema: ema.unwrap_or(Dec::ZERO),
        volume_24h: volume.unwrap_or(Dec::ZERO),
        spread_bps: bps.unwrap_or(Dec::ZERO),
        bid: bid.unwrap_or(Ticks::ZERO),
        ask: ask.unwrap_or(Ticks::ZERO),
        spread: match (bid.zip(ask), bps) {
            (Some(_), _) => SpreadGiven::Quotes,
            (None, Some(_)) => SpreadGiven::Bps,
            (None, None) => SpreadGiven::No,
        },
        atr_given: atr.is_some(),
        ema_given: ema.is_some(),
        volume_given: volume.is_some(),
        pad: [0; 12],
    };
    Ok(Kind::Signal { id, prices, given })
}

fn voted(fields: &Fields) -> Result<Signal, String> {
    let (mut votes, mut confidence) = ([Action::Abstain; SEATS], [Dec::ZERO; SEATS]);
    if let Some(ballot) = fields.object("votes")? {
        if let Some(name) = ballot.names().find(|name| Seat::parse(name).is_none()) {
            return Err(format!("votes: {}: {}", shown(name), Seat::WORDS.join(", ")));
        }
        for ((seat, vote), sure) in Seat::ALL.iter().zip(&mut votes).zip(&mut confidence) {
            let Some((word, number)) = ballot.pair(seat.as_str())? else { continue };
            *vote = action(&word).ok_or_else(|| refused(seat.as_str(), &word, ACTIONS.join(" or ")))?;
            *sure = share(seat.as_str(), &number)?;
        }
        return Ok(Signal { confidence, ballot: Ballot::of(votes), given: false, ..NO_SIGNAL });
    }
    let action = fields.word("action", action, ACTIONS)?;
    if action == Action::Hold && !fields.has("consensus") && !fields.has("confidence") {
        return Ok(NO_SIGNAL);
    }
    confidence[0] = share("confidence", &fields.required("confidence")?)?;
    let consensus = fields.word("consensus", Consensus::parse, Consensus::WORDS)?;
    Ok(Signal { confidence, action, consensus, ..NO_SIGNAL })
}

/// HOLD, and nothing more said.
const NO_SIGNAL: Signal = Signal {
    confidence: [Dec::ZERO; SEATS],
    ballot: Ballot::of([Action::Abstain; SEATS]),
    given: true,
    action: Action::Hold,
    consensus: Consensus::Weak,
    source: SignalSource::External,
    pad: [0; 8],
};

/// A vote left out is an abstention; nobody says so.
fn action(word: &str) -> Option<Action> {
    Action::parse(word).filter(|action| *action != Action::Abstain)
}

fn share(name: &str, text: &str) -> Result<Dec, String> {
    let value = decimal(name, text)?;
    let valid = (Dec::ZERO..=Dec::ONE).contains(&value);
    valid.then_some(value).ok_or_else(|| refused(name, text, "number out of range"))
}
