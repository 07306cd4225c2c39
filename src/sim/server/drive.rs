//! What makes simulated time go on: a clock, or the engine's questions.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::{task, time};

use super::config::Pacing;
use super::core::{Core, Step, take_waiting};
use super::{Ended, Request};
use crate::event::Feed;
use crate::sim::lockstep::{Answer, Ask, Baton, Turn};

/// Steps between two looks at the sockets: a burst of a busy market must not hold up an order.
const STEPS_MAX: u32 = 256;
/// Longest sleep: a clock may jump, and a market may be silent for days.
const SLEEP_MAX: Duration = Duration::from_millis(250);

/// Runs the venue until it is told to stop.
pub(super) async fn run(core: &mut Core, mut requests: mpsc::Receiver<Request>, ended: &OnceLock<Ended>) {
    match &core.pacing {
        Pacing::Paced { scale, .. } => {
            let scale = *scale;
            paced(core, &mut requests, scale, ended).await;
        }
        Pacing::Lockstep { baton, .. } => {
            let baton = Arc::clone(baton);
            lockstep(core, &mut requests, &baton, ended).await;
            baton.end();
        }
    }
}

async fn paced(core: &mut Core, requests: &mut mpsc::Receiver<Request>, scale: f64, ended: &OnceLock<Ended>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Stop => return,
            Request::Go => break,
            request => core.take(request),
        }
    }
    loop {
        if take_waiting(core, requests) {
            return;
        }
        if catch_up(core) {
            // More is due: the sockets get their turn first.
            task::yield_now().await;
            continue;
        }
        note_end(core, ended);
        let sleep = wall_time(core.next_due().since(core.clock()), scale);
        tokio::select! {
            request = requests.recv() => match request {
                None | Some(Request::Stop) => return,
                Some(request) => {
                    // What was due before it goes before it.
                    catch_up(core);
                    core.take(request);
                }
            },
            () = time::sleep(sleep) => {}
        }
    }
}

/// Does what is due by the clock, up to a bound; true if there may be more.
fn catch_up(core: &mut Core) -> bool {
    let now = core.clock();
    for _ in 0..STEPS_MAX {
        // A frame due at the limit waits for the next one: one nanosecond later it is due before.
        if core.step(now + 1) == Step::Nothing {
            return false;
        }
    }
    true
}

fn wall_time(simulated_ns: i64, scale: f64) -> Duration {
    let seconds = simulated_ns.max(0) as f64 / 1e9 / scale.max(f64::MIN_POSITIVE);
    Duration::try_from_secs_f64(seconds).unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
}

fn note_end(core: &mut Core, ended: &OnceLock<Ended>) {
    if ended.get().is_none() && core.exchange.next_frame().is_none() {
        let fault = core.clients.report.fault.clone();
        // Set once, by this task alone.
        let _ = ended.set(fault.map_or(Ended::MarketEnd, Ended::Fault));
    }
}

/// Answers the engine's questions one by one. Between looks the processor is given up twice: to the
/// tasks of this thread, that move the messages, and to the threads that wait for it.
async fn lockstep(
    core: &mut Core,
    requests: &mut mpsc::Receiver<Request>,
    baton: &Baton,
    ended: &OnceLock<Ended>,
) {
    let mut last = 0;
    loop {
        if take_waiting(core, requests) || baton.is_over() {
            return;
        }
        let ask = baton.asked(last).filter(|ask| baton.is_settled(ask));
        match ask {
            Some(ask) => {
                let answer = go_on(core, &ask);
                note_end(core, ended);
                last = ask.number;
                baton.answer(ask.number, answer);
            }
            None => thread::yield_now(),
        }
        task::yield_now().await;
    }
}

/// Does the next thing due that the engine hears of, or nothing.
fn go_on(core: &mut Core, ask: &Ask) -> Answer {
    let turn = loop {
        let step = if ask.settle { core.settle(ask.limit) } else { core.step(ask.limit) };
        break match step {
            Step::Unheard => continue,
            Step::Frame(Feed::Public) => Turn::Public,
            Step::Frame(_) => Turn::Market,
            Step::Report => Turn::Report,
            // Told once: what is still on its way can settle after it.
            Step::Nothing if !ask.settle && core.clients.report.fault.is_some() => Turn::Fault,
            Step::Nothing => Turn::Nothing,
        };
    };
    let now = if turn == Turn::Nothing { ask.limit } else { core.now };
    Answer { turn, now, next_frame: core.exchange.next_frame(), said: core.said }
}
