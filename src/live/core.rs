//! The hot path: frame → event → journal → step → journal. What the outputs ask for may be done only
//! after [`Core::take`] returned them.

use super::recorder::Recorder;
use crate::decode::{Decoded, Decoder};
use crate::engine::{Engine, OUTBOX_MAX, Outbox, SettingsChange};
use crate::event::record::PARTS_MAX;
use crate::event::{Event, InstrumentTable, Output, OutputBody};
use crate::host::alloc::thread_allocations;
use crate::host::clock::{MonotonicClock, RawTicks};
use crate::journal::ring::{Full, RingWriter};
use crate::num::TimeNs;
use crate::observe::{LoopCounts, Stage, Stages};
use crate::risk::config::Settings;

/// Records the largest event and its largest outbox take. An event is taken up only when the ring
/// has this much room, so that no append can fail half-way. Of all outputs only closed trades have
/// several parts, and one event closes one.
pub const RECORDS_MAX: u64 = (OUTBOX_MAX + 2 * PARTS_MAX) as u64;

/// Engine, decoder and journal of one hot thread.
pub struct Core<R = RingWriter> {
    decoder: Decoder,
    engine: Engine,
    recorder: R,
    out: Box<Outbox>,
    /// Where stages are timed: calibrating it takes a while.
    clock: Option<MonotonicClock>,
    pub stages: Stages,
    pub counts: LoopCounts,
    /// Nanoseconds the newest frame took to decode.
    decode_ns: u64,
    change: SettingsChange,
}

impl<R: Recorder> Core<R> {
    pub fn new(settings: &Settings, instruments: &InstrumentTable, recorder: R) -> Core<R> {
        Core::resume(Engine::new(settings, instruments), settings, instruments, recorder)
    }

    /// Goes on with an engine of an earlier start. `settings` are those of this one, for what is not the
    /// engine's.
    pub fn resume(
        engine: Engine,
        settings: &Settings,
        instruments: &InstrumentTable,
        recorder: R,
    ) -> Core<R> {
        let probe = thread_allocations();
        drop(std::hint::black_box(Box::new(0u8)));
        let counting = thread_allocations() != probe;
        Core {
            decoder: Decoder::new(instruments, settings.max_frame_bytes as usize),
            engine,
            recorder,
            out: Outbox::new(),
            clock: R::TIMED.then(MonotonicClock::new),
            stages: Stages::default(),
            counts: LoopCounts { hot_allocations: counting.then_some(0), ..LoopCounts::default() },
            decode_ns: 0,
            change: SettingsChange::default(),
        }
    }

    /// For a check of the checks: an engine that decides otherwise than others of its version.
    #[cfg(feature = "planted-defect")]
    pub fn plant_defect(&mut self) {
        self.engine.plant_defect();
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn recorder(&self) -> &R {
        &self.recorder
    }

    /// What is left when the loop is over.
    pub fn into_recorder(self) -> R {
        self.recorder
    }

    /// Whether the ring has room for whatever the next event causes.
    pub fn has_room(&mut self) -> bool {
        self.recorder.has_room(RECORDS_MAX)
    }

    /// Whether a frame may go in: what is not a frame keeps room of its own.
    pub fn has_room_for_frame(&mut self) -> bool {
        self.recorder.has_room(2 * RECORDS_MAX)
    }

    /// Share of the ring that the archive does not have yet, parts per million.
    pub fn ring_share_ppm(&mut self) -> u32 {
        self.recorder.share_ppm()
    }

    /// A frame to an event; refused frames become one too. `None` for frames that say nothing.
    pub fn decode(&mut self, recv_ns: TimeNs, frame: &[u8]) -> Option<Event> {
        let allocations = thread_allocations();
        let start = self.raw();
        let decoded = self.decoder.decode(recv_ns, frame);
        if let Some(clock) = &self.clock {
            self.decode_ns = clock.elapsed_ns(start, clock.raw());
            self.stages.record(Stage::Decode, self.decode_ns);
        }
        self.note_allocations(allocations);
        self.counts.frames += 1;
        self.counts.fast = self.decoder.fast_frames();
        match decoded {
            Ok(Decoded::Event(event)) => {
                self.counts.taken += 1;
                Some(event)
            }
            Ok(Decoded::Skipped(skip)) => {
                self.counts.skipped[skip as usize] += 1;
                None
            }
            Err(fault) => Some(fault.event(recv_ns, frame)),
        }
    }

    /// Market data that came decoded.
    pub fn note_market_event(&mut self) {
        self.counts.frames += 1;
        self.counts.taken += 1;
    }

    /// One event through the core. The caller made sure of room.
    pub fn take(&mut self, event: &Event, from_frame: bool) -> Result<&[Output], Full> {
        let mut allocations = thread_allocations();
        let start = self.raw();
        self.recorder.event(event)?;
        let journaled = self.raw();
        if !R::TIMED {
            // Whoever follows in this thread may allocate; the engine may not.
            allocations = thread_allocations();
        }
        self.engine.step(event, &mut self.out);
        let decided = self.raw();
        if !R::TIMED {
            self.note_allocations(allocations);
        }
        let outputs = self.out.outputs();
        if !outputs.is_empty() {
            self.recorder.outputs(event.recv_ns, outputs)?;
        }
        if self.change.concerns(&event.body) {
            self.change_settings(event);
        }
        if R::TIMED {
            self.note_stages([start, journaled, decided, self.raw()], from_frame);
            self.note_allocations(allocations);
        }
        Ok(self.out.outputs())
    }

    /// The operator changed them: once, and not while a market event waits. What it allocates is not the hot
    /// path's.
    #[cold]
    fn change_settings(&mut self, event: &Event) {
        // The pieces are the loop's own, made from settings that were read; were they not to be had from
        // them, those in force would stay, here and in every replay.
        let _ = self.change.take(&event.body, &mut self.engine);
    }

    fn raw(&self) -> RawTicks {
        self.clock.as_ref().map_or(RawTicks::default(), MonotonicClock::raw)
    }

    fn note_stages(&mut self, [start, journaled, decided, done]: [RawTicks; 4], from_frame: bool) {
        let (Some(clock), outputs) = (&self.clock, self.out.outputs()) else { return };
        self.stages.record(Stage::JournalEvent, clock.elapsed_ns(start, journaled));
        self.stages.record(Stage::Step, clock.elapsed_ns(journaled, decided));
        if !outputs.is_empty() {
            self.stages.record(Stage::JournalOutputs, clock.elapsed_ns(decided, done));
        }
        if from_frame {
            let total_ns = self.decode_ns + clock.elapsed_ns(start, done);
            self.stages.record(Stage::Frame, total_ns);
            if outputs.iter().any(|output| matches!(output.body, OutputBody::Order(_))) {
                self.stages.record(Stage::FrameToOrder, total_ns);
            }
        }
    }

    /// Start-up is over: from here on the hot path is measured.
    pub fn start_measuring(&mut self) {
        self.stages.clear();
        self.counts.hot_allocations = self.counts.hot_allocations.map(|_| 0);
        self.counts.tls_allocations = self.counts.hot_allocations;
    }

    /// The loop has to wait for the drain.
    pub fn note_overrun(&mut self) {
        self.counts.overruns += 1;
    }

    /// What reading sockets over TLS allocated: rustls makes one a record, counted apart.
    pub fn note_tls_allocations(&mut self, count: u64) {
        if let Some(sum) = self.counts.tls_allocations.as_mut() {
            *sum += count;
        }
    }

    /// All that the loop's thread allocated since measuring began. That is the figure, whoever did it:
    /// what was noted event by event is part of it.
    pub fn note_loop_allocations(&mut self, count: u64) {
        let tls = self.counts.tls_allocations.unwrap_or(0);
        self.counts.hot_allocations = self.counts.hot_allocations.map(|_| count.saturating_sub(tls));
    }

    fn note_allocations(&mut self, before: u64) {
        if let Some(count) = self.counts.hot_allocations.as_mut() {
            *count += thread_allocations() - before;
        }
    }
}
