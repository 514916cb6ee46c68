//! One layer of a result: four summaries over trials, what is one number a layer, and what theory expects.

use super::{EngineUsed, Exactness, Quantity, Rounding};
use serde::{Deserialize, Serialize};

/// What was recorded at a layer, over all trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Layer {
    /// 1-based.
    pub layer: usize,
    /// Path within a network, such as `block3/conv1`; a plain stack has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `linear`, with the activation behind it; in a network also `conv2d`, `residual` (the sum) and others.
    pub kind: String,
    /// What a layer of a network is for, such as `stream`, `query`, `down` or `head`; within other blocks its name there, such as
    /// `conv2`. A plain stack, and files of earlier versions, have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Columns of W; of a convolution, input channels of a group times taps.
    pub fan_in: usize,
    /// Rows of W; units. Of a convolution, channels times taps, as initializers count.
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
    /// The weights as their law has them; `None` where there are none of its own, or where a batch sets their scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<WeightSize>,
    /// log₁₀ of ‖∂C/∂W‖/‖W‖ in Frobenius norms, with ‖W‖ as the law has it: times the learning rate, the share of the weights that a step
    /// of SGD changes. Adam's step does not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_gradient: Option<Quantiles>,
    /// It stands within a residual branch: not every signal passes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub branch: bool,
    /// Medians over trials. Units with φ′ = 0 on the whole batch.
    pub dead_fraction: f64,
    /// Entries with |φ′| below 1 % of its maximum; `None` when φ′ is unbounded.
    pub saturated_fraction: Option<f64>,
    /// Mean cosine between pairs of samples; `None` for a single sample or a zero signal.
    pub correlation: Option<f64>,
    /// exp(entropy) of the Gram matrix' normalized eigenvalues; `None` for a zero signal.
    pub effective_rank: Option<f64>,
    /// Largest difference between two units, relative to the largest entry; 0: units are identical.
    pub unit_symmetry: Option<f64>,
    /// Mean cosine between the positions of one sample; `None` where a sample has one position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_correlation: Option<f64>,
    /// What the numbers were computed in.
    #[serde(default)]
    pub rounding: Rounding,
    /// How products with the weights were drawn; `None` for a layer without weights, and in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawing: Option<Drawing>,
    /// What wide-layer theory expects here; `None` where it has no say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theory: Option<Theory>,
}

/// How products with a layer's weights were drawn, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Drawing {
    /// Every weight, or the products alone.
    pub engine: EngineUsed,
    /// Whether the products have the law that was asked for.
    pub law: Exactness,
    /// Why, in words.
    pub reason: String,
}

/// What theory expects at a layer (Poole et al. 2016, Schoenholz et al. 2017), from the laws alone: log₁₀ of means over trials,
/// and the bands that hold the middle 90 % of trials at the layers' own widths. `None` for an exact zero, also as the end of a
/// band, and where theory ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Theory {
    /// log₁₀ of the variance of the pre-activations Z.
    pub preactivation_log10_variance: Option<f64>,
    /// log₁₀ of the variance of the activations H.
    pub activation_log10_variance: Option<f64>,
    /// log₁₀ of the variance of the gradient ∂C/∂Z.
    pub gradient_log10_variance: Option<f64>,
    /// log₁₀ of the second moment of the weight gradient ∂C/∂W.
    pub weight_gradient_log10_second_moment: Option<f64>,
    /// Cosine between two samples' pre-activations.
    pub correlation: Option<f64>,
    /// Band of the variance of H.
    pub band: Option<[Option<f64>; 2]>,
    /// Band of the variance of Z.
    pub preactivation_band: Option<[Option<f64>; 2]>,
    /// Band of the variance of ∂C/∂Z.
    pub gradient_band: Option<[Option<f64>; 2]>,
    /// Band of the second moment of ∂C/∂W.
    pub weight_gradient_band: Option<[Option<f64>; 2]>,
    /// Median of the variance of H over trials; as the others, absent where it is the middle of its band.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// Median of the variance of Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preactivation_median: Option<f64>,
    /// Median of the variance of ∂C/∂Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_median: Option<f64>,
    /// Median of the second moment of ∂C/∂W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_gradient_median: Option<f64>,
}

/// The size of a weight matrix under its law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightSize {
    /// n·Var(W), n the fan-in.
    pub n_var: f64,
    /// Root of the mean of ‖W‖² in the Frobenius norm.
    pub norm: f64,
}

impl WeightSize {
    /// log₁₀ of ‖∂C/∂W‖/‖W‖ from log₁₀ of the mean square of so many entries of ∂C/∂W; `None` of weights that are zero.
    pub fn relative(self, gradient: &Quantiles, entries: f64) -> Option<Quantiles> {
        let shift = 0.5 * entries.log10() - self.norm.log10();
        let of = |log10: Option<f64>| log10.map(|x| 0.5 * x + shift);
        (self.norm > 0.0).then(|| Quantiles {
            median: of(gradient.median),
            q05: of(gradient.q05),
            q25: of(gradient.q25),
            q75: of(gradient.q75),
            q95: of(gradient.q95),
            log10_of_mean: of(gradient.log10_of_mean),
        })
    }
}

impl Layer {
    /// `layer 7`, or the path in a network.
    pub fn name(&self) -> String {
        self.path.clone().unwrap_or_else(|| format!("layer {}", self.layer))
    }

    /// A sum of branches, which has no weights.
    pub fn is_sum(&self) -> bool {
        matches!(self.kind.as_str(), "residual" | "add")
    }

    /// A norm, which nobody judges.
    pub fn is_norm(&self) -> bool {
        self.role.as_deref() == Some(super::role::NORM)
    }

    /// Units, or channels of a convolution.
    pub fn units(&self) -> usize {
        self.units.unwrap_or(self.fan_out)
    }
}

/// One quantity at one layer, over all trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Mean entry, averaged over trials; `None` when it is beyond the range of a double.
    pub mean: Option<f64>,
    /// Population variance over all entries.
    pub log10_variance: Quantiles,
    /// Mean square over all entries.
    pub log10_second_moment: Quantiles,
    /// Trials whose variance is exactly zero.
    pub zero_trials: usize,
    /// Trials in which rounding hides it even in double precision; no value is given for them.
    #[serde(default, skip_serializing_if = "none")]
    pub below_trials: usize,
    /// log₁₀ of the second moment below which rounding hides it, the median over those trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
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

impl Summary {
    /// Quantiles of log₁₀ of the variance, or of the second moment, in which a squared norm is counted too.
    pub fn log10(&self, of: Quantity) -> &Quantiles {
        match of {
            Quantity::Variance => &self.log10_variance,
            Quantity::SecondMoment | Quantity::SquaredNorm | Quantity::RelativeGradient => {
                &self.log10_second_moment
            }
        }
    }
}

fn none(count: &usize) -> bool {
    *count == 0
}

/// Quantiles over trials; `None` stands for log₁₀ of an exact zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Spread {
    /// Mean and spread of log₁₀ of the variance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log10_variance: Option<Sample>,
    /// Mean and spread of log₁₀ of the second moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log10_second_moment: Option<Sample>,
    /// Mean and spread of the change of log₁₀ of the variance from the layer before in the direction of flow, within a trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_log10_variance: Option<Sample>,
    /// Mean and spread of the change of log₁₀ of the second moment from the layer before, within a trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_log10_second_moment: Option<Sample>,
}

/// Mean and spread of independent values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Trace {
    /// Mean entry; `None` beyond the range of a double.
    pub mean: Option<f64>,
    /// `None` for an exact zero.
    pub log10_variance: Option<f64>,
    /// `None` for an exact zero.
    pub log10_second_moment: Option<f64>,
}

#[cfg(test)]
pub mod tests {
    use super::super::{Cell, Direction, EngineUsed, Exactness, Quantity, Severity, Verdict};
    use super::*;

    /// A summary whose quantiles are all `median`, but for q05 and q95.
    pub fn summary(median: Option<f64>, q05: Option<f64>) -> Summary {
        let quantiles = Quantiles {
            median,
            q05,
            q25: median,
            q75: median,
            q95: median.map(|m| m + 1.0),
            log10_of_mean: median,
        };
        Summary {
            mean: Some(0.0),
            log10_variance: quantiles,
            log10_second_moment: quantiles,
            zero_trials: 0,
            beyond_trials: 0,
            below_trials: 0,
            floor: None,
            trials: None,
            spread: None,
        }
    }

    /// A linear layer of eight units, all of whose quantities are one.
    pub fn layer(number: usize) -> Layer {
        let one = || summary(Some(0.0), Some(0.0));
        Layer {
            layer: number,
            path: None,
            kind: "linear".into(),
            role: None,
            fan_in: 8,
            fan_out: 8,
            units: None,
            preactivation: one(),
            activation: one(),
            gradient: one(),
            weight_gradient: one(),
            weight: None,
            relative_gradient: None,
            branch: false,
            dead_fraction: 0.0,
            saturated_fraction: None,
            correlation: None,
            effective_rank: None,
            unit_symmetry: None,
            position_correlation: None,
            rounding: Rounding::Single,
            drawing: None,
            theory: None,
        }
    }

    /// A stable cell of these layers.
    pub fn cell(layers: Vec<Layer>) -> Cell {
        let direction = || Direction {
            quantity: Quantity::default(),
            log10_per_layer: None,
            ci95: None,
            log10_change: None,
            decisive: None,
            threshold: 1.0,
            verdict: Verdict::Stable,
            severity: Severity::None,
            judged: Vec::new(),
            budget: Vec::new(),
        };
        Cell {
            stack: None,
            init: "he-normal".into(),
            act: "relu".into(),
            engine: EngineUsed::Dense,
            engine_reason: String::new(),
            law: Exactness::Exact,
            trials: 10,
            layers,
            norms: Vec::new(),
            forward: direction(),
            backward: direction(),
            initial_loss: None,
            flags: Vec::new(),
            formats: Vec::new(),
            words: Vec::new(),
            jacobian: None,
            baseline: None,
        }
    }
}
