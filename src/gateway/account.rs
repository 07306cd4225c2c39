//! Wallet, positions and modes of the account.

use super::fills::QUOTE_ASSET;
use super::io::Outputs;
use super::machine::Gateway;
use super::unreadable::Unreadable;
use crate::event::{AccountReason, AccountUpdate, EventBody, VenuePosition, VenueSetup};
use crate::num::{Dec, DecError, InstrumentId, Millis, TimeNs};
use crate::venue::binance::user_stream::{AccountMessage, ConfigUpdate, Position};

/// By how much the venue's clock may be ahead of what we think it is.
const CLOCKS_APART_MS: Millis = 60_000;

impl Gateway {
    /// `digest` tells a message from its repetition.
    pub(super) fn on_account_message(
        &mut self,
        now: TimeNs,
        message: &AccountMessage<'_>,
        digest: u64,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        let fields = &message.account;
        // What an answer by REST states may be newer than a message that was sent later. A time that is yet to
        // come is none, and would make everything after it old.
        let ahead_ms = self.server_ms(now).saturating_add(CLOCKS_APART_MS);
        let changed_ms = message.changed_ms.unwrap_or(message.event_ms).min(ahead_ms);
        let reason = fields.reason();
        // Changes add up, so a repetition must not count; states may be stated twice.
        if reason != AccountReason::Order && !self.wallet_changes_seen.insert(digest) {
            self.counters.duplicates += 1;
            return Ok(());
        }
        let positions = fields.positions.iter().filter(|position| position.is_one_way());
        let mut stated: Vec<(InstrumentId, VenuePosition)> = Vec::with_capacity(fields.positions.len());
        for position in positions {
            match self.find_symbol(&position.symbol) {
                Some(instrument) => {
                    stated.push((instrument, self.position(instrument, position, changed_ms)?))
                }
                None => self.counters.foreign += 1,
            }
        }
        let ours = fields.balances.iter().find(|balance| balance.asset == QUOTE_ASSET);
        if let Some(balance) = ours {
            let instrument = match (reason, stated.first()) {
                (AccountReason::Funding, Some((instrument, _))) => *instrument,
                _ => InstrumentId::NONE,
            };
            let stated = Dec::parse(&balance.wallet)?;
            // One that a newer message has overtaken tells of its change alone.
            let newer = self.wallet.filter(|_| changed_ms < self.wallet_ms);
            let wallet = newer.unwrap_or(stated);
            // What an order earned and paid is in its fills.
            let change =
                if reason == AccountReason::Order { Dec::ZERO } else { parse_change(&balance.change)? };
            (self.wallet_ms, self.wallet) = (self.wallet_ms.max(changed_ms), Some(wallet));
            // As old as the wallet it states.
            let event_ms = self.wallet_ms;
            let update = AccountUpdate { wallet, change, event_ms, reason, pad: [0; 7] };
            if newer.is_none() || reason != AccountReason::Order {
                out.event(now, instrument, EventBody::AccountUpdate(update));
            }
        }
        for (instrument, position) in stated {
            // Funding names what it was paid for, and changes no position.
            let told = reason != AccountReason::Funding;
            if !self.positions.stated(now, instrument, position, told) {
                continue;
            }
            self.limits.stated(instrument, position.quantity);
            if told {
                out.event(now, instrument, EventBody::VenuePosition(position));
            }
        }
        Ok(())
    }

    fn position(
        &self,
        instrument: InstrumentId,
        position: &Position<'_>,
        event_ms: Millis,
    ) -> Result<VenuePosition, Unreadable> {
        let quantity = self.row(instrument)?.parse_quantity(position.quantity.as_bytes())?;
        Ok(VenuePosition { entry: Dec::parse(&position.entry)?, quantity, event_ms })
    }

    /// Somebody changed leverage or margin mode behind our back. The engine is told what is not as it
    /// has to be.
    pub(super) fn on_config_update(&mut self, now: TimeNs, update: &ConfigUpdate<'_>, out: &mut Outputs) {
        let setup =
            |leverage| VenueSetup { leverage, isolated: false, one_way: true, single_asset: true, pad: 0 };
        if let Some(change) = &update.leverage {
            match self.find_symbol(&change.symbol) {
                Some(id) => out.event(now, id, EventBody::VenueSetup(setup(change.leverage))),
                None => self.counters.foreign += 1,
            }
        }
        if update.modes.as_ref().is_some_and(|modes| modes.multi_assets) {
            let setup = VenueSetup { single_asset: false, ..setup(0) };
            out.event(now, InstrumentId::NONE, EventBody::VenueSetup(setup));
        }
    }
}

/// Left out, or empty, it is nothing.
fn parse_change(text: &str) -> Result<Dec, DecError> {
    if text.is_empty() { Ok(Dec::ZERO) } else { Dec::parse(text) }
}
