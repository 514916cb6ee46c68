//! Quantiles over trials.

use crate::numeric::wide::{LIMIT, Wide};
use crate::op::record::{LayerRecord, Moments};
use crate::result::{Quantiles, Summary, Trace};

/// Quantile of ascending values by linear interpolation (type 7 of Hyndman & Fan 1996, NumPy's default).
///
/// An infinite neighbor (log of zero) is taken as it is, not interpolated with.
pub fn quantile(ascending: &[f64], p: f64) -> f64 {
    let place = p * (ascending.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    let (a, b) = (ascending[low], ascending[high]);
    let part = place - low as f64;
    if a == b || part == 0.0 {
        a
    } else if a.is_infinite() {
        if part > 0.5 { b } else { a }
    } else {
        a + part * (b - a)
    }
}

/// The median of values of which some may be missing; `None` when all are.
pub fn median(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut values: Vec<f64> = values.flatten().collect();
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| quantile(&values, 0.5))
}

/// Decades from which on a number is a bound and not a measurement: the exponent of a [`Wide`] saturates.
pub const BEYOND: f64 = LIMIT as f64 * std::f64::consts::LOG10_2 * 0.999;

/// log₁₀ with −∞ for zero.
pub fn log10(value: Wide) -> f64 {
    value.log10_abs().unwrap_or(f64::NEG_INFINITY)
}

/// Quantiles of log₁₀ over trials, and log₁₀ of the mean of the values themselves.
pub fn quantiles(values: &[Wide]) -> Quantiles {
    let mut logs: Vec<f64> = values.iter().map(|v| log10(*v)).collect();
    logs.sort_by(f64::total_cmp);
    let at = |p: f64| Some(quantile(&logs, p)).filter(|x| x.is_finite());
    let mean = values.iter().fold(Wide::ZERO, |sum, v| sum + *v) * Wide::from(1.0 / values.len() as f64);
    Quantiles {
        median: at(0.5),
        q05: at(0.05),
        q25: at(0.25),
        q75: at(0.75),
        q95: at(0.95),
        log10_of_mean: mean.log10_abs(),
    }
}

/// One quantity at one layer, over the trials' records of that layer; `floor` is what rounding hides of it.
pub fn summary(
    records: &[&LayerRecord],
    quantity: fn(&LayerRecord) -> Moments,
    floor: fn(&LayerRecord) -> Option<f64>,
    trace: bool,
) -> Summary {
    let below = records.iter().filter(|r| floor(r).is_some()).count();
    let moments: Vec<Moments> = records.iter().map(|r| quantity(r)).collect();
    let finite = |w: Wide| Some(w.to_f64()).filter(|x| x.is_finite());
    let variances: Vec<Wide> = moments.iter().map(|m| m.variance).collect();
    let seconds: Vec<Wide> = moments.iter().map(|m| m.second_moment).collect();
    let mean =
        moments.iter().fold(Wide::ZERO, |sum, m| sum + m.mean) * Wide::from(1.0 / moments.len() as f64);
    Summary {
        mean: finite(mean),
        log10_variance: quantiles(&variances),
        log10_second_moment: quantiles(&seconds),
        zero_trials: variances.iter().filter(|v| v.is_zero()).count() - below,
        below_trials: below,
        floor: median(records.iter().map(|r| floor(r))),
        beyond_trials: seconds.iter().filter(|v| v.log10_abs().is_some_and(|x| x.abs() >= BEYOND)).count(),
        trials: trace.then(|| {
            let one = |m: &Moments| Trace {
                mean: finite(m.mean),
                log10_variance: m.variance.log10_abs(),
                log10_second_moment: m.second_moment.log10_abs(),
            };
            moments.iter().map(one).collect()
        }),
        spread: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_as_numpy_does() {
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&values, 0.5), 3.0);
        assert!((quantile(&values, 0.05) - 1.15).abs() < 1e-12);
        let zeros = [f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0];
        assert_eq!(quantile(&zeros, 0.5), f64::NEG_INFINITY);
        assert_eq!(quantile(&zeros, 0.95), 1.0);
    }

    #[test]
    fn zeros_are_counted_and_left_out_of_logarithms() {
        let values = [Wide::ZERO, Wide::new(1.0, -20_000), Wide::new(1.0, -20_000)];
        let q = quantiles(&values);
        assert_eq!(q.q05, None);
        let expected = -20_000.0 * std::f64::consts::LOG10_2;
        assert!((q.median.unwrap() - expected).abs() < 1e-9);
        assert!((q.log10_of_mean.unwrap() - (expected + (2.0f64 / 3.0).log10())).abs() < 1e-9);
    }
}
