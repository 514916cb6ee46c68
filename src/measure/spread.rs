//! Means and standard deviations over trials, of levels and of steps from layer to layer.

use super::summary::BEYOND;
use crate::numeric::wide::Wide;
use crate::op::record::{LayerRecord, Moments};
use crate::result::{Layer, Sample, Spread, Summary};

/// Mean and standard deviation of the values there are; `None` when there are none.
pub fn sample(values: impl Iterator<Item = Option<f64>>) -> Option<Sample> {
    // Welford's recurrence: logs of 10^±12 000 differ in their last digits alone.
    let (mut count, mut mean, mut squares) = (0usize, 0.0, 0.0);
    for value in values.flatten().filter(|v| v.is_finite()) {
        count += 1;
        let before = value - mean;
        mean += before / count as f64;
        squares += before * (value - mean);
    }
    let sd = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
    (count > 0).then_some(Sample { mean, sd, count })
}

/// log₁₀ of what is neither zero nor a bound.
fn log10(value: Wide) -> Option<f64> {
    value.log10_abs().filter(|x| x.abs() < BEYOND)
}

/// Adds the spread over trials to every layer's summaries: levels of all four quantities, steps of all but the weight
/// gradient, which is a product of the others. The gradient's steps go from the layer above.
pub fn add_spread(layers: &mut [Layer], trials: &[&Vec<LayerRecord>]) {
    type Of = fn(&LayerRecord) -> Moments;
    type In = fn(&mut Layer) -> &mut Summary;
    let last = layers.len().saturating_sub(1);
    for (index, layer) in layers.iter_mut().enumerate() {
        let below = index.checked_sub(1);
        let above = (index < last).then_some(index + 1);
        let quantities: [(In, Of, Option<usize>); 4] = [
            (|l| &mut l.preactivation, |r| r.preactivation, below),
            (|l| &mut l.activation, |r| r.activation, below),
            (|l| &mut l.gradient, |r| r.gradient, above),
            (|l| &mut l.weight_gradient, |r| r.weight_gradient, None),
        ];
        for (summary, moments, before) in quantities {
            let level =
                |pick: fn(Moments) -> Wide| sample(trials.iter().map(|t| log10(pick(moments(&t[index])))));
            let step = |pick: fn(Moments) -> Wide| {
                let before = before?;
                let change = |t: &&Vec<LayerRecord>| {
                    Some(log10(pick(moments(&t[index])))? - log10(pick(moments(&t[before])))?)
                };
                sample(trials.iter().map(change))
            };
            summary(layer).spread = Some(Spread {
                log10_variance: level(|m| m.variance),
                log10_second_moment: level(|m| m.second_moment),
                step_log10_variance: step(|m| m.variance),
                step_log10_second_moment: step(|m| m.second_moment),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_leaves_out_what_is_missing_and_keeps_its_digits() {
        let values = [Some(-12_540.1), None, Some(-12_540.3), Some(f64::NEG_INFINITY), Some(-12_540.2)];
        let found = sample(values.into_iter()).unwrap();
        assert_eq!(found.count, 3);
        assert!((found.mean + 12_540.2).abs() < 1e-9 && (found.sd - 0.1).abs() < 1e-9);
        assert_eq!(sample([None].into_iter()), None);
        assert_eq!(sample([Some(2.0)].into_iter()), Some(Sample { mean: 2.0, sd: 0.0, count: 1 }));
    }
}
