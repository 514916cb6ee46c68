//! The earlier run that a result was compared with (`--baseline`).

use super::{Kind, Quantity, Recorded};
use serde::{Deserialize, Serialize};

/// The earlier run that this one was compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Baseline {
    /// Where it was read from.
    pub file: String,
    /// Version of initdiag that wrote it.
    pub version: String,
    /// Its seed; the test takes trials of either run as independent, which is conservative where seeds are equal.
    pub seed: u64,
    /// Cells of this run that the baseline lacks, as `initializer × activation`.
    pub new: Vec<String>,
    /// Cells of the baseline that this run lacks.
    pub missing: Vec<String>,
}

/// One cell beside that of an earlier run, see [`crate::study::baseline`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The baseline's initializer, where it has another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// The baseline's trials.
    pub trials: usize,
    /// The two do not follow the same law: the flag [`super::Flag::Drift`].
    pub drift: bool,
    /// Chance that equal laws show a difference as clear as the clearest anywhere in the run; `None` when nothing could be
    /// tested.
    pub p: Option<f64>,
    /// What `p` is compared with: the chance of a false alarm a run.
    pub alpha: f64,
    /// Where the difference is clearest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clearest: Option<Difference>,
    /// Layers at which the quantity of `clearest` differs beyond chance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<usize>,
}

/// One quantity at one layer in two runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// 1-based.
    pub layer: usize,
    /// Which of the recorded arrays.
    pub quantity: Recorded,
    /// Variance or second moment.
    pub of: Quantity,
    /// What differs.
    pub kind: Kind,
    /// This run's mean over trials less the baseline's, in decades; `None` where one of them is zero.
    pub log10_ratio: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// Trials that are exactly zero, of this run and of the baseline; only where the kind is [`Kind::Zeros`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_trials: Option<[usize; 2]>,
    /// Corrected for every test of the run.
    pub p: f64,
}
