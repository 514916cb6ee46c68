//! All runs of a training, beside each other where there are as many as threads.

use super::learner::Learner;
use super::outcome::{SCHEMA, Trained, TrainedCell, TrainedRun, TrainingSummary};
use super::{Plan, Set, State, TrainedParameters};
use rayon::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a training goes along.
pub struct Control<'a> {
    /// Worker threads.
    pub threads: usize,
    /// Set from outside to end it after the current steps.
    pub stop: &'a AtomicBool,
    /// Called with steps that were taken.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Called with a run's number whenever it may be worth keeping: after an epoch, and then with `true`, for the last time, at its
    /// end or when it is stopped.
    pub keep: &'a (dyn Fn(usize, &State, &TrainedParameters, bool) + Sync),
}

/// Where a run was left.
pub type Saved = Option<(State, TrainedParameters)>;

/// Trains every cell with every seed, from its start or from where `saved` (one a run, cells outermost) left it.
///
/// # Errors
/// When no threads can be had.
pub fn run(plan: &Plan, set: &Set, saved: Vec<Saved>, control: &Control) -> Result<Trained, String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build();
    let pool = pool.map_err(|fault| fault.to_string())?;
    let seeds = plan.training.seeds;
    let count = plan.cells.len() * seeds;
    let mut saved = saved;
    saved.resize_with(count, || None);
    let alone = count < control.threads || count == 1;
    let saved: Vec<Mutex<Saved>> = saved.into_iter().map(Mutex::new).collect();
    let one = |number: usize| {
        let begun = saved[number].lock().map_or(None, |mut saved| saved.take());
        let (cell, seed) = (&plan.cells[number / seeds], number % seeds);
        if begun.is_none() && control.stop.load(Ordering::Relaxed) {
            return TrainedRun::new(seed, State::default());
        }
        let mut learner = Learner::new(plan, set, (cell, seed), alone, begun);
        (control.progress)(learner.state.step);
        while !learner.is_done() {
            if control.stop.load(Ordering::Relaxed) {
                break;
            }
            let epochs = learner.state.epochs.len();
            learner.step();
            (control.progress)(1);
            if learner.state.epochs.len() > epochs && !learner.is_done() {
                (control.keep)(number, &learner.state, &learner.weights, false);
            }
        }
        (control.keep)(number, &learner.state, &learner.weights, true);
        // What a diverged run left out.
        if learner.state.diverged.is_some() {
            (control.progress)(plan.steps().saturating_sub(learner.state.step + 1));
        }
        TrainedRun::new(seed, learner.state)
    };
    let mut runs: Vec<TrainedRun> = pool.install(|| match alone {
        true => (0..count).map(one).collect(),
        // One at a time from the list, in order: runs end beside each other.
        false => (0..count).into_par_iter().with_max_len(1).map(one).collect(),
    });
    let complete = |run: &TrainedRun| run.diverged.is_some() || run.steps == plan.steps();
    let interrupted = !runs.iter().all(complete);
    let chance = chance(set);
    let mut cells = Vec::with_capacity(plan.cells.len());
    for cell in plan.cells.iter().rev() {
        let own = runs.split_off(runs.len() - seeds);
        cells.push(TrainedCell {
            init: cell.init.clone(),
            act: cell.act.clone(),
            optimizer: cell.optimizer.clone(),
            lr: cell.rate,
            weight_decay: cell.decay,
            summary: TrainingSummary::of(&own, plan.steps(), plan.training.target, (chance, set.test.len())),
            layers: cell.net.entries.iter().map(|e| e.path.clone()).collect(),
            runs: own,
        });
    }
    cells.reverse();
    Ok(Trained {
        schema: SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        spec: plan.training.clone(),
        steps_per_epoch: plan.epoch(),
        chance,
        cells,
        interrupted,
    })
}

/// Share of the most frequent class of the test samples.
fn chance(set: &Set) -> f64 {
    let mut counts = std::collections::BTreeMap::new();
    set.test.labels.iter().for_each(|label| *counts.entry(label).or_insert(0usize) += 1);
    counts.values().copied().max().unwrap_or(0) as f64 / set.test.len().max(1) as f64
}
