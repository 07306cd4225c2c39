//! One seed from its start to its end, and all that is known of one that failed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;

use super::{Failure, Figures, Outcome, START, World, finish};
use crate::num::NS_PER_MS;
use crate::risk::config::{SETTINGS, Settings};

/// A seed that was run. A panic in it is its failure.
pub struct Story {
    pub seed: u64,
    /// As the seed left it; `None` if it could not be made.
    pub world: Option<World>,
    pub result: Result<Outcome, Failure>,
}

impl Story {
    /// Runs a seed to its end, or to the first thing that must not be.
    pub fn of(seed: u64) -> Story {
        Story::told(seed, |world| {
            world.run_until(world.weather.clears)?;
            finish(world)
        })
    }

    /// The same with a world that goes on as `drive` has it.
    pub fn told(seed: u64, drive: impl FnOnce(&mut World) -> Result<Outcome, Failure>) -> Story {
        let mut made = None;
        // What a panic leaves behind is only looked at.
        let result = catch_unwind(AssertUnwindSafe(|| drive(made.insert(World::of_seed(seed)?))));
        let result = result.unwrap_or_else(|panic| {
            let now = made.as_ref().map_or(START, |world| world.now);
            Err(Failure::new(now, format!("a panic: {}", message(&*panic))))
        });
        Story { seed, world: made, result }
    }

    /// What it came to by figures, whether it failed or not.
    pub fn outcome(&self) -> Option<Outcome> {
        self.result.clone().ok().or_else(|| Some(self.world.as_ref()?.outcome(0, 0)))
    }

    /// All that is known of its failure.
    pub fn failed(&self) -> Option<Failed> {
        let failure = self.result.as_ref().err()?;
        let ms = |at: crate::num::TimeNs| at.since(START) / NS_PER_MS;
        let world = self.world.as_ref();
        // A world that panicked may do so again when it is asked how it stands.
        let stands = world.and_then(|world| catch_unwind(AssertUnwindSafe(|| world.describe())).ok());
        let lines = |text: String| text.lines().map(str::to_owned).collect();
        Some(Failed {
            seed: self.seed,
            what: failure.what.clone(),
            at_ms: ms(failure.at),
            since_ms: ms(failure.since),
            figures: world.map_or_else(Figures::default, |world| world.audit.figures),
            settings: world.map_or_else(Vec::new, |world| changed(&world.settings)),
            weather: world.map_or_else(Vec::new, |world| lines(world.weather.describe())),
            standing: stands.map_or_else(Vec::new, lines),
        })
    }
}

/// A seed that failed: what was wrong, when, and in which circumstances.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    pub seed: u64,
    pub what: String,
    /// When it was seen, and from when on it had been so: milliseconds from the start.
    pub at_ms: i64,
    pub since_ms: i64,
    pub figures: Figures,
    /// Settings that are not the default, `NAME=value`.
    pub settings: Vec<String>,
    /// What went wrong, and when.
    pub weather: Vec<String>,
    /// Engine and gateway as the failure left them.
    pub standing: Vec<String>,
}

impl Failed {
    /// A line for what was wrong, and indented lines for the circumstances.
    pub fn text(&self) -> String {
        let Failed { seed, what, at_ms, since_ms, .. } = self;
        let mut text = format!("seed {seed}: {at_ms} ms after the start, since {since_ms} ms: {what}\n");
        let figures = serde_json::to_string(&self.figures).unwrap_or_default();
        text += &format!("  figures   {}\n", figures.trim_matches(['{', '}']).replace('"', ""));
        text += &format!("  settings  {}\n", self.settings.join(" "));
        for (name, lines) in [("weather", &self.weather), ("standing", &self.standing)] {
            for line in lines {
                text += &format!("  {name:8}  {line}\n");
            }
        }
        text
    }
}

fn changed(settings: &Settings) -> Vec<String> {
    let value = |setting: &crate::risk::config::Setting, of: &Settings| setting.value(of);
    let rows = SETTINGS.iter().filter(|row| value(row, settings) != value(row, &Settings::DEFAULT));
    rows.map(|row| format!("{}={}", row.name, row.value(settings))).collect()
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
