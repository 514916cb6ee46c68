//! Which recorded figures rounding has decided, and which of them double precision still resolves.
//!
//! A trial in single and one in double precision have the same weights and the same batch. A figure on which they differ was
//! decided by the rounding of single precision. The rounding of double precision is 2⁻²⁹ of that, so its square lies 2⁻⁵⁸ below: a
//! figure in double precision that comes near to that floor is rounding too.

use crate::numeric::wide::Wide;
use crate::op::record::{Floors, LayerRecord, Moments};

/// Decades between the squared roundings of the two precisions: log₁₀ 2⁵⁸.
const APART: f64 = 58.0 * std::f64::consts::LOG10_2;
/// Decades above the floor in which a figure is not trusted: two in the numbers themselves, four in their squares. Sums that both
/// precisions take in double precision make the floor of double precision up to a decade and a half higher than its rounding.
const MARGIN: f64 = 4.0;
/// Two logarithms that differ by more do not show the same figure; 5 % of a second moment.
const SAME: f64 = 0.02;

/// Single precision has rounded a figure of these records away.
pub fn is_lost(single: &[LayerRecord], double: &[LayerRecord]) -> bool {
    let differ = |a: Wide, b: Wide| match (a.log10_abs(), b.log10_abs()) {
        (Some(a), Some(b)) => (a - b).abs() > SAME,
        (a, b) => a.is_some() != b.is_some(),
    };
    let moments =
        |a: Moments, b: Moments| differ(a.variance, b.variance) || differ(a.second_moment, b.second_moment);
    single.iter().zip(double).any(|(a, b)| {
        moments(a.preactivation, b.preactivation)
            || moments(a.activation, b.activation)
            || moments(a.gradient, b.gradient)
            || moments(a.weight_gradient, b.weight_gradient)
    })
}

/// The records of all trials in double precision, without what is rounding there too. The first of each pair is in single precision.
///
/// The rounding of one trial may be smaller by chance, so the floor of a figure is that of the trial with the largest.
pub fn resolved(mut trials: Vec<(Vec<LayerRecord>, Vec<LayerRecord>)>) -> Vec<Vec<LayerRecord>> {
    let layers = trials.iter().map(|(_, double)| double.len()).min().unwrap_or(0);
    for layer in 0..layers {
        let mut floors = Floors::default();
        let of = |quantity: fn(&LayerRecord) -> Moments| floor(&trials, layer, quantity);
        floors.preactivation = of(|r| r.preactivation);
        floors.activation = of(|r| r.activation);
        floors.gradient = of(|r| r.gradient);
        floors.weight_gradient = of(|r| r.weight_gradient);
        for (_, double) in &mut trials {
            let record = &mut double[layer];
            record.below.preactivation = hide(&mut record.preactivation, floors.preactivation);
            record.below.activation = hide(&mut record.activation, floors.activation);
            record.below.gradient = hide(&mut record.gradient, floors.gradient);
            record.below.weight_gradient = hide(&mut record.weight_gradient, floors.weight_gradient);
        }
    }
    trials.into_iter().map(|(_, double)| double).collect()
}

/// log₁₀ below which double precision does not resolve a quantity's squares; `None` where single precision has rounded none away.
fn floor(
    trials: &[(Vec<LayerRecord>, Vec<LayerRecord>)],
    layer: usize,
    quantity: fn(&LayerRecord) -> Moments,
) -> Option<f64> {
    let pick = |square: fn(Moments) -> Wide| {
        let lost = trials.iter().filter_map(|(single, double)| {
            let (a, b) = (square(quantity(&single[layer])), square(quantity(&double[layer])));
            match (a.log10_abs(), b.log10_abs()) {
                (Some(a), Some(b)) if (a - b).abs() > SAME => Some(a - APART + MARGIN),
                (Some(a), None) => Some(a - APART + MARGIN),
                // Nothing is left in single precision, as of a variance far below the square of its mean, so nothing tells where
                // its rounding lies.
                _ => None,
            }
        });
        lost.reduce(f64::max)
    };
    match (pick(|m| m.second_moment), pick(|m| m.variance)) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

/// Sets what lies at or below the floor to zero; the floor, where something does.
fn hide(moments: &mut Moments, floor: Option<f64>) -> Option<f64> {
    let floor = floor?;
    let hidden = |square: Wide| square.log10_abs().is_some_and(|square| square <= floor);
    let (second, variance) = (hidden(moments.second_moment), hidden(moments.variance));
    if second {
        *moments = Moments::ZERO;
    } else if variance {
        moments.variance = Wide::ZERO;
    }
    (second || variance).then_some(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(log2: i64) -> LayerRecord {
        let square = Wide::new(1.0, log2);
        let gradient = Moments { mean: Wide::ZERO, variance: square, second_moment: square };
        LayerRecord { gradient, ..LayerRecord::default() }
    }

    #[test]
    fn a_figure_is_kept_while_double_precision_resolves_it() {
        // 2⁻⁵⁸ below what single precision shows, and four decades above that.
        assert!(!is_lost(&[record(-40)], &[record(-40)]));
        assert!(is_lost(&[record(-40)], &[record(-60)]));
        let one = |single, double| resolved(vec![(vec![record(single)], vec![record(double)])]).remove(0);
        let kept = one(-40, -84);
        assert_eq!((kept[0].gradient, kept[0].below.gradient), (record(-84).gradient, None));
        let hidden = one(-40, -86);
        assert_eq!(hidden[0].gradient, Moments::ZERO);
        assert!((hidden[0].below.gradient.unwrap() + (40.0 + 58.0) * 2f64.log10() - 4.0).abs() < 1e-9);
        // What is exactly zero in both is zero.
        let zero = || vec![LayerRecord::default()];
        assert_eq!(resolved(vec![(zero(), zero())])[0][0].below, Floors::default());
        // The rounding of one trial tells of the others.
        let both = resolved(vec![(vec![record(-40)], vec![record(-86)]), (zero(), vec![record(-87)])]);
        assert!(both.iter().all(|trial| trial[0].below.gradient.is_some()));
    }
}
