//! What an operator is shown against the engine it is about: the same positions, stops and state, from
//! nothing but the journal's entries.

use quantum_trader::engine::Engine;
use quantum_trader::event::record::Entry;
use quantum_trader::event::*;
use quantum_trader::num::*;
use quantum_trader::observe::Stats;

#[derive(Default)]
pub struct Figures {
    stats: Stats,
    sequence: u64,
    /// Positions compared.
    pub compared: u64,
}

impl Figures {
    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Takes an event and what it caused, as the drain does.
    pub fn take(&mut self, event: &Event, outputs: &[Output]) {
        let commands =
            |stats: &Stats| CommandKind::ALL.iter().map(|k| stats.condition.taken(*k).count).sum::<u64>();
        let before = commands(&self.stats);
        let began = self.next();
        self.stats.take(began, &Entry::Event(*event));
        assert_eq!(self.stats.condition.settled, began - 1, "it is not known yet what this caused");
        if let EventBody::Command(command) = &event.body {
            assert_eq!(commands(&self.stats), before + 1);
            assert_eq!(self.stats.condition.taken(command.command).sequence, began);
        }
        for (i, output) in outputs.iter().enumerate() {
            let commit = i + 1 == outputs.len();
            let entry = Entry::Output { recv_ns: event.recv_ns, output: *output, commit };
            let sequence = self.next();
            self.stats.take(sequence, &entry);
            assert_eq!(self.stats.condition.settled == sequence, commit);
        }
    }

    pub fn compare(&mut self, engine: &Engine) {
        let condition = &self.stats.condition;
        assert_eq!(condition.state, engine.controller().state());
        let shown: Vec<_> = self.stats.book.trades().collect();
        let held: Vec<_> = engine.trades().iter().filter(|trade| !trade.finished).collect();
        assert_eq!(shown.len(), held.len(), "{shown:?}");
        for (shown, held) in shown.into_iter().zip(held) {
            let stop = held.exit.as_ref().map_or(Ticks::ZERO, |exit| exit.stop);
            assert_eq!(
                (shown.instrument, shown.side, shown.open(), shown.stopped(), shown.is_covered(), shown.stop),
                (held.instrument, held.side(), held.open(), held.stopped(), held.is_covered(), stop),
                "{shown:?}\n{held:?}"
            );
            self.compared += u64::from(held.open().0 > 0);
        }
    }
}
