//! The engine: one pure function from events to outputs.
//!
//! [`Engine::step`] reads no clock, does no I/O, draws no randomness and allocates nothing. Time is
//! the event's. The same events give the same outputs, bit for bit.

mod account;
mod assumed;
mod decide;
mod market;
mod orders;
mod outbox;
mod protect;
mod restart;
mod snapshot;
#[cfg(test)]
mod tests;

pub use outbox::{OUTBOX_MAX, Outbox};
pub use restart::{SettingsChange, SettingsPieces, SettingsPiecesError};
pub use snapshot::{SNAPSHOT_HEADER_BYTES, SNAPSHOT_VERSION, SnapshotError};

use account::{Dispute, WalletDispute, say_limits};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::event::{
    Alarm, AlarmKind, ClockRead, Command, CommandKind, Event, EventBody, ExitSignal, Feed, FeedState,
    FeedStatus, Instrument, InstrumentTable, OutputBody, Queue, QueueShare, SEATS, TradeChanged,
    TradingState, TradingStateChanged, VenueSetup,
};
use crate::market::{MarketParams, MarketState, Smoothing};
use crate::num::{Dec, InstrumentId, Lots, Millis, OrderId, TimeNs};
use crate::risk::check::Checks;
use crate::risk::config::{AtrSmoothing, Settings};
use crate::risk::controller::{Controller, LimitChanges};
use crate::risk::off;
use crate::signal::RuleVoters;
use crate::trade::{FillMemory, Step, Trade};

/// Trades held at once: twice the most that may be open (32), since a closed one stays until its
/// last order is off the venue's book.
pub const TRADES_MAX: usize = 64;
/// No trade in this instrument.
const NO_TRADE: u8 = u8::MAX;

/// The whole decision state.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Engine {
    settings: Settings,
    weights: [Dec; SEATS],
    markets: Vec<MarketState>,
    voters: Vec<RuleVoters>,
    /// In order of approval; never reallocated.
    trades: Vec<Trade>,
    /// Index into `trades` by instrument.
    trade_of: Vec<u8>,
    controller: Controller,
    regime: Option<InstrumentId>,
    now: TimeNs,
    epoch: u32,
    sequence: u32,
    resting_stops: bool,
    rule_voters: bool,
    /// Leverage read from the venue, by instrument.
    leverage: Vec<Option<u32>>,
    fills: FillMemory,
    /// By instrument: the venue states another position than ours.
    disputed: Vec<Option<Dispute>>,
    /// Lots that fills have added, signed, and that are no trade's: positions of others.
    left_alone: Vec<Lots>,
    /// The wallet as the venue last stated it.
    stated_wallet: Option<Dec>,
    /// Since when that has differed from ours, and what ours is.
    wallet_differs: Option<WalletDispute>,
    /// The venue's times of that statement, and of the newest fill or funding that ours has in it.
    stated_ms: Millis,
    booked_ms: Millis,
    /// The breaker tripped at this event, and closes everything.
    flatten_due: bool,
    /// When the newest start began that was not the first.
    restarted: Option<TimeNs>,
    /// What the venue did since the last start is not known yet: nothing is entered.
    recovering: bool,
    /// What the run that ends was allowed before it was told to.
    stopped_from: Option<TradingState>,
    /// Since when the venue may have said something on orders and fills that is not known.
    unheard_since: Option<TimeNs>,
    checks: Checks,
    equity_shown: (TimeNs, Dec),
    #[cfg(feature = "planted-defect")]
    #[borsh(skip)]
    defect: bool,
}

impl Engine {
    /// An engine that has seen nothing. Every allocation happens here.
    pub fn new(settings: &Settings, instruments: &InstrumentTable) -> Engine {
        let params = market_params(settings);
        let markets: Vec<MarketState> =
            instruments.iter().map(|(_, row)| MarketState::new(*row, params)).collect();
        let markets_count = markets.len();
        Engine {
            settings: off::in_force(settings),
            weights: weights(settings),
            voters: vec![RuleVoters::default(); markets.len()],
            trade_of: vec![NO_TRADE; markets.len()],
            markets,
            trades: Vec::with_capacity(TRADES_MAX),
            controller: Controller::default(),
            regime: settings.regime_symbol.and_then(|symbol| instruments.find(symbol.as_str())),
            now: TimeNs(i64::MIN),
            epoch: 0,
            sequence: 0,
            resting_stops: true,
            rule_voters: true,
            leverage: vec![None; markets_count],
            fills: FillMemory::default(),
            disputed: vec![None; markets_count],
            left_alone: vec![Lots::ZERO; markets_count],
            stated_wallet: None,
            wallet_differs: None,
            stated_ms: 0,
            booked_ms: 0,
            flatten_due: false,
            restarted: None,
            recovering: false,
            stopped_from: None,
            unheard_since: None,
            checks: Checks::default(),
            equity_shown: (TimeNs(i64::MIN), Dec::ZERO),
            #[cfg(feature = "planted-defect")]
            defect: false,
        }
    }

    /// From here on quantities are rounded up instead of down.
    #[cfg(feature = "planted-defect")]
    pub fn plant_defect(&mut self) {
        self.defect = true;
    }

    /// Applies one event; `out` then holds what it caused.
    pub fn step(&mut self, event: &Event, out: &mut Outbox) {
        out.clear();
        let before = self.now;
        // Clocks that step back do not take the engine with them.
        self.now = self.now.max(event.recv_ns);
        self.roll(out);
        let id = event.instrument;
        let known = id.index() < self.markets.len();
        match &event.body {
            EventBody::AggTrade(trade) if known => self.on_trade(id, trade, true, out),
            EventBody::Trade(trade) if known => self.on_trade(id, trade, false, out),
            EventBody::Quote(quote) if known => self.on_quote(id, quote, out),
            EventBody::Bar(bar) if known => self.on_bar(id, bar, out),
            EventBody::MarkPrice(mark) if known => self.on_mark(id, mark, out),
            EventBody::Ticker(ticker) if known => self.markets[id.index()].on_ticker(ticker),
            EventBody::Prices(prices) if known => self.on_prices(id, prices, out),
            EventBody::Signal(signal) if known => self.on_signal(id, signal, out),
            EventBody::SignalWithConditions(given) if known => {
                self.on_signal_with_conditions(id, given, out);
            }
            EventBody::OrderUpdate(update) => self.on_order_update(id, update, out),
            EventBody::Fill(fill) => self.on_fill(id, fill, event.recv_ns.min(self.now), out),
            EventBody::AccountUpdate(update) => self.on_account(id, update, out),
            EventBody::VenuePosition(position) if known => self.on_venue_position(id, position),
            EventBody::VenueSetup(setup) => self.on_setup(id, setup, out),
            EventBody::Timer(_) => self.on_timer(out),
            EventBody::Command(command) => self.on_command(id, command, out),
            EventBody::FeedStatus(status) => self.on_feed(status, out),
            EventBody::Divergence(d) => self.fault(
                AlarmKind::Divergence,
                TradingState::Halted,
                OrderId::NONE,
                d.sequence as i64,
                id,
                out,
            ),
            EventBody::Gap(gap) => self.fault(
                AlarmKind::QueueFull,
                TradingState::Reducing,
                OrderId::NONE,
                gap.frames as i64,
                id,
                out,
            ),
            EventBody::Reconcile(found) => self.on_reconcile(id, found, out),
            EventBody::RunStart(start) => self.on_start(start, before, out),
            EventBody::Instrument(row) => self.on_instrument(id, row),
            EventBody::QueueShare(share) => self.on_queue_share(share, out),
            EventBody::ClockRead(clock) => self.on_clock_read(clock),
            EventBody::ArchiveStatus(status) if status.failing => self.fault(
                AlarmKind::ArchiveFailing,
                TradingState::Reducing,
                OrderId::NONE,
                i64::from(status.error),
                id,
                out,
            ),
            // Recorded for the reader of the journal; they change no decision.
            _ => {}
        }
        if self.resting_stops {
            self.flatten_if_due(out);
        }
    }

    /// A row of the instrument table. A run begins with those it was made for, which changes nothing;
    /// a scenario adds to them as it goes, or states one anew while nothing of it is held.
    fn on_instrument(&mut self, id: InstrumentId, row: &Instrument) {
        let known = self.markets.get(id.index());
        if known.is_some_and(|market| market.instrument == *row) || self.trade_index(id).is_some() {
            return;
        }
        let (fresh, next) = (MarketState::new(*row, market_params(&self.settings)), self.markets.len());
        match self.markets.get_mut(id.index()) {
            Some(market) => *market = fresh,
            None if id.index() == next && !id.is_none() => {
                self.markets.push(fresh);
                self.voters.push(RuleVoters::default());
                self.trade_of.push(NO_TRADE);
                self.leverage.push(None);
                self.disputed.push(None);
                self.left_alone.push(Lots::ZERO);
            }
            None => return,
        }
        if self.settings.regime_symbol == Some(row.symbol) {
            self.regime = Some(id);
        }
    }

    fn on_clock_read(&mut self, clock: &ClockRead) {
        let now = self.now;
        self.markets.iter_mut().for_each(|market| market.lag.on_clock(now, clock.ahead_ns, clock.error_ns));
    }

    /// One-way position mode and single-asset margin are what reduce-only stops need.
    fn on_setup(&mut self, id: InstrumentId, setup: &VenueSetup, out: &mut Outbox) {
        // Without an instrument it is everybody's. A venue that states none leaves the setting's.
        let leverage = Some(setup.leverage).filter(|leverage| *leverage > 0);
        match self.leverage.get_mut(id.index()) {
            Some(own) => *own = leverage,
            None if id.is_none() => self.leverage.fill(leverage),
            None => {}
        }
        if !setup.one_way || !setup.single_asset {
            let none = InstrumentId::NONE;
            self.fault(AlarmKind::VenueSetup, TradingState::Halted, OrderId::NONE, 0, none, out);
        }
    }

    fn on_feed(&mut self, status: &FeedStatus, out: &mut Outbox) {
        if status.feed == Feed::User && matches!(status.state, FeedState::Up | FeedState::Resynced) {
            return self.end_recovery(out);
        }
        if status.feed == Feed::Orders && status.state == FeedState::Up {
            return self.try_closes_again(out);
        }
        if status.feed == Feed::User {
            self.unheard_since.get_or_insert(self.now);
        }
        if !matches!(status.state, FeedState::Down | FeedState::Stale) {
            return;
        }
        let (none, feed) = (InstrumentId::NONE, status.feed as i64);
        match status.feed {
            Feed::User | Feed::Orders => {
                self.fault(AlarmKind::FeedDown, TradingState::Reducing, OrderId::NONE, feed, none, out);
            }
            // Old prices enter nothing by themselves; with something open only the resting stops see the
            // market now, and that somebody must know.
            Feed::Public | Feed::Market if self.trades.iter().any(|trade| !trade.finished) => {
                alarm(AlarmKind::FeedDown, OrderId::NONE, feed, none, out);
            }
            Feed::Public | Feed::Market => {}
        }
    }

    fn on_command(&mut self, id: InstrumentId, command: &Command, out: &mut Outbox) {
        match command.command {
            CommandKind::Halt => self.lower(AlarmKind::Operator, TradingState::Halted, out),
            CommandKind::Stop => {
                let before = self.controller.state();
                self.lower(AlarmKind::Operator, TradingState::Halted, out);
                self.stopped_from.get_or_insert(before);
            }
            CommandKind::Reduce => self.lower(AlarmKind::Operator, TradingState::Reducing, out),
            CommandKind::Resume => {
                self.stopped_from = None;
                if let Some(from) = self.controller.resume(AlarmKind::Operator) {
                    self.say_state(from, AlarmKind::Operator, out);
                }
            }
            CommandKind::Flatten => {
                self.flatten_due = false;
                self.flatten(ExitSignal::Flatten, out);
            }
            CommandKind::Close => {
                if let Some(t) = self.trade_index(id) {
                    self.close_at_market(t, ExitSignal::Manual, out);
                }
            }
        }
    }

    /// The ring fills because the archive is behind: nothing new, so that what is under way keeps its
    /// room. Said once until the operator resumes.
    fn on_queue_share(&mut self, share: &QueueShare, out: &mut Outbox) {
        let allowed_ppm = self.settings.ring_reduce_pct.saturating_mul(10_000);
        let active = self.controller.state() == TradingState::Active;
        if share.queue == Queue::Ring && share.used_ppm >= allowed_ppm && active {
            let (kind, to) = (AlarmKind::JournalBehind, TradingState::Reducing);
            self.fault(kind, to, OrderId::NONE, share.used_ppm.into(), InstrumentId::NONE, out);
        }
    }

    /// A safety fault: tell the operator, and trade less until the operator says otherwise.
    fn fault(
        &mut self,
        kind: AlarmKind,
        to: TradingState,
        order: OrderId,
        value: i64,
        id: InstrumentId,
        out: &mut Outbox,
    ) {
        alarm(kind, order, value, id, out);
        self.lower(kind, to, out);
    }

    fn lower(&mut self, cause: AlarmKind, to: TradingState, out: &mut Outbox) {
        // What lowers it while a run ends holds for the next start too.
        self.stopped_from = self.stopped_from.map(|from| from.max(to));
        let Some(from) = self.controller.lower(to) else { return };
        self.say_state(from, cause, out);
        // Neither REDUCING nor HALTED adds to a position.
        for t in 0..self.trades.len() {
            self.cancel_entry(t, out);
        }
    }

    fn say_state(&mut self, from: TradingState, cause: AlarmKind, out: &mut Outbox) {
        let to = self.controller.state();
        let changed = TradingStateChanged { from, to, cause, pad: [0; 5] };
        out.push(InstrumentId::NONE, OutputBody::TradingStateChanged(changed));
    }

    fn trade_index(&self, id: InstrumentId) -> Option<usize> {
        self.trade_of.get(id.index()).filter(|slot| **slot != NO_TRADE).map(|slot| usize::from(*slot))
    }

    fn remove_trade(&mut self, t: usize) {
        let gone = self.trades.remove(t);
        self.trade_of[gone.instrument.index()] = NO_TRADE;
        for (slot, trade) in self.trades.iter().enumerate().skip(t) {
            self.trade_of[trade.instrument.index()] = slot as u8;
        }
    }

    /// Day and week end by event time.
    fn roll(&mut self, out: &mut Outbox) {
        let mut changes = LimitChanges::new();
        self.controller.roll(self.now, &self.settings, &mut changes);
        say_limits(&changes, out);
    }

    /// Takes a step of the trade's life and says so if it changed the state.
    fn advance(&mut self, t: usize, step: Step, out: &mut Outbox) {
        let trade = &mut self.trades[t];
        if let Some(from) = trade.take(step) {
            let changed = TradeChanged { trade: trade.id, from, to: trade.state, pad: [0; 6] };
            out.push(trade.instrument, OutputBody::TradeChanged(changed));
        }
    }

    /// Order ids: the epoch is durable before the first, so none is ever issued twice.
    fn next_order_id(&mut self) -> OrderId {
        // 4 billion orders in one start is beyond any rate limit; the addition is checked.
        self.sequence += 1;
        OrderId::new(self.epoch, self.sequence)
    }

    /// Whether something waits for time to pass: an answer, a missing stop, a close under way. Until
    /// then a timer a second is enough.
    pub fn has_deadline(&self) -> bool {
        self.trades.iter().any(Trade::has_deadline)
    }

    /// Whether a timer would find nothing to do: nothing is held, the venue's word on wallet and positions
    /// is ours, and equity was said.
    pub fn is_idle(&self) -> bool {
        let equity = self.controller.equity();
        self.trades.is_empty()
            && !self.recovering
            && equity.is_none_or(|equity| equity == self.equity_shown.1)
            && self.stated_wallet.is_none_or(|stated| self.controller.wallet() == Some(stated))
            && self.wallet_differs.is_none()
            && self.disputed.iter().flatten().all(|dispute| dispute.said)
    }

    /// The breaker tripped and everything is to be closed. Where no venue is, whoever drives the
    /// engine lets pending entries fill and then commands it.
    pub fn flatten_due(&self) -> bool {
        self.flatten_due
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    pub fn trades(&self) -> &[Trade] {
        &self.trades
    }

    /// The rows in force, by id.
    pub fn instruments(&self) -> impl ExactSizeIterator<Item = &Instrument> {
        self.markets.iter().map(|market| &market.instrument)
    }

    pub fn market(&self, id: InstrumentId) -> Option<&MarketState> {
        self.markets.get(id.index())
    }

    /// The rules the last signal went through.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }
}

fn weights(settings: &Settings) -> [Dec; SEATS] {
    [settings.weight_xgboost, settings.weight_lightgbm, settings.weight_nhits, settings.weight_patchtst]
}

fn market_params(settings: &Settings) -> MarketParams {
    MarketParams {
        bar_interval_s: settings.bar_interval_s,
        ema_period: settings.ema_period,
        atr_period: settings.atr_period,
        atr_smoothing: match settings.atr_smoothing {
            AtrSmoothing::Wilder => Smoothing::Wilder,
            AtrSmoothing::Sma => Smoothing::Sma,
        },
        correlation_bars: settings.correlation_bars,
    }
}

fn alarm(kind: AlarmKind, order: OrderId, value: i64, id: InstrumentId, out: &mut Outbox) {
    out.push(id, OutputBody::Alarm(Alarm { order, value, kind, pad: [0; 7] }));
}
