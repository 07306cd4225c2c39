//! What runs over sockets have in common: what the gateway is told, and the figures at the end.

use std::collections::BTreeMap;

use super::Ended;
use crate::cli::Failure;
use crate::event::{Event, EventBody};
use crate::gateway::{AnswerClass, GatewayConfig, GatewayReport, LimitSettings, Refusal, StartConfig};
use crate::host::thread::page_faults;
use crate::live::{Cycle, MarketEnd, Session, SessionReport, SharesMax};
use crate::num::{NS_PER_SEC, Now, TimeNs};
use crate::observe::{GatewaySummary, LatencyNs, QueueShares, SocketSummary};
use crate::risk::config::Settings;
use crate::venue::binance::{ClientIds, Endpoints};
use crate::wire::{self, ErrorKind, Roots};

/// Whose certificates are believed.
pub(super) fn roots(settings: &Settings) -> Roots {
    match settings.ca_file.as_str() {
        "" => Roots::Public,
        path => Roots::File(path.into()),
    }
}

/// What the gateway is told at its start.
pub(super) fn start_config(
    settings: &Settings,
    endpoints: Endpoints,
    symbols: Vec<String>,
    lockstep: bool,
    stale_ns: Option<i64>,
) -> Result<StartConfig, Failure> {
    let prefix = settings.order_prefix.as_str();
    let ids = ClientIds::new(prefix)
        .ok_or_else(|| Failure::refused(format!("QT_ORDER_PREFIX: {prefix:?} is not allowed")))?;
    Ok(StartConfig {
        endpoints,
        roots: roots(settings),
        symbols,
        leverage: settings.venue_leverage,
        taker_fee: settings.taker_fee.to_string(),
        gateway: GatewayConfig {
            ids,
            limits: LimitSettings {
                order_usd_max: settings.gate_max_order_usd,
                position_usd_max: settings.gate_max_position_usd,
                orders_per_minute: settings.gate_max_orders_per_minute,
                price_collar: settings.gate_price_collar_pct,
            },
            time_sync_ns: i64::from(settings.time_sync_s) * NS_PER_SEC,
            lockstep,
            // Simulated time may go faster than a ping and its answer.
            pings: false,
            reconcile_ns: settings.reconcile_s * NS_PER_SEC,
        },
        stale_ns,
    })
}

/// Runs a loop by the clock from its opening to its end, and its threads with it. `go` is called when
/// everything is in place.
pub(super) fn by_the_clock<C: Now, E: MarketEnd>(
    mut cycle: Cycle<'_, C, E>,
    (start, opening): (TimeNs, impl Iterator<Item = Event>),
    end: Option<TimeNs>,
    go: impl FnOnce(),
    session: Session,
    warnings: Vec<String>,
) -> Ended {
    let mut faults = 0;
    let outcome = cycle
        .begin(start, opening)
        .and_then(|()| {
            go();
            faults = page_faults();
            cycle.run(end)
        })
        .and_then(|reason| {
            faults = page_faults() - faults;
            cycle.end(reason)
        })
        .map_err(|error| cycle.abandon(error));
    let Cycle { intake, feeds, shares, mut orders, .. } = cycle;
    let mut core = intake.core;
    core.counts.hot_page_faults = outcome.is_ok().then_some(faults);
    let (counters, shares) = (feeds.counters(), shares.run(&mut orders));
    drop(feeds);
    let sockets = Some(summary(counters, session.stop(), shares, warnings));
    Ended { core, outcome, fault: None, between_ticks: false, sockets }
}

/// Of what was told while connecting, what the opening does not hold yet: the account is in it, the
/// connections are not.
pub(super) fn is_feed_status(event: &Event) -> bool {
    matches!(event.body, EventBody::FeedStatus(_))
}

/// The figures of a run over sockets. `market`: the market connections' counters at the end.
pub(super) fn summary(
    market: wire::Counters,
    report: SessionReport,
    shares: SharesMax,
    mut warnings: Vec<String>,
) -> SocketSummary {
    let SessionReport { gateway, opener } = report;
    warnings.extend(gateway.forgotten_ban.clone());
    let mut all = market;
    all.reconnects += opener.counters.reconnects;
    for wire in [&gateway.order_wire, &gateway.user_wire] {
        all.reconnects += wire.reconnects;
    }
    let errors = ErrorKind::ALL.into_iter().map(|kind| {
        let attempts = opener.counters.errors(kind).saturating_sub(market.errors(kind));
        let gateway = gateway.order_wire.errors(kind) + gateway.user_wire.errors(kind);
        (kind.name(), market.errors(kind) + attempts + gateway)
    });
    let percent = |ppm: u32| f64::from(ppm) / 1e4;
    SocketSummary {
        messages: market.frames,
        bytes: market.received_bytes,
        pings: market.pings,
        pongs: market.pongs,
        reconnects: all.reconnects,
        errors: errors.filter(|(_, count)| *count > 0).collect(),
        queue_share_max_pct: QueueShares {
            ring: percent(shares.ring_ppm),
            orders: percent(shares.orders_ppm),
            gateway: percent(shares.gateway_ppm),
        },
        gateway: gateway_summary(&gateway),
        failures: opener.failures,
        venue: None,
        warnings,
    }
}

fn gateway_summary(report: &GatewayReport) -> GatewaySummary {
    let counters = &report.counters;
    let answers = AnswerClass::ALL.into_iter().map(|class| (class.name(), counters.answered(class)));
    let refused = Refusal::ALL.into_iter().map(|refusal| (refusal.name(), counters.refused(refusal)));
    let happened = |counts: BTreeMap<&'static str, u64>| -> BTreeMap<&'static str, u64> {
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    };
    GatewaySummary {
        orders: counters.orders_sent,
        cancels: counters.cancels_sent,
        queries: counters.queries_sent,
        answers: happened(answers.collect()),
        refused: happened(refused.collect()),
        unknown: counters.unknown,
        unknown_now: report.unknown_orders as u64,
        unreadable: counters.unreadable,
        round_trip_ns: LatencyNs::of(&counters.round_trip.0),
    }
}
