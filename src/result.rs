//! The one representation of a result: what `--json` prints and every report renders (schema `initdiag/1`).

use crate::spec::Experiment;
use serde::{Deserialize, Serialize};

pub const SCHEMA: &str = "initdiag/1";

/// The result of a run: one cell for each initialiser × activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema: String,
    pub version: String,
    pub spec: Experiment,
    pub cells: Vec<Cell>,
    /// The run was stopped before its end; the cells hold what was complete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// One initialiser with one activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub init: String,
    pub act: String,
    pub engine: String,
    /// `exact`, or `asymptotic` where the engine draws from a limit law.
    pub law: String,
    /// Trials completed.
    pub trials: usize,
    pub layers: Vec<Layer>,
    pub forward: Direction,
    pub backward: Direction,
    pub flags: Vec<String>,
    /// The verdict in words, with its cause; one sentence each.
    pub words: Vec<String>,
}

/// What was recorded at a layer, over all trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// 1-based.
    pub layer: usize,
    pub kind: String,
    pub fan_in: usize,
    pub fan_out: usize,
    pub preactivation: Summary,
    pub activation: Summary,
    /// With respect to the pre-activation.
    pub gradient: Summary,
    /// With respect to the weights.
    pub weight_gradient: Summary,
    /// Medians over trials. Units with φ′ = 0 on the whole batch.
    pub dead_fraction: f64,
    /// Entries with |φ′| below 1 % of its maximum; `None` when φ′ is unbounded.
    pub saturated_fraction: Option<f64>,
    /// Mean cosine between pairs of samples; `None` for a single sample or a zero signal.
    pub correlation: Option<f64>,
    /// exp(entropy) of the Gram matrix' normalised eigenvalues; `None` for a zero signal.
    pub effective_rank: Option<f64>,
    /// Largest difference between two units, relative to the largest entry; 0: units are identical.
    pub unit_symmetry: Option<f64>,
}

/// One quantity at one layer, over all trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean entry, averaged over trials; `None` when it is beyond the range of a double.
    pub mean: Option<f64>,
    pub log10_variance: Quantiles,
    pub log10_second_moment: Quantiles,
    /// Trials whose variance is exactly zero.
    pub zero_trials: usize,
    /// With `--trace`: each trial's values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials: Option<Vec<Trace>>,
}

/// Quantiles over trials; `None` stands for log₁₀ of an exact zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub median: Option<f64>,
    pub q05: Option<f64>,
    pub q25: Option<f64>,
    pub q75: Option<f64>,
    pub q95: Option<f64>,
    pub log10_of_mean: Option<f64>,
}

/// One trial's values of one quantity at one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub mean: Option<f64>,
    pub log10_variance: Option<f64>,
    pub log10_second_moment: Option<f64>,
}

/// What happens to a signal through the whole stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// Robust slope of the median log₁₀ variance in the direction of flow, a layer.
    pub log10_per_layer: Option<f64>,
    /// Bootstrap interval over trials.
    pub ci95: Option<[f64; 2]>,
    /// Whole-stack change of the median log₁₀ variance, in decades.
    pub log10_change: Option<f64>,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Stable,
    Vanishing,
    Exploding,
}

impl Verdict {
    /// As it stands in JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Vanishing => "vanishing",
            Self::Exploding => "exploding",
        }
    }
}
