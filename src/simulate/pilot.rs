//! What a long run takes, said beforehand: the predicted work at the rates of this machine, corrected by how far the prediction
//! misses on a small part of the same work. Nothing else depends on it.

use super::rates::Rates;
use super::{Control, Plan, record};
use crate::spec::{Experiment, Precision};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Part of the predicted time that a round of a pilot may take, and its bounds in seconds.
const PART: f64 = 0.01;
const BUDGET: [f64; 2] = [0.1, 2.0];
/// Rounds beside the first that are timed together, where they are short.
const FURTHER: usize = 3;
/// Part of a pilot's round that is no spectra at least.
const LEAST: f64 = 0.1;
/// Half the batch must take no more than this part of the time, or it is not the batch that takes it.
const WORTH: f64 = 0.75;
/// A stack's pilot has no fewer layers while it can have fewer samples, of which it has no fewer either.
const FEWEST: (usize, usize) = (8, 4);
/// Samples of a network's pilot at least.
const FEWEST_OF_NET: usize = 2;

/// Seconds of all trials on so many cores at these rates; `stop` ends the pilot as it ends a run.
///
/// Further rounds of trials tell what each of them takes: the first also fetches memory, and is the one whose spectra are
/// computed.
pub fn seconds(plan: &Plan, cores: usize, rates: Rates, stop: &AtomicBool) -> f64 {
    let seconds = |plan: &Plan, trials: usize| plan.seconds(trials, cores, rates);
    let said = seconds(plan, plan.experiment.trials);
    let budget = (PART * said).clamp(BUDGET[0], BUDGET[1]);
    let Some(small) = pilot(plan, cores, budget, seconds) else { return said };
    let (side_by_side, expected) = (small.experiment.trials, seconds(&small, small.experiment.trials));
    let control = Control { threads: cores, stop, progress: &|_| (), trace: false };
    let measured = |trials: usize| {
        let plan = plan.part(&Experiment { trials, ..small.experiment.clone() }, cores).ok()?;
        let start = Instant::now();
        record(&plan, &control).ok().map(|_| start.elapsed().as_secs_f64())
    };
    // Once for what a process does but once, which is of no length beside a long round.
    let Some(first) = measured(side_by_side) else { return said };
    let again = if first > 4.0 * budget { Some(first) } else { measured(side_by_side) };
    let Some(one) = again else { return said };
    if expected <= 0.0 {
        return said;
    }
    let rounds = plan.experiment.trials.div_ceil(side_by_side) as f64;
    // A round of the run beside one of the pilot, by the prediction of both; and the spectra that the first round alone has.
    let a_round = |of: &Plan| of.seconds_further(side_by_side, cores, rates);
    let once = |of: &Plan| (seconds(of, side_by_side) - a_round(of)).max(0.0);
    let scale = a_round(plan) / a_round(&small);
    let several = if one > budget || rounds < 2.0 { None } else { measured((1 + FURTHER) * side_by_side) };
    let further = match several {
        Some(several) => (several - one) / FURTHER as f64,
        None => (one - once(&small)).max(LEAST * one),
    };
    if further <= 0.0 || !scale.is_finite() {
        return said * one / expected;
    }
    // What else a process does but once is of no length.
    scale * rounds * further + once(plan) + (one - further - once(&small)).max(0.0)
}

/// The same experiment with as few trials, layers and samples as the budget asks for; `None` where that is still too much.
fn pilot(plan: &Plan, cores: usize, budget: f64, predicted: impl Fn(&Plan, usize) -> f64) -> Option<Plan> {
    let trials = plan.experiment.trials.min(cores.max(1));
    let precision = match plan.experiment.precision {
        Precision::Auto => Precision::Single,
        asked => asked,
    };
    let base = Experiment { trials, precision, more_widths: Vec::new(), ..plan.experiment.clone() };
    let to_depth = |small: &Experiment, depth: usize| {
        let widths = small.widths.iter().copied().take(depth + 1).collect();
        Experiment { depth, widths, ..small.clone() }
    };
    let part = |experiment: &Experiment| plan.part(experiment, cores);
    let is_stack = base.net.is_none();
    let fewest = if is_stack { FEWEST.1 } else { FEWEST_OF_NET };
    // A plan of very many layers is not made once more: its time goes with its layers.
    let seconds = predicted(plan, trials);
    let mut small = match (budget / seconds * base.depth as f64) as usize {
        depth if is_stack && depth < base.depth && base.depth > FEWEST.0 => {
            part(&to_depth(&base, depth.max(FEWEST.0)))
        }
        _ => part(&base),
    }
    .ok()?;
    loop {
        let seconds = predicted(&small, small.experiment.trials);
        if seconds <= budget {
            return Some(small);
        }
        let e = &small.experiment;
        if is_stack && e.depth >= 2 * FEWEST.0 {
            small = part(&to_depth(e, e.depth / 2)).ok()?;
            continue;
        }
        let fewer = Experiment { batch: e.batch / 2, ..e.clone() };
        let worth = |fewer: &Plan| predicted(fewer, e.trials) < WORTH * seconds;
        let fewer = if e.batch >= 2 * fewest { part(&fewer).ok().filter(worth) } else { None };
        small = match fewer {
            Some(fewer) => fewer,
            None if is_stack && e.depth >= 4 => part(&to_depth(e, e.depth / 2)).ok()?,
            None if seconds <= 12.0 * budget => return Some(small),
            None if e.trials > 1 => part(&Experiment { trials: 1, ..e.clone() }).ok()?,
            // A layer of a billion units is not tried out.
            None => return None,
        };
    }
}
