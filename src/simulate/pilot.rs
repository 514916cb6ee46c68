//! What a long run takes, said beforehand: the predicted work at the rates of this machine, corrected by how far the prediction
//! misses on a small part of the same work. Nothing else depends on it.

use super::rates::Rates;
use super::{Control, Input, Plan, record};
use crate::spec::{Experiment, Precision};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Part of the predicted time that a round of a pilot may take, and its bounds in seconds.
const PART: f64 = 0.01;
const BUDGET: [f64; 2] = [0.1, 2.0];
/// Rounds beside the first that are timed together, where they are short.
const FURTHER: usize = 3;
/// Half the batch must take no more than this part of the time, or it is not the batch that takes it.
const WORTH: f64 = 0.75;
/// A stack's pilot has no fewer layers while it can have fewer samples, of which it has no fewer either.
const FEWEST: (usize, usize) = (8, 4);
/// Samples of a network's pilot at least.
const FEWEST_OF_NET: usize = 2;

/// Seconds of the whole run on so many cores at these rates; `stop` ends the pilot as it ends a run.
///
/// Further rounds of trials tell what each of them takes: the first also fetches memory, and is the one whose spectra are
/// computed.
pub fn seconds(plan: &Plan, cores: usize, rates: Rates, stop: &AtomicBool) -> f64 {
    let said = plan.seconds(cores, rates);
    let predicted = |experiment: &Experiment| {
        Plan::new(experiment, Input::Normal).ok().map(|plan| plan.seconds(cores, rates))
    };
    let budget = (PART * said).clamp(BUDGET[0], BUDGET[1]);
    let Some((small, expected)) = pilot(plan, cores, budget, predicted) else { return said };
    let control = Control { threads: cores, stop, progress: &|_| (), trace: false };
    let measured = |experiment: &Experiment| {
        let plan = Plan::new(experiment, Input::Normal).ok()?;
        let start = Instant::now();
        record(&plan, &control).ok().map(|_| start.elapsed().as_secs_f64())
    };
    // Once for what a process does but once, which is of no length beside a long round.
    let Some(first) = measured(&small) else { return said };
    let again = if first > 4.0 * budget { Some(first) } else { measured(&small) };
    let Some(one) = again else { return said };
    if expected <= 0.0 {
        return said;
    }
    let rounds = plan.experiment.trials.div_ceil(small.trials) as f64;
    let more = Experiment { trials: (1 + FURTHER) * small.trials, ..small.clone() };
    let further = match one {
        one if one > budget => Some(one),
        _ if rounds < 2.0 => None,
        one => measured(&more).map(|all| (all - one) / FURTHER as f64),
    };
    // A round of the run beside one of the pilot, by the prediction of both.
    let a_round = |of: &Experiment| {
        let trials = |trials: usize| predicted(&Experiment { trials, input: "normal".into(), ..of.clone() });
        Some(trials(2 * small.trials)? - trials(small.trials)?)
    };
    let scale = a_round(&plan.experiment).zip(a_round(&small)).map(|(run, pilot)| run / pilot);
    match further.filter(|further| *further > 0.0).zip(scale.filter(|scale| scale.is_finite())) {
        // What a process does but once is of no length.
        Some((further, scale)) => scale * rounds * further + (one - further).max(0.0),
        None => said * one / expected,
    }
}

/// The same experiment with as few trials, layers and samples as the budget asks for, and its predicted seconds; `None` where
/// that is still too much.
fn pilot(
    plan: &Plan,
    cores: usize,
    budget: f64,
    predicted: impl Fn(&Experiment) -> Option<f64>,
) -> Option<(Experiment, f64)> {
    let mut small = Experiment {
        trials: plan.experiment.trials.min(cores.max(1)),
        more_widths: Vec::new(),
        input: "normal".into(),
        ..plan.experiment.clone()
    };
    if small.precision == Precision::Auto {
        small.precision = Precision::Single;
    }
    loop {
        let seconds = predicted(&small)?;
        if seconds <= budget {
            return Some((small, seconds));
        }
        let shallower = || {
            let mut other = small.clone();
            other.depth /= 2;
            other.widths.truncate(other.depth + 1);
            other
        };
        let fewest = if small.net.is_some() { FEWEST_OF_NET } else { FEWEST.1 };
        let fewer = Experiment { batch: small.batch / 2, ..small.clone() };
        if small.net.is_none() && small.depth >= 2 * FEWEST.0 {
            small = shallower();
        } else if small.batch >= 2 * fewest && predicted(&fewer)? < WORTH * seconds {
            small = fewer;
        } else if small.net.is_none() && small.depth >= 4 {
            small = shallower();
        } else if seconds <= 12.0 * budget {
            return Some((small, seconds));
        } else if small.trials > 1 {
            small.trials = 1;
        } else {
            // A layer of a billion units is not tried out.
            return None;
        }
    }
}
