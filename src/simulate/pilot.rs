//! What a long run takes, said beforehand: the predicted work at the rates of this machine, corrected by how far the prediction
//! misses on a small part of the same work. Nothing else depends on it.

use super::rates::Rates;
use super::{Control, Input, Plan, record};
use crate::spec::{Experiment, Precision};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Predicted seconds that a pilot may take.
const BUDGET: f64 = 0.3;
/// A stack's pilot has no fewer layers, and a batch no fewer samples.
const FEWEST: (usize, usize) = (8, 4);

/// Seconds of the whole run on so many cores at these rates; `stop` ends the pilot as it ends a run.
pub fn seconds(plan: &Plan, cores: usize, rates: Rates, stop: &AtomicBool) -> f64 {
    let said = plan.seconds(cores, rates);
    let Some((pilot, expected)) = pilot(plan, cores, rates) else { return said };
    let control = Control { threads: cores, stop, progress: &|_| (), trace: false };
    // Twice: the first fetches memory that a long run fetches once.
    let once = || {
        let start = Instant::now();
        record(&pilot, &control).ok().map(|_| start.elapsed().as_secs_f64())
    };
    let (Some(first), Some(second)) = (once(), once()) else { return said };
    if expected > 0.0 { said * first.min(second) / expected } else { said }
}

/// The same experiment with as few trials, layers and samples as the budget asks for, and its predicted seconds; `None` where that is still too much.
fn pilot(plan: &Plan, cores: usize, rates: Rates) -> Option<(Plan, f64)> {
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
        let pilot = Plan::new(&small, Input::Normal).ok()?;
        let seconds = pilot.seconds(cores, rates);
        if seconds <= BUDGET {
            return Some((pilot, seconds));
        }
        if small.net.is_none() && small.depth >= 2 * FEWEST.0 {
            small.depth /= 2;
            small.widths.truncate(small.depth + 1);
        } else if small.batch >= 2 * FEWEST.1 {
            small.batch /= 2;
        } else if small.trials > 1 {
            small.trials = 1;
        } else {
            // A layer of a billion units is not tried out.
            return (seconds <= 4.0 * BUDGET).then_some((pilot, seconds));
        }
    }
}
