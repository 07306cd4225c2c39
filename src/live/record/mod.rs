//! Recording public streams: every frame of every connection into one file, in the order they arrived.
//!
//! One thread polls all connections and writes; the system wakes it when one of them has something, so
//! a frame is stamped when it can be read. A connection that is lost is opened again by [`Opener`]; what
//! was missed meanwhile is a [`Gap`], said at once and in the summary. The venue ends connections after
//! a day, and that is a gap too: a successor opened before would record the frames around the change
//! twice, and nobody could tell.

mod figures;
mod output;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

pub use figures::{FeedAge, Figures, Gap, RecordSummary};
pub use output::FramesFile;

use super::opener::{Handed, Opener, OpenerConfig, OpenerEnds, Socket};
use crate::event::Feed;
use crate::host::stop::StopFlag;
use crate::host::time::{Discipline, WallTime, correction};
use crate::num::{NS_PER_SEC, Now};
use crate::wire::{Connector, FrameRef, Limits, Roots, State, Url, WireError};

/// Longest wait for the sockets: a connection just opened, a stop and a duration are noticed by then.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// What was recorded can be read from the file after this long, and is said on the terminal.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// The clock is compared with the system's this often.
const COMPARE_EVERY: Duration = Duration::from_secs(10);
/// The venue pings every three minutes: nothing at all for five is a dead connection.
const SILENCE_NS_MAX: i64 = 300 * NS_PER_SEC;

/// Why there is no recording, or it ended.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{}: is there already; --force replaces it", path.display())]
    Exists { path: PathBuf },
    #[error("{}: can't {doing}: {source}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A first attempt failed: an address that was never reached is more likely wrong than down.
    #[error("{url}: {why}")]
    Unreachable { url: String, why: String },
    #[error("can't wait on the connections: {0}")]
    Wait(io::Error),
}

impl RecordError {
    fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> RecordError {
        move |source| RecordError::Io { path: path.to_path_buf(), doing, source }
    }
}

/// What to record, and how long.
#[derive(Clone, Debug)]
pub struct RecordConfig {
    /// What each connection carries, as [`super::plan`] makes it.
    pub lines: Vec<(Feed, Url)>,
    pub roots: Roots,
    /// `None`: until the stop flag.
    pub duration: Option<Duration>,
}

/// What is told while it goes on.
pub enum Told<'a> {
    /// A connection was lost, came back, or could not be opened; in words.
    Note(&'a str),
    /// Once a second.
    Figures(&'a Figures),
}

/// Records until the duration is over or the stop flag is set, and ends the file in order.
///
/// # Errors
/// A file that can't be written ends the recording; what was flushed before stays in it. So does a
/// connection whose first attempt fails.
pub fn record(
    config: &RecordConfig,
    mut file: FramesFile,
    stop: &StopFlag,
    mut tell: impl FnMut(Told<'_>),
) -> Result<RecordSummary, RecordError> {
    let mut recorder = match Recorder::new(config) {
        Ok(recorder) => recorder,
        Err(error) => {
            file.discard();
            return Err(error);
        }
    };
    let ended = recorder.run(config.duration, &mut file, stop, &mut tell);
    let opener = recorder.opener.stop();
    let mut figures = recorder.figures;
    if let Err(error) = ended {
        if figures.frames == 0 {
            file.discard();
        } else {
            // Whatever can still be read should be; the first error is the one to hear.
            let _ = file.finish();
        }
        return Err(error);
    }
    figures.mended = file.mended();
    figures.reconnects = opener.counters.reconnects;
    let path = file.path().display().to_string();
    let file_bytes = file.finish()?;
    Ok(RecordSummary { file: path, file_bytes, figures })
}

/// One address and its connection.
struct Line {
    feed: Feed,
    url: String,
    socket: Option<Socket>,
    /// It was open at least once.
    reached: bool,
    /// Index of the gap that is still going on.
    gap: Option<usize>,
}

struct Recorder {
    lines: Vec<Line>,
    opener: Opener,
    ends: OpenerEnds,
    poll: Poll,
    time: WallTime,
    discipline: Discipline,
    figures: Figures,
}

impl Recorder {
    fn new(config: &RecordConfig) -> Result<Recorder, RecordError> {
        let connector = Connector::new(&config.roots, Limits::default())?;
        let (time, discipline) = WallTime::start();
        let line = |(feed, url): &(Feed, Url)| Line {
            feed: *feed,
            url: url.to_string(),
            socket: None,
            reached: false,
            gap: None,
        };
        let lines: Vec<Line> = config.lines.iter().map(line).collect();
        let urls = config.lines.iter().map(|(_, url)| url.clone()).collect();
        let poll = Poll::new().map_err(RecordError::Wait)?;
        let (opener, ends) = Opener::spawn(OpenerConfig::default(), connector, urls, time.clone())
            .map_err(RecordError::Wait)?;
        let figures = Figures::new(lines.len());
        Ok(Recorder { lines, opener, ends, poll, time, discipline, figures })
    }

    fn run(
        &mut self,
        duration: Option<Duration>,
        file: &mut FramesFile,
        stop: &StopFlag,
        tell: &mut impl FnMut(Told<'_>),
    ) -> Result<(), RecordError> {
        let began = Instant::now();
        let (mut flushed, mut compared) = (began, began);
        let mut events = Events::with_capacity(self.lines.len().max(1));
        while !stop.is_set() && duration.is_none_or(|duration| began.elapsed() < duration) {
            match self.poll.poll(&mut events, Some(WAIT_MAX)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(RecordError::Wait(error));
                }
                _ => {}
            }
            self.take_opened(tell)?;
            self.read(file)?;
            self.tend(tell);
            if flushed.elapsed() >= FLUSH_EVERY {
                flushed = Instant::now();
                file.flush()?;
                self.figures.seconds = began.elapsed().as_secs_f64();
                self.figures.note_ages(self.time.now());
                tell(Told::Figures(&self.figures));
            }
            if compared.elapsed() >= COMPARE_EVERY {
                compared = Instant::now();
                if let Some(sync) = correction(self.time.offset_ns()) {
                    self.discipline.slew(&sync);
                }
            }
        }
        // What has arrived belongs to the recording.
        self.read(file)?;
        self.figures.seconds = began.elapsed().as_secs_f64();
        Ok(())
    }

    /// Connections that were opened, and attempts that failed.
    fn take_opened(&mut self, tell: &mut impl FnMut(Told<'_>)) -> Result<(), RecordError> {
        while let Ok((index, mut socket)) = self.ends.opened.pop() {
            let Some(line) = self.lines.get_mut(index) else { continue };
            let registered = self.poll.registry().register(socket.stream(), Token(index), Interest::READABLE);
            registered.map_err(RecordError::Wait)?;
            let now = self.time.now();
            if let Some(gap) = line.gap.take() {
                let missed_ns = self.figures.end_gap(gap, now);
                let seconds = missed_ns as f64 / NS_PER_SEC as f64;
                tell(Told::Note(&format!("{now} {} {}: back after {seconds:.3} s", line.feed, line.url)));
            }
            (line.socket, line.reached) = (Some(socket), true);
        }
        for (index, why) in self.opener.failed() {
            let Some(line) = self.lines.get(index) else { continue };
            if !line.reached {
                return Err(RecordError::Unreachable { url: line.url.clone(), why });
            }
            tell(Told::Note(&format!("{} {} {}: {why}", self.time.now(), line.feed, line.url)));
        }
        Ok(())
    }

    /// Everything the sockets have, connection by connection.
    fn read(&mut self, file: &mut FramesFile) -> Result<(), RecordError> {
        let Recorder { lines, time, figures, .. } = self;
        for (index, line) in lines.iter_mut().enumerate() {
            let Some(socket) = line.socket.as_mut() else { continue };
            let mut failed = None;
            let mut take = |frame: FrameRef<'_>| {
                if failed.is_none() {
                    failed = file.frame(frame.recv_ns, frame.payload).err();
                    figures.count(index, line.feed, frame.recv_ns, frame.payload);
                }
            };
            while socket.poll(time.now(), &mut take).more {}
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Connections that ended or fell silent go back to the opener.
    fn tend(&mut self, tell: &mut impl FnMut(Told<'_>)) {
        let now = self.time.now();
        for (index, line) in self.lines.iter_mut().enumerate() {
            let lost = line
                .socket
                .take_if(|socket| socket.state() == State::Closed || socket.is_stale(now, SILENCE_NS_MAX));
            let Some(socket) = lost else { continue };
            let why = match socket.close_reason() {
                Some(reason) => reason.to_string(),
                None => format!("nothing for {} s", SILENCE_NS_MAX / NS_PER_SEC),
            };
            tell(Told::Note(&format!("{now} {} {}: lost: {why}", line.feed, line.url)));
            line.gap = Some(self.figures.begin_gap(Gap {
                feed: line.feed.to_string(),
                connection: index,
                from_ns: socket.last_frame_ns().0,
                to_ns: None,
                why,
            }));
            // The queue has room for one loss of each connection, and this one had no other.
            let _ = self.ends.handed.push(Handed::Lost(index, socket));
        }
    }
}
