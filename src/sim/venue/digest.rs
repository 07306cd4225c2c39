//! A fingerprint of the venue's state, to compare two runs.

use super::{Stage, Venue};

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn int(&mut self, value: i64) {
        self.bytes(&value.to_le_bytes());
    }

    fn wide(&mut self, value: i128) {
        self.bytes(&value.to_le_bytes());
    }
}

impl Venue {
    /// Digest of everything that decides what the venue says next.
    pub fn digest(&self) -> u64 {
        let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
        fnv.int(self.now.0);
        fnv.wide(self.wallet.0);
        fnv.int(self.last_venue_id);
        fnv.int(self.last_trade_id);
        for market in &self.markets {
            fnv.int(market.position.quantity.0);
            fnv.wide(market.position.cost.0);
            fnv.int(i64::from(market.touch.is_some()));
            for side in [crate::num::Side::Buy, crate::num::Side::Sell] {
                let level = market.against(side);
                fnv.int(level.price.0);
                fnv.int(level.left.0);
            }
            fnv.int(market.last.map_or(0, |last| last.0));
            fnv.wide(market.mark.map_or(0, |mark| mark.0));
            fnv.wide(market.funding.map_or(0, |funding| funding.rate.0));
            fnv.int(market.funding.map_or(0, |funding| funding.due_ms));
        }
        for open in &self.open {
            fnv.bytes(bytemuck::bytes_of(&open.order));
            fnv.int(i64::from(open.instrument.0));
            fnv.int(open.venue_id);
            fnv.int(open.filled.0);
            fnv.wide(open.paid);
            fnv.int(match open.stage {
                Stage::Resting => i64::MIN,
                Stage::Working { expires_ns } => expires_ns.0,
            });
        }
        for (id, closed) in &self.closed {
            fnv.bytes(bytemuck::bytes_of(id));
            fnv.int(closed.venue_id);
            fnv.int(closed.filled.0);
            fnv.int(closed.status as i64);
        }
        fnv.0
    }
}
