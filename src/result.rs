//! The one representation of a result: what `--json` prints and every report renders (schema `initdiag/1`).

use crate::spec::Experiment;
use serde::{Deserialize, Serialize};

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "initdiag/1";

/// The result of a run: one cell for each initialiser × activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of initdiag that wrote it.
    pub version: String,
    /// Everything needed to run it again.
    pub spec: Experiment,
    /// In the order of the grid: initialisers, and activations within each.
    pub cells: Vec<Cell>,
    /// The run was stopped before its end; the cells hold what was complete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// With `--baseline`: the earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
}

/// The earlier run that this one was compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Where it was read from.
    pub file: String,
    /// Version of initdiag that wrote it.
    pub version: String,
    /// Its seed; the test takes trials of either run as independent, which is conservative where seeds are equal.
    pub seed: u64,
    /// Cells of this run that the baseline lacks, as `initialiser × activation`.
    pub new: Vec<String>,
    /// Cells of the baseline that this run lacks.
    pub missing: Vec<String>,
}

/// One cell beside that of an earlier run, see [`crate::study::baseline`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The baseline's initialiser, where it has another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// The baseline's trials.
    pub trials: usize,
    /// The two do not follow the same law: the flag `drift`.
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
pub struct Difference {
    /// 1-based.
    pub layer: usize,
    /// `preactivation`, `activation`, `gradient` or `weight_gradient`.
    pub quantity: String,
    /// Variance or second moment.
    pub of: Quantity,
    /// What differs.
    pub kind: Kind,
    /// This run's mean over trials less the baseline's, in decades; `None` where one of them is zero.
    pub log10_ratio: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// Of [`Kind::Zeros`]: trials that are zero, of this run and of the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_trials: Option<[usize; 2]>,
    /// Corrected for every test of the run.
    pub p: f64,
}

/// What a [`Difference`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The quantity at the layer.
    Level,
    /// Its change from the layer before in the direction of flow.
    Step,
    /// How many trials are exactly zero.
    Zeros,
}

/// One initialiser with one activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The initialiser by its full name, or the law as the user wrote it.
    pub init: String,
    /// The activation by its full name, or the expression as the user wrote it.
    pub act: String,
    /// How products with the weights were drawn: `dense` forms the matrix, `lazy` draws the products from their joint law.
    pub engine: String,
    /// Why that engine was taken.
    #[serde(default)]
    pub engine_reason: String,
    /// `exact`, or `asymptotic` where the engine draws from a limit law.
    pub law: String,
    /// Trials completed.
    pub trials: usize,
    /// First to last.
    pub layers: Vec<Layer>,
    /// Of the activations, first layer to last.
    pub forward: Direction,
    /// Of the gradients, last layer to first.
    pub backward: Direction,
    /// What else is wrong, see [`crate::diagnose::verdict`].
    pub flags: Vec<String>,
    /// Where number formats lose it, widest first.
    #[serde(default)]
    pub formats: Vec<FormatRange>,
    /// The verdict in words, with its cause; one sentence each.
    pub words: Vec<String>,
    /// With `--baseline`: this cell beside that of the earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Comparison>,
}

/// The layers at which the median root mean square leaves a format's normal range, in the direction of flow; `None` where it
/// never does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FormatRange {
    /// `f32`, `bf16`, `f16`, `fp8-e5m2` or `fp8-e4m3`.
    pub format: String,
    /// Of H.
    pub activation: Option<usize>,
    /// Of ∂C/∂Z, from the last layer down.
    pub gradient: Option<usize>,
    /// Of its square, which Adam keeps.
    pub squared_gradient: Option<usize>,
}

/// What was recorded at a layer, over all trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// 1-based.
    pub layer: usize,
    /// Of a layer of an architecture file, as in `block3/conv1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `linear`, with the activation behind it; in a network also `conv2d`, `residual` (the sum) and others.
    pub kind: String,
    /// Columns of W; of a convolution, input channels of a group times taps.
    pub fan_in: usize,
    /// Rows of W; units. Of a convolution, channels times taps, as initialisers count.
    pub fan_out: usize,
    /// Rows of what is recorded, where they are not `fan_out`: the channels of a convolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<usize>,
    /// Z = W·H + b.
    pub preactivation: Summary,
    /// H = φ(Z).
    pub activation: Summary,
    /// With respect to the pre-activation.
    pub gradient: Summary,
    /// With respect to the weights.
    pub weight_gradient: Summary,
    /// It stands within a residual branch: not every signal passes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub branch: bool,
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
    /// What wide-layer theory expects here; `None` where it has no say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theory: Option<Theory>,
}

/// What theory expects at a layer (Poole et al. 2016, Schoenholz et al. 2017), from the laws alone: log₁₀ of means over trials,
/// and the bands that hold the middle 90 % of trials at the layers' own widths. `None` for an exact zero, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Theory {
    /// Of Z.
    pub preactivation_log10_variance: Option<f64>,
    /// Of H.
    pub activation_log10_variance: Option<f64>,
    /// Of ∂C/∂Z.
    pub gradient_log10_variance: Option<f64>,
    /// Of ∂C/∂W.
    pub weight_gradient_log10_second_moment: Option<f64>,
    /// Cosine between two samples' pre-activations.
    pub correlation: Option<f64>,
    /// Of the variance of H.
    pub band: Option<[f64; 2]>,
    /// Of the variance of Z.
    pub preactivation_band: Option<[f64; 2]>,
    /// Of the variance of ∂C/∂Z.
    pub gradient_band: Option<[f64; 2]>,
    /// Of the second moment of ∂C/∂W.
    pub weight_gradient_band: Option<[f64; 2]>,
}

impl Layer {
    /// `layer 7`, or the path in a network.
    pub fn name(&self) -> String {
        self.path.clone().unwrap_or_else(|| format!("layer {}", self.layer))
    }

    /// Units, or channels of a convolution.
    pub fn units(&self) -> usize {
        self.units.unwrap_or(self.fan_out)
    }
}

/// One quantity at one layer, over all trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean entry, averaged over trials; `None` when it is beyond the range of a double.
    pub mean: Option<f64>,
    /// Population variance over all entries.
    pub log10_variance: Quantiles,
    /// Mean square over all entries.
    pub log10_second_moment: Quantiles,
    /// Trials whose variance is exactly zero.
    pub zero_trials: usize,
    /// Trials whose second moment is beyond 10^±3.4·10¹⁷; what is given for them is a bound.
    #[serde(default, skip_serializing_if = "none")]
    pub beyond_trials: usize,
    /// With `--trace`: each trial's values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials: Option<Vec<Trace>>,
    /// Means and standard deviations over trials, which a later run is tested against; files of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}

fn none(count: &usize) -> bool {
    *count == 0
}

/// Quantiles over trials; `None` stands for log₁₀ of an exact zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// 50 % quantile.
    pub median: Option<f64>,
    /// 5 % quantile.
    pub q05: Option<f64>,
    /// 25 % quantile.
    pub q25: Option<f64>,
    /// 75 % quantile.
    pub q75: Option<f64>,
    /// 95 % quantile.
    pub q95: Option<f64>,
    /// log₁₀ of the mean over trials, which theory predicts; the median is lower in deep narrow networks.
    pub log10_of_mean: Option<f64>,
}

/// How log₁₀ of one quantity at one layer spreads over trials; exact zeros are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Of log₁₀ of the variance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log10_variance: Option<Sample>,
    /// Of log₁₀ of the second moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log10_second_moment: Option<Sample>,
    /// Of the change of log₁₀ of the variance from the layer before in the direction of flow, within a trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_log10_variance: Option<Sample>,
    /// Of the change of log₁₀ of the second moment, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_log10_second_moment: Option<Sample>,
}

/// Mean and spread of independent values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation with divisor `count − 1`; 0 for a single value.
    pub sd: f64,
    /// Values.
    pub count: usize,
}

/// One trial's values of one quantity at one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Mean entry; `None` beyond the range of a double.
    pub mean: Option<f64>,
    /// `None` for an exact zero.
    pub log10_variance: Option<f64>,
    /// `None` for an exact zero.
    pub log10_second_moment: Option<f64>,
}

/// What happens to a signal through the whole stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// What is followed.
    #[serde(default)]
    pub quantity: Quantity,
    /// Robust slope of its median log₁₀ in the direction of flow, a layer; `None` with a `log10_change` of `None`.
    pub log10_per_layer: Option<f64>,
    /// Bootstrap interval over trials.
    pub ci95: Option<[f64; 2]>,
    /// Change of its median log₁₀ from the first layer to the last in the direction of flow, in decades; of a single
    /// layer's signal, from the input. `None` where it becomes zero or leaves the range of a [`crate::numeric::wide::Wide`].
    pub log10_change: Option<f64>,
    /// A change beyond ± this many decades is no chance and not small: the threshold asked for, and what the layers' widths
    /// leave to chance in so many trials.
    #[serde(default = "one_decade")]
    pub threshold: f64,
    /// What the change, or the slope times its steps where that is larger, amounts to.
    pub verdict: Verdict,
}

fn one_decade() -> f64 {
    1.0
}

/// What a [`Direction`] follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Population variance over all entries.
    #[default]
    Variance,
    /// Mean square over all entries: of a signal that has no variance, and of one layer against its input.
    SecondMoment,
    /// Squared norm of a sample: of a gradient through a network whose positions change, where the number of entries does.
    SquaredNorm,
}

/// What a stack does to a signal, judged by its change through all layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Within the threshold, ±1 decade by default.
    Stable,
    /// Smaller by more than the threshold, or zero.
    Vanishing,
    /// Larger by more than the threshold.
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
