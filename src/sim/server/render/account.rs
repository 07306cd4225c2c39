//! Answers about the account.

use serde_json::{Map, Value, json};

use super::super::prices::Price;
use super::{break_even, change, money, unrealised, value};
use crate::event::{Instrument, VenuePosition};
use crate::num::{Dec, Millis, Rounding};

/// There are no brackets: no position is too large for its leverage.
pub const MAX_NOTIONAL: &str = "1000000000000";

/// A position, flat or not, and what it is valued at.
pub struct Holding {
    pub row: Instrument,
    pub position: VenuePosition,
    pub price: Price,
    pub leverage: u32,
}

impl Holding {
    fn quantity(&self) -> Dec {
        self.row.quantity(self.position.quantity)
    }

    fn valuation(&self) -> Option<Dec> {
        self.price.valuation(self.row.tick)
    }

    fn unrealised(&self) -> Dec {
        unrealised(self.quantity(), self.position.entry, self.valuation())
    }

    fn notional(&self) -> Dec {
        value(self.quantity(), self.valuation().unwrap_or(self.position.entry))
    }

    fn initial_margin(&self) -> Dec {
        divided(self.notional().abs(), self.leverage)
    }

    fn maintenance(&self) -> Dec {
        let margin = self.notional().abs().mul(self.row.maintenance_margin, Rounding::HalfEven);
        margin.unwrap_or(Dec::ZERO).round(super::MONEY_PLACES, Rounding::HalfEven)
    }

    fn break_even(&self) -> Dec {
        break_even(self.quantity(), self.position.entry, &self.row)
    }
}

fn divided(amount: Dec, by: u32) -> Dec {
    let part = amount.div(Dec::int(i64::from(by.max(1))), Rounding::HalfEven).unwrap_or(Dec::ZERO);
    part.round(super::MONEY_PLACES, Rounding::HalfEven)
}

/// Sums over the account.
pub struct Totals {
    pub wallet: Dec,
    pub unrealised: Dec,
    pub maintenance: Dec,
    pub now_ms: Millis,
}

impl Totals {
    fn equity(&self) -> Dec {
        Dec(self.wallet.0.saturating_add(self.unrealised.0))
    }

    fn available(&self, initial: Dec) -> Dec {
        Dec(self.equity().0.saturating_sub(initial.0).max(0))
    }
}

fn initial_of(holdings: &[Holding]) -> Dec {
    Dec(holdings.iter().fold(0, |sum: i128, holding| sum.saturating_add(holding.initial_margin().0)))
}

/// `/fapi/v2/account`, or `/fapi/v3/account` with its fewer fields.
pub fn account(totals: &Totals, holdings: &[Holding], v3: bool) -> Value {
    let initial = initial_of(holdings);
    let available = money(totals.available(initial));
    let positions: Vec<Value> = holdings.iter().map(|holding| account_position(holding, v3)).collect();
    let mut fields = json!({
        "totalInitialMargin": money(initial),
        "totalMaintMargin": money(totals.maintenance),
        "totalWalletBalance": money(totals.wallet),
        "totalUnrealizedProfit": money(totals.unrealised),
        "totalMarginBalance": money(totals.equity()),
        "totalPositionInitialMargin": money(initial),
        "totalOpenOrderInitialMargin": money(Dec::ZERO),
        "totalCrossWalletBalance": money(totals.wallet),
        "totalCrossUnPnl": money(totals.unrealised),
        "availableBalance": available,
        "maxWithdrawAmount": available,
        "assets": [asset(totals, initial, v3)],
        "positions": positions,
    });
    if !v3 {
        add(
            &mut fields,
            json!({
                "feeTier": 0, "canTrade": true, "canDeposit": true, "canWithdraw": true, "updateTime": 0,
                "multiAssetsMargin": false, "tradeGroupId": -1,
            }),
        );
    }
    fields
}

fn asset(totals: &Totals, initial: Dec, v3: bool) -> Value {
    let available = money(totals.available(initial));
    let mut fields = json!({
        "asset": "USDT",
        "walletBalance": money(totals.wallet),
        "unrealizedProfit": money(totals.unrealised),
        "marginBalance": money(totals.equity()),
        "maintMargin": money(totals.maintenance),
        "initialMargin": money(initial),
        "positionInitialMargin": money(initial),
        "openOrderInitialMargin": money(Dec::ZERO),
        "crossWalletBalance": money(totals.wallet),
        "crossUnPnl": money(totals.unrealised),
        "availableBalance": available,
        "maxWithdrawAmount": available,
        "updateTime": totals.now_ms,
    });
    if !v3 {
        add(&mut fields, json!({ "marginAvailable": true }));
    }
    fields
}

fn account_position(holding: &Holding, v3: bool) -> Value {
    let Holding { row, position, leverage, .. } = holding;
    let mut fields = json!({
        "symbol": row.symbol.as_str(),
        "positionSide": "BOTH",
        "positionAmt": row.format_quantity(position.quantity),
        "unrealizedProfit": money(holding.unrealised()),
        "initialMargin": money(holding.initial_margin()),
        "maintMargin": money(holding.maintenance()),
        "updateTime": position.event_ms,
    });
    add(
        &mut fields,
        if v3 {
            json!({
                "isolatedMargin": money(Dec::ZERO),
                "notional": change(holding.notional()),
                "isolatedWallet": "0",
            })
        } else {
            json!({
                "positionInitialMargin": money(holding.initial_margin()),
                "openOrderInitialMargin": "0",
                "leverage": leverage.to_string(),
                "isolated": false,
                "entryPrice": position.entry.to_string(),
                "breakEvenPrice": holding.break_even().to_string(),
                "maxNotional": MAX_NOTIONAL,
                "bidNotional": "0",
                "askNotional": "0",
            })
        },
    );
    fields
}

/// One of `positionRisk`, version 2 or 3.
pub fn position(holding: &Holding, v3: bool) -> Value {
    let Holding { row, position, leverage, .. } = holding;
    let mut fields = json!({
        "symbol": row.symbol.as_str(),
        "positionSide": "BOTH",
        "positionAmt": row.format_quantity(position.quantity),
        "entryPrice": position.entry.to_string(),
        "breakEvenPrice": holding.break_even().to_string(),
        "markPrice": holding.valuation().map_or("0".to_string(), money),
        "unRealizedProfit": money(holding.unrealised()),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": change(holding.notional()),
        "isolatedWallet": "0",
        "updateTime": position.event_ms,
    });
    add(
        &mut fields,
        if v3 {
            json!({
                "marginAsset": "USDT",
                "initialMargin": change(holding.initial_margin()),
                "maintMargin": change(holding.maintenance()),
                "positionInitialMargin": change(holding.initial_margin()),
                "openOrderInitialMargin": "0",
                "adl": 0,
                "bidNotional": "0",
                "askNotional": "0",
            })
        } else {
            json!({
                "marginType": "cross",
                "isAutoAddMargin": "false",
                "leverage": leverage.to_string(),
                "maxNotionalValue": MAX_NOTIONAL,
            })
        },
    );
    fields
}

pub fn balance(totals: &Totals) -> Value {
    let available = money(Dec(totals.equity().0.max(0)));
    json!([{
        "accountAlias": "sim",
        "asset": "USDT",
        "balance": money(totals.wallet),
        "crossWalletBalance": money(totals.wallet),
        "crossUnPnl": money(totals.unrealised),
        "availableBalance": available,
        "maxWithdrawAmount": available,
        "marginAvailable": true,
        "updateTime": totals.now_ms,
    }])
}

pub fn symbol_config(row: &Instrument, leverage: u32) -> Value {
    json!({
        "symbol": row.symbol.as_str(),
        "marginType": "CROSSED",
        "isAutoAddMargin": false,
        "leverage": leverage,
        "maxNotionalValue": MAX_NOTIONAL,
    })
}

fn add(fields: &mut Value, more: Value) {
    let empty = Map::new();
    let more = more.as_object().unwrap_or(&empty);
    for (name, value) in more {
        fields[name.as_str()] = value.clone();
    }
}
