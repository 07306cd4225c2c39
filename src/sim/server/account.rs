//! Requests about the account: listen keys, balances, positions, settings, orders that are open.

use serde_json::{Value, json};

use super::calls::Answer;
use super::core::Core;
use super::params::Params;
use super::refusal::{BAD_LEVERAGE, Refusal};
use super::render::account::{Holding, Totals};
use super::render::{account, orders, user_stream};
use crate::event::{EventBody, Instrument, VenuePosition};
use crate::num::{Dec, InstrumentId, Millis};
use crate::venue::binance::code;

/// Most rows of `userTrades`, and how many there are unless told otherwise.
const TRADES_MAX: usize = 1_000;
const TRADES: usize = 500;

impl Core {
    pub(super) fn start_user_stream(&mut self) -> String {
        let key = self.keys.start(self.now);
        json!({ "listenKey": key }).to_string()
    }

    pub(super) fn keep_user_stream(&mut self) -> Answer {
        let key = self.keys.keep(self.now).ok_or_else(|| Refusal::of(code::INVALID_LISTEN_KEY))?;
        Ok(json!({ "listenKey": key }).to_string())
    }

    pub(super) fn stop_user_stream(&mut self) -> Answer {
        if !self.keys.end() {
            return Err(Refusal::of(code::INVALID_LISTEN_KEY));
        }
        self.clients.end_user_streams();
        Ok("{}".to_string())
    }

    /// Says that the listen key ended, and ends its streams.
    pub(super) fn tell_key_expired(&mut self) {
        let message = user_stream::listen_key_expired(self.keys.ended(), self.now.ms());
        self.tell_user(&message);
        self.clients.end_user_streams();
    }

    /// An instrument's row and the position held in it; flat where there is none.
    pub(super) fn held(&mut self, instrument: InstrumentId) -> Option<(&Instrument, VenuePosition)> {
        let row = self.instruments.get(instrument)?;
        let venue = self.exchange.link().venue();
        let position = venue.position(instrument);
        let entry = position.entry(row).unwrap_or(Dec::ZERO);
        let event_ms = venue.now().ms().max(0);
        Some((row, VenuePosition { entry, quantity: position.quantity, event_ms }))
    }

    fn holding(&mut self, instrument: InstrumentId) -> Option<Holding> {
        let price = self.prices.of(instrument);
        let leverage = self.venue_leverage();
        let (row, position) = self.held(instrument)?;
        Some(Holding { row: *row, position, price, leverage })
    }

    /// Holdings of every instrument, or those alone that are not flat.
    fn holdings(&mut self, flat_too: bool) -> Vec<Holding> {
        let ids: Vec<InstrumentId> = self.instruments.iter().map(|(id, _)| id).collect();
        let holdings = ids.into_iter().filter_map(|id| self.holding(id));
        holdings.filter(|holding| flat_too || holding.position.quantity.0 != 0).collect()
    }

    fn venue_leverage(&mut self) -> u32 {
        let snapshot = self.exchange.link().venue().snapshot();
        snapshot
            .iter()
            .find_map(|(_, body)| match body {
                EventBody::VenueSetup(setup) => Some(setup.leverage),
                _ => None,
            })
            .unwrap_or(1)
    }

    fn totals(&mut self) -> Totals {
        let now_ms = self.now.ms();
        let venue = self.exchange.link().venue();
        let unrealised = venue.unrealised().unwrap_or(Dec::ZERO);
        let maintenance = venue.maintenance().unwrap_or(Dec::ZERO);
        Totals { wallet: venue.wallet(), unrealised, maintenance, now_ms }
    }

    /// `/fapi/v2/account` has every symbol, `/fapi/v3/account` those held.
    pub(super) fn account(&mut self, v3: bool) -> String {
        let totals = self.totals();
        let holdings = self.holdings(!v3);
        account::account(&totals, &holdings, v3).to_string()
    }

    pub(super) fn balance(&mut self) -> String {
        account::balance(&self.totals()).to_string()
    }

    /// `/fapi/v2/positionRisk` has every symbol, `/fapi/v3/positionRisk` those held.
    pub(super) fn positions(&mut self, params: &Params, v3: bool) -> Answer {
        let holdings = match params.get("symbol") {
            Some(_) => {
                let (instrument, _) = self.symbol(params)?;
                self.holding(instrument).into_iter().collect()
            }
            None => self.holdings(!v3),
        };
        let rows: Vec<Value> = holdings.iter().map(|holding| account::position(holding, v3)).collect();
        Ok(Value::from(rows).to_string())
    }

    pub(super) fn account_config(&self) -> String {
        json!({
            "feeTier": 0, "canTrade": true, "canDeposit": true, "canWithdraw": true,
            "dualSidePosition": false, "updateTime": 0, "multiAssetsMargin": false, "tradeGroupId": -1,
        })
        .to_string()
    }

    pub(super) fn symbol_config(&mut self, params: &Params) -> Answer {
        let leverage = self.venue_leverage();
        let only = params.get("symbol").map(|_| self.symbol(params)).transpose()?;
        let rows = self.instruments.iter().filter(|(id, _)| only.is_none_or(|(wanted, _)| wanted == *id));
        let rows: Vec<Value> = rows.map(|(_, row)| account::symbol_config(row, leverage)).collect();
        Ok(Value::from(rows).to_string())
    }

    /// The leverage is the account's, and set before the start: asking for it is granted, for another
    /// one refused.
    pub(super) fn leverage(&mut self, params: &Params) -> Answer {
        let (_, row) = self.symbol(params)?;
        let asked = params.integer("leverage")?.ok_or_else(|| Refusal::missing("leverage"))?;
        let set = self.venue_leverage();
        if asked != i64::from(set) {
            let message = format!("Leverage {asked} is not valid: the simulated venue is set to {set}");
            return Err(Refusal::new(BAD_LEVERAGE, message));
        }
        let symbol = row.symbol.as_str();
        Ok(json!({ "symbol": symbol, "leverage": set, "maxNotionalValue": account::MAX_NOTIONAL })
            .to_string())
    }

    /// Open orders of a symbol or of all: resting conditional ones, or all others.
    pub(super) fn open_orders(&self, params: &Params, resting: bool) -> Answer {
        let only = params.get("symbol").map(|_| self.symbol(params)).transpose()?;
        let records = self.book.open(resting);
        let records = records.filter(|record| only.is_none_or(|(wanted, _)| wanted == record.instrument));
        let rows = records.filter_map(|record| {
            let row = self.instruments.get(record.instrument)?;
            Some(if resting { orders::open_algo(record, row) } else { orders::queried(record, row) })
        });
        Ok(Value::from(rows.collect::<Vec<_>>()).to_string())
    }

    /// The latest fills of a symbol, oldest first.
    pub(super) fn user_trades(&self, params: &Params) -> Answer {
        let (instrument, row) = self.symbol(params)?;
        let limit = params.integer("limit")?.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(TRADES).min(TRADES_MAX);
        let from_ms: Option<Millis> = params.integer("startTime")?;
        let from_id: Option<i64> = params.integer("fromId")?;
        let order_id = params.integer("orderId")?;
        let trades = self.book.trades().filter(|trade| {
            trade.instrument == instrument
                && from_ms.is_none_or(|from| trade.fill.event_ms >= from)
                && from_id.is_none_or(|from| trade.fill.trade_id >= from)
                && order_id.is_none_or(|wanted| wanted == trade.venue_id)
        });
        let mut rows: Vec<Value> = trades.map(|trade| orders::trade(trade, &row)).collect();
        // From a beginning that was asked for, else the newest.
        if from_ms.is_some() || from_id.is_some() {
            rows.truncate(limit);
        } else {
            rows.drain(..rows.len().saturating_sub(limit));
        }
        Ok(Value::from(rows).to_string())
    }
}
