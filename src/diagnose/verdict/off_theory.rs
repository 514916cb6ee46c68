//! Measurement against theory: what chance and width leave between them, and what is beyond that.

use super::words::power;
use crate::law::Law;
use crate::result::{Layer, Quantiles};
use crate::simulate::{CellPlan, Expectation};
use crate::theory::prediction::{Expected, Level};
use std::f64::consts::{FRAC_PI_2, LN_10};

/// Standard deviations of the median that are chance: one false alarm in 10⁸ normal ones.
const SIGMAS: f64 = 6.0;
/// Decades that single precision and the first order of theory may miss: one percent.
const ROUNDING: f64 = 0.005;
/// Narrower layers are no case for a theory of wide ones.
const NARROW: usize = 128;

/// How far the median over trials of what theory gives this standard deviation scatters: σ·√(π/2)/√T.
pub fn chance_of_median(level: &Level, trials: usize) -> Option<f64> {
    let efficiency = if trials == 1 { 1.0 } else { FRAC_PI_2 };
    level.std().map(|std| std * (efficiency / trials.max(1) as f64).sqrt())
}

type Pick = (&'static str, fn(&Expected) -> Option<&Level>, fn(&Layer) -> &Quantiles);

const QUANTITIES: [Pick; 4] = [
    (
        "variance of the pre-activations",
        |e| e.preactivation.variance.as_ref(),
        |l| &l.preactivation.log10_variance,
    ),
    ("variance of the activations", |e| e.activation.variance.as_ref(), |l| &l.activation.log10_variance),
    ("variance of the gradient", |e| e.gradient.variance.as_ref(), |l| &l.gradient.log10_variance),
    (
        "second moment of the weight gradient",
        |e| e.weight_gradient.second_moment.as_ref(),
        |l| &l.weight_gradient.log10_second_moment,
    ),
];

/// The quantity and layer that lies farthest outside of what theory allows a median over so many trials, in words.
///
/// Beside chance, what is of second order in 1/width is allowed: half the log's variance, by which the median of a log-normal
/// falls below its mean.
pub fn off_theory(
    cell: &CellPlan,
    expected: &Expectation,
    layers: &[Layer],
    trials: usize,
    heavy_tailed: bool,
    homogeneous: bool,
) -> Option<String> {
    if !expected.alike && !homogeneous {
        return None;
    }
    let judged = if expected.read_out { &QUANTITIES[..] } else { &QUANTITIES[..2] };
    let mut worst: Option<(f64, String)> = None;
    for (layer, theory) in layers.iter().zip(&expected.prediction.layers) {
        for (what, level, measured) in judged {
            let (Some(level), Some(measured)) = (level(theory), measured(layer).median) else { continue };
            let (Some(chance), Some(std)) = (chance_of_median(level, trials), level.std()) else { continue };
            let Some(expected) = level.log10_median() else { continue };
            let allowed = SIGMAS * chance + 0.5 * LN_10 * std * std + ROUNDING;
            let miss = measured - expected;
            if miss.abs() > allowed && worst.as_ref().is_none_or(|w| miss.abs() / allowed > w.0) {
                let words = format!(
                    "the {what} at layer {} is {} of what theory expects, where chance and width leave {}",
                    layer.layer,
                    power(miss),
                    power(allowed * miss.signum())
                );
                worst = Some((miss.abs() / allowed, words));
            }
        }
    }
    worst.map(|(_, words)| format!("{words}: {}", reason(cell, heavy_tailed)))
}

fn reason(cell: &CellPlan, heavy_tailed: bool) -> String {
    let narrowest = cell.layers.iter().map(|l| l.fan_in.min(l.fan_out)).min().unwrap_or(0);
    let has = |law: fn(&Law) -> bool| cell.layers.iter().any(|l| law(&l.weights));
    if heavy_tailed {
        "trials scatter more than widths explain".into()
    } else if narrowest < NARROW {
        format!("{narrowest} units are too few for a theory of wide layers")
    } else if has(|law| law.is_orthogonal()) {
        "the weights are not independent".into()
    } else if has(|law| matches!(law, Law::Sparse { .. })) {
        "few weights of a unit are not zero, and theory takes their sum as normal".into()
    } else {
        "no reason is known; what the activation does at these values may be too steep for it".into()
    }
}
