//! ExitPolicyEngine: what a price does to an open position. `docs/RULES.md` §6.
//!
//! Pure: it decides, the caller sends orders. The stop only ever moves in the position's favour.

use std::cmp::Ordering;

use borsh::{BorshDeserialize, BorshSerialize};

use super::config::Settings;
use super::levels::{self, AveragePrice};
use crate::event::StopMove;
use crate::num::{
    Dec, Lots, NS_PER_HOUR, OutOfRange, Rounding, Side, Ticks, TimeNs, Wide, all_hold, cmp_products,
    div_wide, wide_product,
};

/// Below this share of R a trade counts as going nowhere.
const NO_PROGRESS_R: Dec = Dec::new(5, 1);
/// A stop closer than this to the tested price would trigger at once.
const STOP_GAP_TICKS: i64 = 2;

/// Everything the exit rules know of a position.
#[derive(Clone, Copy, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct ExitState {
    pub side: Side,
    /// Of everything filled so far; fixed after the entry's last fill.
    pub entry: AveragePrice,
    /// ATR of the decision.
    pub atr: Dec,
    /// Initial stop computed from the entry: with it, R.
    pub initial_stop: Ticks,
    pub stop: Ticks,
    pub target: Ticks,
    pub opened_ns: TimeNs,
    /// Best and worst price tested since the entry.
    pub best: Option<Ticks>,
    pub worst: Option<Ticks>,
    /// A rule has moved the stop, wherever the initial one is by now.
    pub moved: bool,
    pub breakeven_done: bool,
    pub partial_tried: bool,
    pub trailing: bool,
}

/// What the price means for the position, in the order the rules apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitActions {
    pub stop_hit: bool,
    pub target_hit: bool,
    /// Close this many lots of it.
    pub partial: Option<Lots>,
    /// At most one move each.
    pub breakeven: Option<Ticks>,
    pub trailing: Option<Ticks>,
    pub time_out: bool,
}

/// Limits the venue sets on a part of a position.
#[derive(Clone, Copy, Debug)]
pub struct PartLimits {
    pub min_quantity: Lots,
    pub min_notional: Dec,
    pub tick_lot_value: Dec,
}

impl ExitState {
    /// Levels from an entry; `None` when they leave the number range.
    pub fn open(
        side: Side,
        entry: AveragePrice,
        atr: Dec,
        tick: Dec,
        now: TimeNs,
        s: &Settings,
    ) -> Option<ExitState> {
        let stop = levels::stop(side, entry, atr, s.sl_multiplier, tick)?;
        let target = levels::target(side, entry, atr, s.tp_multiplier, tick)?;
        Some(ExitState {
            side,
            entry,
            atr,
            initial_stop: stop,
            stop,
            target,
            opened_ns: now,
            best: None,
            worst: None,
            moved: false,
            breakeven_done: false,
            partial_tried: false,
            trailing: false,
        })
    }

    /// Levels of a position that nobody planned, by the rules' distances from the present price. R is what it
    /// would be of the entry.
    pub fn adopted(
        side: Side,
        entry: AveragePrice,
        price: Ticks,
        atr: Dec,
        tick: Dec,
        now: TimeNs,
        s: &Settings,
    ) -> Option<ExitState> {
        let at = AveragePrice::at(price);
        let stop = levels::stop(side, at, atr, s.sl_multiplier, tick)?.nearest_price();
        let target = levels::target(side, at, atr, s.tp_multiplier, tick)?.nearest_price();
        // It does not go back to where the entry's average would have it.
        Some(ExitState { stop, target, moved: true, ..ExitState::open(side, entry, atr, tick, now, s)? })
    }

    /// More was found to belong to the position: its stop and target stay, R is the new average's.
    pub fn grow(&mut self, entry: AveragePrice, tick: Dec, s: &Settings) {
        let fresh = levels::stop(self.side, entry, self.atr, s.sl_multiplier, tick);
        let initial_stop = fresh.unwrap_or(self.initial_stop);
        *self = ExitState { entry, initial_stop, moved: true, breakeven_done: false, ..*self };
    }

    /// Of a position that was planned with this side and ATR.
    pub(crate) fn check(&self, side: Side, atr: Dec) -> Result<(), OutOfRange> {
        let levels = [Some(self.initial_stop), Some(self.stop), Some(self.target), self.best, self.worst];
        all_hold(&[
            ("exit.side and atr", (self.side, self.atr) == (side, atr)),
            ("exit.entry", self.entry.is_possible() && self.entry.quantity != Lots::ZERO),
            ("exit's levels", levels.into_iter().flatten().all(Ticks::is_level)),
        ])
    }

    /// Another part of the entry filled: levels follow the average, and what is breakeven with them,
    /// but a stop that has already moved does not move back.
    pub fn refill(&mut self, entry: AveragePrice, tick: Dec, s: &Settings) -> Option<()> {
        let fresh = ExitState::open(self.side, entry, self.atr, tick, self.opened_ns, s)?;
        let stop = if self.moved && !self.better(fresh.stop, self.stop) { self.stop } else { fresh.stop };
        let (initial_stop, target) = (fresh.initial_stop, fresh.target);
        *self = ExitState { stop, initial_stop, entry, target, breakeven_done: false, ..*self };
        Some(())
    }

    /// Whether `a` is further in the position's favour than `b`.
    fn better(&self, a: Ticks, b: Ticks) -> bool {
        self.profit(a, b) > 0
    }

    /// `price − from` in the position's favour, in ticks.
    fn profit(&self, price: Ticks, from: Ticks) -> i64 {
        (price - from).0 * self.side.sign()
    }

    /// R × entry quantity, in tick-lots.
    pub fn risk_tick_lots(&self) -> i128 {
        (self.entry.cost - self.initial_stop.wide() * self.entry.quantity.wide()).abs()
    }

    /// Profit at `price` of the whole entry quantity, in tick-lots.
    pub fn profit_tick_lots(&self, price: Ticks) -> i128 {
        (price.wide() * self.entry.quantity.wide() - self.entry.cost) * i128::from(self.side.sign())
    }

    /// R at `price`, cut to 18 places: for display, which rounds once.
    pub fn r_at(&self, price: Ticks) -> Dec {
        let value = || {
            let n = wide_product(&[self.profit_tick_lots(price), Dec::ONE.0])?;
            div_wide(n, Wide::from(self.risk_tick_lots()), Rounding::TowardZero)
        };
        Dec(value().unwrap_or(0))
    }

    /// r at `price` compared with `limit`, multiplied out.
    fn compare_r(&self, price: Ticks, limit: Dec) -> Option<Ordering> {
        cmp_products(&[self.profit_tick_lots(price), Dec::ONE.0], &[limit.0, self.risk_tick_lots()])
    }

    fn reached(&self, price: Ticks, limit: Dec) -> bool {
        self.compare_r(price, limit).is_some_and(|order| order != Ordering::Less)
    }

    /// Whether `price` is at or past the stop.
    pub fn beyond_stop(&self, price: Ticks) -> bool {
        self.profit(price, self.stop) <= 0
    }

    /// Notes a tested price for MFE and MAE.
    pub fn track(&mut self, price: Ticks) {
        let best = self.best.map_or(price, |best| if self.better(price, best) { price } else { best });
        let worst = self.worst.map_or(price, |worst| if self.better(worst, price) { price } else { worst });
        (self.best, self.worst) = (Some(best), Some(worst));
    }

    /// Tests `price` and moves the stop where the rules say so. `open` is what is not exited yet.
    /// After a full close the remaining rules are not looked at.
    pub fn test(
        &mut self,
        price: Ticks,
        now: TimeNs,
        open: Lots,
        limits: &PartLimits,
        tick: Dec,
        s: &Settings,
    ) -> ExitActions {
        let mut actions = ExitActions::default();
        if self.beyond_stop(price) {
            actions.stop_hit = true;
            return actions;
        }
        if self.profit(price, self.target) >= 0 {
            actions.target_hit = true;
            return actions;
        }
        actions.partial = self.partial(price, open, limits, s);
        if s.enable_breakeven && !self.breakeven_done && self.reached(price, s.breakeven_at_r) {
            let level = levels::breakeven(self.side, self.entry, s.breakeven_offset_pct);
            // Done once the stop stands at the level or better; a refused move is tried again.
            self.breakeven_done = level.is_some_and(|level| !self.better(level, self.stop));
            actions.breakeven = level.and_then(|level| self.move_stop(level, price));
            self.breakeven_done |= actions.breakeven.is_some();
        }
        if s.enable_trailing && self.reached(price, s.trailing_start_r) {
            self.trailing = true;
            let best = self.best.unwrap_or(price);
            let level = levels::trailing(self.side, best, self.atr, s.trailing_distance_atr, tick);
            actions.trailing = level.and_then(|level| self.move_stop(level, price));
        }
        actions.time_out = s.enable_time_exit && self.timed_out(price, now, s);
        actions
    }

    /// Tried once, at the first price that reaches it.
    fn partial(&mut self, price: Ticks, open: Lots, limits: &PartLimits, s: &Settings) -> Option<Lots> {
        if !s.enable_partial_tp || self.partial_tried || !self.reached(price, s.partial_tp_at_r) {
            return None;
        }
        self.partial_tried = true;
        let share = s.partial_tp_percent.0.checked_mul(self.entry.quantity.wide())?;
        let part = Lots(i64::try_from(share / Dec::ONE.0).ok()?);
        let large_enough = |lots: Lots| {
            let notional =
                price.wide().checked_mul(lots.wide()).and_then(|v| limits.tick_lot_value.checked_mul_int(v));
            lots.0 > 0 && lots >= limits.min_quantity && notional.is_some_and(|n| n >= limits.min_notional)
        };
        (large_enough(part) && large_enough(open - part)).then_some(part)
    }

    /// Moves the stop if that is strictly better and at least two ticks inside the tested price.
    fn move_stop(&mut self, level: Ticks, price: Ticks) -> Option<Ticks> {
        let allowed = self.better(level, self.stop) && self.profit(price, level) >= STOP_GAP_TICKS;
        allowed.then(|| (self.stop, self.moved) = (level, true))?;
        Some(level)
    }

    fn timed_out(&self, price: Ticks, now: TimeNs, s: &Settings) -> bool {
        let open_ns = i128::from(now.since(self.opened_ns)) * Dec::ONE.0;
        let late = open_ns > s.max_hours_no_progress.0.saturating_mul(NS_PER_HOUR.into());
        late && self.compare_r(price, NO_PROGRESS_R) == Some(Ordering::Less)
    }

    /// Best and worst excursion in R, at least zero, cut to 18 places.
    pub fn excursions(&self) -> (Dec, Dec) {
        let best = self.best.map_or(Dec::ZERO, |price| self.r_at(price));
        let worst = self.worst.map_or(Dec::ZERO, |price| self.r_at(price));
        (best.max(Dec::ZERO), (-worst).max(Dec::ZERO))
    }
}

/// Why a stop moved and where to, in the order the rules apply.
impl ExitActions {
    pub fn moves(&self) -> impl Iterator<Item = (StopMove, Ticks)> {
        let breakeven = self.breakeven.map(|stop| (StopMove::Breakeven, stop));
        breakeven.into_iter().chain(self.trailing.map(|stop| (StopMove::Trailing, stop)))
    }
}

#[cfg(test)]
mod tests;
