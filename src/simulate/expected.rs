//! What theory expects of a cell's trials, from the plan alone.

use super::input::Input;
use super::plan::{CellPlan, Plan};
use crate::result::{Layer, Theory};
use crate::spec::Loss;
use crate::theory::field::Weights;
use crate::theory::prediction::{Expected, Level, Prediction, Setting, predict};
use crate::theory::stack::Entering;

/// Layers whose moments are integrated; those that a fixed point or a scale makes alike count once.
const EFFORT: usize = 2048;
/// Samples of a data set whose cosines are averaged.
const PAIRED: usize = 256;
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
pub fn expectation(plan: &Plan, cell: &CellPlan) -> Option<Expectation> {
    if !cell.is_stack(plan.act(cell)) {
        return None;
    }
    let laws: Option<Vec<Weights>> =
        cell.layers.iter().map(|l| Weights::of(l.fan_in, l.fan_out, &l.weights, &l.bias)).collect();
    let (setting, alike) = setting(&plan.input, plan.experiment.batch, cell.layers[0].fan_in);
    Some(Expectation {
        prediction: predict(plan.act(cell), &laws?, &setting, EFFORT),
        alike,
        read_out: plan.experiment.loss == Loss::Random,
    })
}

/// What enters layer 1, and whether its samples are alike.
fn setting(input: &Input, batch: usize, width: usize) -> (Setting, bool) {
    let normal = Setting::normal(batch, width);
    let (samples, n) = (batch as f64, width as f64);
    let setting = match input {
        Input::Normal => normal,
        // E u⁴ = 9/5, so a square scatters by 4/5 and not by 2.
        Input::Uniform => Setting { input_scatter: 0.8 / (n * samples), ..normal },
        Input::Correlated(c) => Setting {
            entering: Entering { correlation: *c, ..Entering::NORMAL },
            input_scatter: 2.0 / n * (1.0 / samples + (1.0 - 1.0 / samples) * c * c),
            cosine_scatter: (1.0 - c * c).powi(2) / n,
            ..normal
        },
        Input::Data(data) => {
            let squares: Vec<f64> =
                data.column_iter().map(|x| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>()).collect();
            let count = squares.len().max(1) as f64;
            let mean = squares.iter().sum::<f64>() / count;
            let spread = squares.iter().map(|s| (s / mean - 1.0).powi(2)).sum::<f64>() / count;
            let entering = Entering {
                mean: data.iter().map(|v| f64::from(*v)).sum::<f64>() / (n * count),
                second_moment: mean / n,
                correlation: cosine(data, &squares),
            };
            // Batches of other samples, drawn without replacement.
            let others = 1.0 - (samples - 1.0) / (count - 1.0).max(1.0);
            let scattered = if mean > 0.0 { spread / samples * others.max(0.0) } else { 0.0 };
            let setting = Setting { entering, input_scatter: scattered, cosine_scatter: 0.0, ..normal };
            return (setting, mean == 0.0 || spread <= ALIKE * ALIKE);
        }
    };
    (setting, true)
}

/// Mean cosine between pairs of samples, ‖Σ x̂‖² without the samples themselves.
fn cosine(data: &nalgebra::DMatrix<f32>, squares: &[f64]) -> f64 {
    let mut sum = vec![0.0f64; data.nrows()];
    let mut count = 0.0;
    let step = data.ncols().div_ceil(PAIRED).max(1);
    for (sample, square) in data.column_iter().zip(squares).step_by(step).filter(|(_, square)| **square > 0.0)
    {
        sum.iter_mut().zip(sample.iter()).for_each(|(s, v)| *s += f64::from(*v) / square.sqrt());
        count += 1.0;
    }
    if count < 2.0 {
        return 1.0;
    }
    let square: f64 = sum.iter().map(|s| s * s).sum();
    ((square - count) / (count * (count - 1.0))).clamp(-1.0, 1.0)
}

/// Part of trials that a band holds: between the quantiles that are measured.
const COVERAGE: f64 = 0.9;

impl Expectation {
    /// What is expected at each layer, as reports show it; fewer than there are layers where theory ends. Of a loss that is no
    /// random read-out the gradients are set to start where they were measured to.
    pub fn theory(&self, measured: &[Layer]) -> Vec<Theory> {
        let layers = &self.prediction.layers;
        let level = |at: usize, level: fn(&Expected) -> Option<Level>| layers.get(at).and_then(level);
        let last = measured.len() - 1;
        let start = measured[last].gradient.log10_variance.log10_of_mean;
        let shift = match level(last, |e| e.gradient.variance) {
            _ if self.read_out => Some(0.0),
            Some(predicted) => start.map(|start| start - predicted.log10_mean),
            None => None,
        };
        let of = |expected: &Expected| {
            let moved = |level: Option<Level>| {
                level.zip(shift).map(|(l, shift)| Level { log10_mean: l.log10_mean + shift, ..l })
            };
            let band =
                |level: Option<Level>| level.and_then(|l| l.band(COVERAGE)).map(|(low, high)| [low, high]);
            let mean = |level: Option<Level>| level.map(|l| l.log10_mean);
            let (z, h) = (expected.preactivation.variance, expected.activation.variance);
            let (d, w) = (moved(expected.gradient.variance), moved(expected.weight_gradient.second_moment));
            Theory {
                preactivation_log10_variance: mean(z),
                activation_log10_variance: mean(h),
                gradient_log10_variance: mean(d),
                weight_gradient_log10_second_moment: mean(w),
                correlation: expected.correlation.is_finite().then_some(expected.correlation),
                band: band(h),
                preactivation_band: band(z),
                gradient_band: band(d),
                weight_gradient_band: band(w),
            }
        };
        layers.iter().map(of).collect()
    }
}
