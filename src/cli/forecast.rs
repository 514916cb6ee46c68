//! What a long run will take: said before it, or, where many trials follow one another, by the first of them.

use super::delivery::OutputOptions;
use super::error::note;
use super::number;
use super::run::cores;
use crate::simulate::rates::Rates;
use crate::simulate::{Plan, pilot};
use indicatif::{HumanDuration, ProgressBar};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seconds from which on a run says what it will take.
const LONG: f64 = 5.0;
/// Operations of a large product that take much less than `LONG`: below this nothing is said.
const SHORT: f64 = 2e11;
/// From so many rounds of trials on, the run's own first rounds tell more than a pilot, and cost nothing, unless each is long itself.
const ROUNDS: u64 = 4;
/// Seconds that tell how fast a run goes.
const TELLING: f64 = 1.0;

/// Watches a run, and says once what all of it will take.
pub struct Forecast {
    threads: usize,
    /// Bytes, as predicted.
    memory: u128,
    /// Of them those that come to be after the first trials: what all trials leave behind, and figures.
    later: u128,
    /// Units of progress of the whole run, and of a round: a trial on every thread, and one of every cell.
    units: (u64, u64),
    /// Seconds that layers take behind the trials; of so few that it is not worth asking for the machine's rates, none.
    behind: f64,
    started: Instant,
    done: AtomicU64,
    silent: AtomicBool,
    /// Seconds and units at which the first round was over: it also fetches memory, and is the one whose spectra are computed.
    first: Mutex<Option<(f64, u64)>>,
}

impl Forecast {
    /// Of a plan on so many threads, and so many bytes for its figures, where the user wants to hear it. Where few rounds follow one
    /// another, or long ones, a pilot says it at once; `stop` ends that too.
    pub fn begin(
        plan: &Plan,
        threads: usize,
        drawn: u128,
        output: &OutputOptions,
        stop: &AtomicBool,
    ) -> Self {
        let forecast = Self::silent(plan, threads, drawn);
        if !output.speaks() {
            return forecast;
        }
        let rounds = jobs(plan).div_ceil(round(plan, threads));
        if plan.cost() < SHORT {
            forecast.silent.store(rounds < ROUNDS, Ordering::Relaxed);
            return forecast;
        }
        let (cores, rates) = (threads.min(cores()), Rates::measured());
        let forecast = Self { behind: plan.seconds_behind(cores, rates), ..forecast };
        let predicted = plan.seconds(plan.experiment.trials, cores, rates) + forecast.behind;
        let piloted = rounds < ROUNDS || predicted >= LONG * rounds as f64;
        forecast.silent.store(piloted, Ordering::Relaxed);
        if piloted && predicted >= 0.2 * LONG {
            forecast.say(pilot::seconds(plan, cores, rates, stop), forecast.memory);
        }
        forecast
    }

    /// Says nothing.
    pub fn silent(plan: &Plan, threads: usize, drawn: u128) -> Self {
        let (jobs, units) = (jobs(plan), plan.units());
        Self {
            threads,
            memory: plan.bytes(threads) + drawn,
            later: plan.left_bytes() + drawn,
            units: (units, units / jobs * round(plan, threads).min(jobs)),
            behind: 0.0,
            started: Instant::now(),
            done: AtomicU64::new(0),
            silent: AtomicBool::new(true),
            first: Mutex::new(None),
        }
    }

    /// More units of the run are done.
    pub fn advance(&self, units: u64, bar: &ProgressBar) {
        let done = self.done.fetch_add(units, Ordering::Relaxed) + units;
        bar.inc(units);
        let (all, round) = self.units;
        if done < round || self.silent.load(Ordering::Relaxed) {
            return;
        }
        let now = self.started.elapsed().as_secs_f64();
        let Ok(mut first) = self.first.lock() else { return };
        let (from, before) = match *first {
            // A round of a second tells by itself.
            None if now >= TELLING => (0.0, 0),
            None => {
                *first = Some((now, done));
                return;
            }
            Some(first) => first,
        };
        // Another thread may have counted on in the meantime.
        let since = done.saturating_sub(before);
        if since < round || now - from < TELLING || self.silent.swap(true, Ordering::Relaxed) {
            return;
        }
        let rest = all.saturating_sub(done) as f64;
        // What the first trials took in memory is measured too, where the system says it.
        let memory = peak().map_or(self.memory, |peak| peak + self.later);
        bar.suspend(|| self.say(now + rest * (now - from) / since as f64, memory));
    }

    /// Says it, of a long run, whose trials take so many seconds.
    fn say(&self, seconds: f64, memory: u128) {
        let seconds = seconds + self.behind;
        if seconds < LONG {
            return;
        }
        let time = words(seconds);
        let (memory, threads) = (number::bytes(memory), self.threads);
        let plural = if threads == 1 { "" } else { "s" };
        note(&format!("this will take about {time} and up to {memory} on {threads} thread{plural}"));
    }
}

/// Watches what follows the trials, such as theory or the spectra of Jacobians, and says once what all of it will take.
pub struct Ahead {
    /// As users read it.
    what: &'static str,
    /// All of them, and as many as run side by side.
    units: (u64, u64),
    started: Instant,
    done: AtomicU64,
    silent: AtomicBool,
}

impl Ahead {
    /// So many units of what is done, of which so many run side by side, where the user wants to hear of them.
    pub fn begin(what: &'static str, units: (u64, u64), output: &OutputOptions) -> Self {
        Self {
            what,
            units,
            started: Instant::now(),
            done: AtomicU64::new(0),
            silent: AtomicBool::new(!output.speaks()),
        }
    }

    /// Says it at once, as predicted, where no round is over before all is done.
    pub fn predict(&self, seconds: impl FnOnce() -> f64) {
        if self.units.0 <= self.units.1 && !self.silent.swap(true, Ordering::Relaxed) {
            self.say(seconds());
        }
    }

    fn say(&self, seconds: f64) {
        if seconds >= LONG {
            note(&format!("{}: this will take about {}", self.what, words(seconds)));
        }
    }

    /// More of them are done.
    pub fn advance(&self, units: u64, bar: &ProgressBar) {
        let done = self.done.fetch_add(units, Ordering::Relaxed) + units;
        bar.inc(units);
        let (all, round) = self.units;
        if !(round..all).contains(&done) || self.silent.swap(true, Ordering::Relaxed) {
            return;
        }
        let seconds = self.started.elapsed().as_secs_f64() * all as f64 / done as f64;
        bar.suspend(|| self.say(seconds));
    }
}

/// `40 seconds` or `3 minutes`.
fn words(seconds: f64) -> String {
    // Minutes are whole: too coarse for two of them.
    match seconds {
        few if few < 150.0 => format!("{few:.0} seconds"),
        many => HumanDuration(Duration::from_secs_f64(many.min(1e15))).to_string(),
    }
}

/// Trials of all cells.
fn jobs(plan: &Plan) -> u64 {
    (plan.cells.len() * plan.experiment.trials).max(1) as u64
}

/// Trials of a round, which tells of the rounds behind it: cells take turns, and each may take its own time.
fn round(plan: &Plan, threads: usize) -> u64 {
    threads.max(plan.cells.len()).max(1) as u64
}

/// Most bytes that the process has had at once.
fn peak() -> Option<u128> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u128>().ok().map(|kibibytes| kibibytes << 10)
}
