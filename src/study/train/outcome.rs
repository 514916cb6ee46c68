//! What a training came to: the one representation that every format renders. Schema `initdiag-train/1`.

use super::{State, Training};
use crate::law::named::named;
use serde::{Deserialize, Serialize};

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "initdiag-train/1";

/// All cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trained {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of initdiag that wrote it.
    pub version: String,
    /// What was asked.
    pub spec: Training,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Share of the most frequent class among the test samples: what a network reaches that snapshots at nothing.
    pub chance: f64,
    /// In the order of the plan.
    pub cells: Vec<TrainedCell>,
    /// Not all runs came to their end.
    pub interrupted: bool,
}

/// One combination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainedCell {
    /// Initializer.
    pub init: String,
    /// Activation.
    pub act: String,
    /// Rule.
    pub optimizer: String,
    /// Learning rate.
    pub lr: f64,
    /// Weight decay λ.
    pub weight_decay: f64,
    /// Over its runs.
    pub summary: TrainingSummary,
    /// Paths of the layers that snapshots are at.
    pub layers: Vec<String>,
    /// One a seed.
    pub runs: Vec<TrainedRun>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainedRun {
    /// Number of the run: its weights are those of the trial of this number.
    pub seed: usize,
    /// Steps taken.
    pub steps: u64,
    /// The step that led beyond all numbers.
    pub diverged: Option<u64>,
    /// Steps until the last thousand training samples, each seen before it was learnt from, met the target.
    pub steps_to_target: Option<u64>,
    /// Complete epochs.
    pub epochs: Vec<Epoch>,
    /// Curves of the training cost and accuracy.
    pub points: Vec<Point>,
    /// Layers at some steps.
    #[serde(alias = "looks")]
    pub snapshots: Vec<Snapshot>,
}

impl TrainedRun {
    /// The result of a run that came as far as this state.
    pub fn new(seed: usize, state: State) -> Self {
        Self {
            seed,
            steps: state.step,
            diverged: state.diverged,
            steps_to_target: state.reached,
            epochs: state.epochs,
            points: state.points,
            snapshots: state.snapshots,
        }
    }
}

/// A pass over the training samples, and the test behind it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Epoch {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean cost of the batches, each taken before its step.
    pub train_loss: f64,
    /// Mean accuracy of the batches, each taken before its step.
    pub train_accuracy: f64,
    /// `None` beyond single precision.
    pub test_loss: Option<f64>,
    /// Share of the test samples.
    pub test_accuracy: f64,
}

/// A stretch of steps up to this one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Point {
    /// The last of the stretch.
    pub step: u64,
    /// Mean cost over it.
    pub loss: f64,
    /// Share of hits over it.
    pub accuracy: f64,
}

/// The layers at a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Steps taken before.
    pub step: u64,
    /// The layers, first to last.
    pub layers: Vec<LayerSnapshot>,
}

/// log₁₀, `None` for zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerSnapshot {
    /// Variance of the activation.
    pub activation: Option<f64>,
    /// Mean square of ∂C/∂Z.
    pub gradient: Option<f64>,
    /// Mean square of ∂C/∂W.
    pub weight_gradient: Option<f64>,
}

/// Median and range over the runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spread {
    /// Middle value, or the mean of the two.
    pub median: f64,
    /// Least.
    pub least: f64,
    /// Largest.
    pub most: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median, least, most })
    }
}

/// A cell in some numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainingSummary {
    /// Test accuracy after the first epoch.
    pub first: Option<Spread>,
    /// Test accuracy at the end, of runs that got there.
    pub last: Option<Spread>,
    /// Steps to the target, of runs that reached it.
    pub steps_to_target: Option<Spread>,
    /// Runs that reached it.
    pub reached: usize,
    /// Runs that diverged.
    pub diverged: usize,
    /// Runs that came to their end, diverged ones among them.
    pub complete: usize,
    /// In a word.
    pub verdict: Verdict,
}

named! {
    /// Whether a cell's network learns.
    #[non_exhaustive]
    pub enum Verdict {
        /// Most runs met the target, or the median run ends there.
        Learns = "learns",
        /// The median run ends above chance, and below the target.
        AboveChance = "above-chance",
        /// The median run ends no better than the most frequent class.
        Chance = "chance",
        /// A run left the numbers.
        Diverged = "diverged",
        /// No run came to its end.
        Unfinished = "unfinished",
    }
}

impl TrainingSummary {
    /// Over runs of `steps` steps that are to reach the accuracy `target`; `chance` with the number of test samples.
    pub fn of(runs: &[TrainedRun], steps: u64, target: f64, (chance, samples): (f64, usize)) -> Self {
        // Beyond all numbers on the way, or in the test at its end.
        let left = |run: &TrainedRun| {
            run.diverged.is_some()
                || run.steps == steps && run.epochs.last().is_some_and(|epoch| epoch.test_loss.is_none())
        };
        let ended = |run: &&TrainedRun| !left(run) && run.steps == steps;
        let diverged = runs.iter().filter(|run| left(run)).count();
        let complete = diverged + runs.iter().filter(ended).count();
        let first = runs.iter().filter_map(|run| run.epochs.first()).map(|e| e.test_accuracy);
        let last = runs.iter().filter(ended).filter_map(|run| run.epochs.last()).map(|e| e.test_accuracy);
        let reached: Vec<f64> = runs.iter().filter_map(|run| run.steps_to_target).map(|s| s as f64).collect();
        let last = Spread::of(last.collect());
        // Three standard deviations of a share of so many samples.
        let above = chance + 3.0 * (chance * (1.0 - chance) / samples.max(1) as f64).sqrt();
        let verdict = match last {
            _ if diverged > 0 => Verdict::Diverged,
            None => Verdict::Unfinished,
            Some(last) if last.median <= above => Verdict::Chance,
            Some(last) if 2 * reached.len() <= runs.len() && last.median < target => Verdict::AboveChance,
            Some(_) => Verdict::Learns,
        };
        Self {
            first: Spread::of(first.collect()),
            last,
            reached: reached.len(),
            steps_to_target: Spread::of(reached),
            diverged,
            complete,
            verdict,
        }
    }
}
