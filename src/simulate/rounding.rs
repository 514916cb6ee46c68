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

/// The records of a trial in double precision, without what is rounding there too.
pub fn resolved(single: &[LayerRecord], double: Vec<LayerRecord>) -> Vec<LayerRecord> {
    let one = |(a, b): (&LayerRecord, LayerRecord)| {
        let mut record = b;
        let mut below = Floors::default();
        (record.preactivation, below.preactivation) = above(a.preactivation, b.preactivation);
        (record.activation, below.activation) = above(a.activation, b.activation);
        (record.gradient, below.gradient) = above(a.gradient, b.gradient);
        (record.weight_gradient, below.weight_gradient) = above(a.weight_gradient, b.weight_gradient);
        record.below = below;
        record
    };
    single.iter().zip(double).map(one).collect()
}

/// The moments in double precision where they lie above their floor; zero, and the floor, where they do not.
fn above(single: Moments, double: Moments) -> (Moments, Option<f64>) {
    let floor = |rounded: Wide, figure: Wide| {
        let floor = rounded.log10_abs()? - APART + MARGIN;
        figure.log10_abs().is_none_or(|figure| figure < floor).then_some(floor)
    };
    if let Some(floor) = floor(single.second_moment, double.second_moment) {
        return (Moments::ZERO, Some(floor));
    }
    match floor(single.variance, double.variance) {
        Some(floor) => (Moments { variance: Wide::ZERO, ..double }, Some(floor)),
        None => (double, None),
    }
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
        let kept = resolved(&[record(-40)], vec![record(-84)]);
        assert_eq!((kept[0].gradient, kept[0].below.gradient), (record(-84).gradient, None));
        let hidden = resolved(&[record(-40)], vec![record(-86)]);
        assert_eq!(hidden[0].gradient, Moments::ZERO);
        assert!((hidden[0].below.gradient.unwrap() + (40.0 + 58.0) * 2f64.log10() - 4.0).abs() < 1e-9);
        // What is exactly zero in both is zero.
        let zero = resolved(&[LayerRecord::default()], vec![LayerRecord::default()]);
        assert_eq!(zero[0].below, Floors::default());
    }
}
