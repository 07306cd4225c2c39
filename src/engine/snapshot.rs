//! The whole state of an engine as bytes, and back. `docs/JOURNAL.md` has the format.
//!
//! The payload is borsh, which has one form for a value: equal states are equal bytes, in any build. A
//! field that is added to a state is in it by the derive.

use borsh::BorshDeserialize;

use super::{Engine, NO_TRADE, TRADES_MAX, market_params, weights};
use crate::num::{OrderId, OutOfRange, all_hold};
use crate::risk::{money, off};

const MAGIC: [u8; 8] = *b"QTXSNAP\0";
/// Raised with every change of the state's layout. There is no reading of other versions: the journal
/// has it all.
pub const SNAPSHOT_VERSION: u32 = 5;
/// Bytes before the payload.
pub const SNAPSHOT_HEADER_BYTES: usize = 32;
/// The checksum covers everything from here on; what is before it is compared.
const CHECKED_FROM: usize = 16;
/// Half of the ids of a start: as many are left to issue.
const SEQUENCE_MAX: u32 = u32::MAX / 2;

/// Why bytes are not taken for the state of an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("not a snapshot")]
    NotASnapshot,
    #[error("a snapshot of version {found}; this one reads {known}", known = SNAPSHOT_VERSION)]
    Version { found: u32 },
    #[error("a snapshot cut short: {found} bytes of {expected}")]
    Cut { expected: u64, found: u64 },
    #[error("{0} bytes behind the end of a snapshot")]
    Trailing(u64),
    #[error("a damaged snapshot: checksum {found:08x} where it says {expected:08x}")]
    Checksum { expected: u32, found: u32 },
    /// The checksum is right: it was written like this.
    #[error("a snapshot of no engine: {0}")]
    Malformed(String),
    #[error("a snapshot of no engine: {0}")]
    Value(#[from] OutOfRange),
}

impl Engine {
    /// The state after the journal's record `sequence`, the last event applied.
    pub fn snapshot(&self, sequence: u64) -> Vec<u8> {
        let mut bytes = vec![0; SNAPSHOT_HEADER_BYTES];
        self.write_state(&mut bytes);
        let length = (bytes.len() - SNAPSHOT_HEADER_BYTES) as u64;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&SNAPSHOT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&length.to_le_bytes());
        bytes[24..32].copy_from_slice(&sequence.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The engine of a snapshot, and the sequence number it was taken at. It goes on as the one that was
    /// written, output by output, and allocates as little.
    ///
    /// # Errors
    /// Anything but what [`Engine::snapshot`] writes. Whatever the bytes are, neither this nor a later
    /// [`Engine::step`] panics.
    pub fn restore(bytes: &[u8]) -> Result<(Engine, u64), SnapshotError> {
        let (sequence, mut payload) = unwrap_payload(bytes)?;
        let malformed = |error: std::io::Error| SnapshotError::Malformed(error.to_string());
        let mut engine = Engine::deserialize(&mut payload).map_err(malformed)?;
        if !payload.is_empty() {
            return Err(SnapshotError::Malformed(format!("{} bytes too many", payload.len())));
        }
        engine.check()?;
        engine.trades.reserve_exact(TRADES_MAX - engine.trades.len());
        Ok((engine, sequence))
    }

    /// A fingerprint of the state: the first half of its payload's SHA-256, so that equal hashes are equal
    /// states, and the same in every build.
    pub fn state_hash(&self) -> u128 {
        let mut payload = Vec::new();
        self.write_state(&mut payload);
        let digest = ring::digest::digest(&ring::digest::SHA256, &payload);
        digest.as_ref().iter().take(16).fold(0, |hash, byte| hash << 8 | u128::from(*byte))
    }

    fn write_state(&self, bytes: &mut Vec<u8>) {
        // Memory refuses no write, and no length comes near the 32 bits it has.
        #[allow(clippy::expect_used)]
        borsh::to_writer(bytes, self).expect("written to memory");
    }

    /// Whether everything that later code indexes with, divides by or adds up is what it may be.
    fn check(&self) -> Result<(), OutOfRange> {
        let settings = &self.settings;
        let instruments = self.markets.len();
        all_hold(&[
            ("settings", *settings == off::in_force(settings)),
            ("weights", self.weights == weights(settings)),
            ("markets", instruments < usize::from(u16::MAX)),
            ("voters", self.voters.len() == instruments),
            ("leverage", self.leverage.len() == instruments && !self.leverage.contains(&Some(0))),
            ("disputed", self.disputed.len() == instruments),
            ("left_alone", self.left_alone.len() == instruments),
            ("trades", self.trades.len() <= TRADES_MAX),
            ("trades", self.trades.is_sorted_by(|a, b| a.id < b.id)),
            ("trade_of", self.trade_of == self.trades_by_instrument()?),
            ("regime", self.regime.is_none_or(|id| id.index() < instruments)),
            ("sequence", self.sequence <= SEQUENCE_MAX),
            ("stated_wallet", self.stated_wallet.is_none_or(money::is_money)),
        ])?;
        let params = market_params(settings);
        self.markets.iter().try_for_each(|market| market.check(params))?;
        self.voters.iter().try_for_each(|voters| voters.check())?;
        let issued = OrderId::new(self.epoch, self.sequence);
        self.trades.iter().try_for_each(|trade| trade.check(issued))?;
        self.controller.check()?;
        self.fills.check()
    }

    /// What `trade_of` has to be: one trade an instrument at most.
    fn trades_by_instrument(&self) -> Result<Vec<u8>, OutOfRange> {
        let mut slots = vec![NO_TRADE; self.markets.len()];
        for (t, trade) in self.trades.iter().enumerate() {
            let slot = slots.get_mut(trade.instrument.index()).filter(|slot| **slot == NO_TRADE);
            *slot.ok_or(OutOfRange("trade.instrument"))? = t as u8;
        }
        Ok(slots)
    }
}

/// Sequence number and payload, if the bytes around it are right.
fn unwrap_payload(bytes: &[u8]) -> Result<(u64, &[u8]), SnapshotError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(SnapshotError::NotASnapshot);
    }
    let found = bytes.len() as u64;
    let Some((header, payload)) = bytes.split_first_chunk::<SNAPSHOT_HEADER_BYTES>() else {
        return Err(SnapshotError::Cut { expected: SNAPSHOT_HEADER_BYTES as u64, found });
    };
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
    let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
    if half(8) != SNAPSHOT_VERSION {
        return Err(SnapshotError::Version { found: half(8) });
    }
    let expected = word(16).saturating_add(SNAPSHOT_HEADER_BYTES as u64);
    if found < expected {
        return Err(SnapshotError::Cut { expected, found });
    }
    if found > expected {
        return Err(SnapshotError::Trailing(found - expected));
    }
    let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]);
    if crc != half(12) {
        return Err(SnapshotError::Checksum { expected: half(12), found: crc });
    }
    Ok((word(24), payload))
}
