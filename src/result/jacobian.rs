//! The spectrum of the input-output Jacobian, as `--jacobian` measures it.

use serde::{Deserialize, Serialize};

/// Singular values of J = ∂output/∂input of one sample, over trials: min(inputs, outputs) of them in each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jacobian {
    /// Columns of J: entries of a sample that comes in.
    pub inputs: usize,
    /// Rows of J: entries of a sample that comes out.
    pub outputs: usize,
    /// Where the numbers come from.
    pub method: JacobianMethod,
    /// Trials that were measured: draws of all weights, each at one sample.
    pub trials: usize,
    /// log₁₀ of the largest singular value.
    pub log10_largest: OverTrials,
    /// log₁₀ of the mean squared singular value.
    pub log10_mean_square: OverTrials,
    /// log₁₀ of its mean over trials, which theory predicts.
    pub log10_of_mean_square: Option<f64>,
    /// Variance of the squared singular values over their squared mean.
    pub relative_variance: OverTrials,
    /// log₁₀ of the singular values at equally spaced ranks, from the largest to the least, each the median over trials; `None`
    /// stands for zero, from which values below some 10⁻⁷ of the largest are not told. Empty where they are not all known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log10_singular_values: Vec<Option<f64>>,
    /// What theory expects; `None` where it has no say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theory: Option<JacobianTheory>,
}

/// How a [`Jacobian`] was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JacobianMethod {
    /// Every row of J by a backward pass, and all its singular values.
    Full,
    /// Mean square and relative variance by random read-outs, without bias; the largest by power iteration, from below.
    Estimated,
}

/// Median and the quantiles that hold the middle 90 % of trials; `None` stands for an exact zero, or for its logarithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OverTrials {
    /// 50 % quantile.
    pub median: Option<f64>,
    /// 5 % quantile.
    pub q05: Option<f64>,
    /// 95 % quantile.
    pub q95: Option<f64>,
}

/// Of a wide stack of square layers (Saxe et al. 2014; Pennington et al. 2017).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JacobianTheory {
    /// log₁₀ of the mean squared singular value.
    pub log10_mean_square: f64,
    /// Variance of the squared singular values over their squared mean.
    pub relative_variance: f64,
}
