//! What theory expects of a cell's trials, from the plan alone.

use super::input::{Input, InputStatistics, moments_between};
use super::plan::{CellPlan, LayerPlan, Plan};
use crate::expectation::field::WeightMoments;
use crate::result::{Layer, Theory};
use crate::spec::Loss;
use crate::theory::prediction::{Expected, Level, Prediction, Setting, predict};

/// Layers whose moments are integrated; those that a fixed point or a scale makes alike count once.
const EFFORT: usize = 2048;
/// Spread of the samples' squared norms, relative to their mean, beyond which they are not alike.
const ALIKE: f64 = 0.02;

/// A cell's prediction, and how far it may be held against a measurement.
pub struct Expectation {
    /// Layer by layer.
    pub prediction: Prediction,
    /// Samples of the input have nearly one length, as the theory takes them to have.
    pub alike: bool,
    /// The gradient starts from an independent N(0, 1) read-out; of another loss only its course is predicted.
    pub read_out: bool,
}

/// `None` where theory has no say: weights that are neither independent nor rotation-invariant.
pub fn expectation(plan: &Plan, cell: &CellPlan, entrance: &InputStatistics) -> Option<Expectation> {
    if !cell.is_stack {
        return None;
    }
    let laws: Option<Vec<WeightMoments>> = cell.layers.iter().map(LayerPlan::moments).collect();
    let setting = setting(&plan.inputs.common, entrance, plan.experiment.batch, cell.layers[0].fan_in);
    Some(Expectation {
        prediction: predict(plan.act(cell), &laws?, &setting, EFFORT),
        alike: entrance.spread <= ALIKE * ALIKE,
        read_out: plan.experiment.loss == Loss::Random,
    })
}

/// What enters layer 1, and how batches of it scatter.
fn setting(input: &Input, entrance: &InputStatistics, batch: usize, width: usize) -> Setting {
    let normal = Setting { entering: entrance.moments, ..Setting::normal(batch, width) };
    let (samples, n) = (batch as f64, width as f64);
    match input {
        Input::Normal => normal,
        // E u⁴ = 9/5, so a square scatters by 4/5 and not by 2.
        Input::Uniform => Setting { input_scatter: 0.8 / (n * samples), ..normal },
        Input::Between { low, high } => {
            let [mean, square, third, fourth] = moments_between(*low, *high);
            let c = mean * mean / square;
            // The cosine to first order in 1/n: uv − c/2·(u² + v²) over E u², of independent entries u and v.
            let product = square * square - 2.0 * c * mean * third + c * c / 2.0 * (fourth + square * square);
            Setting {
                input_scatter: (fourth / (square * square) - 1.0) / (n * samples),
                cosine_scatter: product / (square * square) / n,
                ..normal
            }
        }
        // They enter networks alone, which no theory here follows.
        Input::Tokens(_) => normal,
        Input::Correlated(c) => Setting {
            input_scatter: 2.0 / n * (1.0 / samples + (1.0 - 1.0 / samples) * c * c),
            cosine_scatter: (1.0 - c * c).powi(2) / n,
            ..normal
        },
        Input::Data(data) => {
            // Batches of other samples, drawn without replacement.
            let others = 1.0 - (samples - 1.0) / (data.ncols() as f64 - 1.0).max(1.0);
            Setting {
                input_scatter: entrance.spread / samples * others.max(0.0),
                cosine_scatter: 0.0,
                ..normal
            }
        }
    }
}

/// Part of trials that a band holds: between the quantiles that are measured.
const COVERAGE: f64 = 0.9;
/// Part of a band by which a median lies beside its middle and is said.
const SKEWED: f64 = 0.005;

impl Expectation {
    /// What is expected at each layer, as reports show it; fewer than there are layers where theory ends. Of a loss that is no
    /// random read-out the gradients are set to start where they were measured to.
    pub fn theory(&self, measured: &[Layer]) -> Vec<Theory> {
        let layers = &self.prediction.layers;
        let last = measured.len() - 1;
        let start = measured[last].gradient.log10_variance.log10_of_mean;
        let shift = match layers.get(last).and_then(|e| e.gradient.variance.as_ref()) {
            _ if self.read_out => Some(0.0),
            Some(predicted) => start.map(|start| start - predicted.log10_mean),
            None => None,
        };
        let of = |expected: &Expected| {
            let moved = |level: &Option<Level>| {
                let moved = |(l, shift): (Level, f64)| Level { log10_mean: l.log10_mean + shift, ..l };
                level.clone().zip(shift).map(moved)
            };
            let band = |level: &Option<Level>| level.as_ref().and_then(|l| l.band(COVERAGE));
            // Where the median is the band's middle, it is not said.
            let median = |level: &Option<Level>, band: Option<[Option<f64>; 2]>| {
                let (median, [low, high]) = (level.as_ref()?.log10_median()?, band?);
                let away = |(low, high): (f64, f64)| {
                    (median - f64::midpoint(low, high)).abs() > SKEWED * (high - low)
                };
                low.zip(high).is_none_or(away).then_some(median)
            };
            let mean = |level: &Option<Level>| level.as_ref().map(|l| l.log10_mean);
            let (z, h) = (&expected.preactivation.variance, &expected.activation.variance);
            let (d, w) = (moved(&expected.gradient.variance), moved(&expected.weight_gradient.second_moment));
            let bands = [band(z), band(h), band(&d), band(&w)];
            Theory {
                preactivation_log10_variance: mean(z),
                activation_log10_variance: mean(h),
                gradient_log10_variance: mean(&d),
                weight_gradient_log10_second_moment: mean(&w),
                correlation: expected.correlation.is_finite().then_some(expected.correlation),
                band: bands[1],
                preactivation_band: bands[0],
                gradient_band: bands[2],
                weight_gradient_band: bands[3],
                median: median(h, bands[1]),
                preactivation_median: median(z, bands[0]),
                gradient_median: median(&d, bands[2]),
                weight_gradient_median: median(&w, bands[3]),
            }
        };
        layers.iter().map(of).collect()
    }
}
