//! The instruments that can be made.

use crate::event::{Instrument, InstrumentError, InstrumentSpec, SizeUnit, Symbol};

/// An instrument and its market.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listing {
    pub symbol: Symbol,
    pub tick: &'static str,
    pub step: &'static str,
    /// Smallest order value, in quote currency.
    pub min_notional: &'static str,
    pub maintenance_margin: &'static str,
    /// First price.
    pub start: &'static str,
    /// Quote volume of 24 hours, around which the statistics wander by a quarter.
    pub volume_24h_usd: f64,
    /// Aggregates at natural rates, outside bursts.
    pub trades_per_second: f64,
    /// Money at the touch is scattered around this.
    pub touch_usd: f64,
    /// Loading on the common factor, in [0, 1].
    pub common: f64,
}

const fn listing(
    symbol: &'static str,
    start: &'static str,
    tick: &'static str,
    step: &'static str,
) -> Listing {
    Listing {
        symbol: Symbol::literal(symbol),
        tick,
        step,
        min_notional: "5",
        maintenance_margin: "0.01",
        start,
        volume_24h_usd: 0.0,
        trades_per_second: 4.0,
        touch_usd: 20_000.0,
        common: 0.75,
    }
}

/// Prices from 1e-5 to nearly 1e5. The last one trades less than a million a day, which the
/// default volume rule refuses.
pub const LISTINGS: [Listing; 8] = [
    Listing {
        min_notional: "50",
        maintenance_margin: "0.004",
        volume_24h_usd: 12e9,
        trades_per_second: 12.0,
        touch_usd: 120_000.0,
        common: 0.97,
        ..listing("BTCUSDT", "65000.0", "0.1", "0.001")
    },
    Listing {
        min_notional: "20",
        maintenance_margin: "0.005",
        volume_24h_usd: 6e9,
        trades_per_second: 10.0,
        touch_usd: 80_000.0,
        common: 0.96,
        ..listing("ETHUSDT", "3400.00", "0.01", "0.001")
    },
    Listing {
        volume_24h_usd: 1.5e9,
        trades_per_second: 6.0,
        touch_usd: 40_000.0,
        common: 0.88,
        ..listing("SOLUSDT", "150.00", "0.01", "0.01")
    },
    Listing {
        volume_24h_usd: 6e8,
        trades_per_second: 5.0,
        touch_usd: 30_000.0,
        ..listing("XRPUSDT", "0.6000", "0.0001", "0.1")
    },
    Listing { volume_24h_usd: 4e8, common: 0.78, ..listing("DOGEUSDT", "0.12000", "0.00001", "1") },
    Listing { volume_24h_usd: 2e8, common: 0.7, ..listing("1000PEPEUSDT", "0.0112000", "0.0000001", "1") },
    Listing {
        volume_24h_usd: 9e7,
        touch_usd: 10_000.0,
        common: 0.66,
        ..listing("SHIBUSDT", "0.000011200", "0.000000001", "1")
    },
    Listing {
        volume_24h_usd: 640e3,
        trades_per_second: 1.5,
        touch_usd: 2_000.0,
        common: 0.55,
        maintenance_margin: "0.02",
        ..listing("AKROUSDT", "0.0042000", "0.0000001", "1")
    },
];

/// As many instruments as wanted: the listings over and over, each time under names of their own.
pub(super) fn many(count: usize) -> impl Iterator<Item = Listing> {
    let named = |(number, listing): (usize, &Listing)| {
        // A letter and a number fit a symbol.
        let symbol = Symbol::new(&format!("W{number:03}USDT")).unwrap_or(listing.symbol);
        Listing { symbol, ..*listing }
    };
    LISTINGS.iter().cycle().take(count).enumerate().map(named)
}

impl Listing {
    /// The instrument's scales and limits.
    pub fn instrument(&self, taker_fee: &str) -> Result<Instrument, InstrumentError> {
        Instrument::from_spec(&InstrumentSpec {
            symbol: self.symbol.as_str(),
            tick: self.tick,
            step: self.step,
            min_quantity: self.step,
            max_quantity: "",
            min_notional: self.min_notional,
            taker_fee,
            maintenance_margin: self.maintenance_margin,
            size_unit: SizeUnit::Base,
        })
    }
}
