//! What is drawn against the law that is stated: mean, variance and support of every initializer.

use initdiag::activation::Activation;
use initdiag::initializer::{Initializer, Site, entries};
use initdiag::law::Law;
use initdiag::numeric::product::Threads;
use initdiag::numeric::stream::Key;
use initdiag::weights::Dense;

/// 4 matrices of 300 × 200 entries for each initializer: 240 000 draws. Mean and variance of independent entries within 5.3
/// standard errors (false alarm 1.2·10⁻⁷ each, about 50 initializers × 2); kurtosis from the draws themselves.
#[test]
fn realized_mean_variance_and_support_are_those_of_the_law() {
    let act = Activation::parse("relu").unwrap();
    let site = Site::dense(300, 200, 2, 9, &act);
    let mut checked = 0;
    let extra = [
        "normal(0.3, sqrt(2/fan_in))",
        "truncated-normal(1, 0.5)",
        "torch-trunc-normal(std=2)",
        "he(fan_out, a=0.5)",
    ];
    let names = entries().filter(|e| e.not_dense.is_none()).map(|e| e.name).chain(extra);
    for name in names {
        let init = Initializer::parse(name).unwrap();
        for law in [init.weights(&site).unwrap(), init.bias(&site).unwrap()] {
            let mut values = Vec::new();
            for trial in 0..4 {
                let mut operator = Dense::<f32>::new(law, 300, 200, Key { seed: 3, trial, layer: 1 });
                values.extend(operator.matrix(Threads::One).iter());
            }
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let central = |p: i32| values.iter().map(|v| (v - mean).powi(p)).sum::<f64>() / count;
            let (variance, fourth) = (central(2), central(4));
            let stated = law.moments(300, 200);
            let independent = !matches!(law, Law::Haar { .. } | Law::Identity { .. });
            // Dependent entries: their squares sum to a constant, so only rounding is left.
            let (mean_error, variance_error) = if independent {
                (
                    5.3 * (variance / count).sqrt(),
                    5.3 * ((fourth - variance * variance).max(0.0) / count).sqrt(),
                )
            } else {
                (5.3 * (variance / count).sqrt(), 1e-5 * variance)
            };
            let rounding = 1e-6 * (stated.mean.abs() + stated.variance.sqrt());
            assert!((mean - stated.mean).abs() <= mean_error + rounding, "{name}: mean {mean}, law {law}");
            assert!(
                (variance - stated.variance).abs()
                    <= variance_error + rounding * rounding + 1e-5 * stated.variance,
                "{name}: variance {variance} instead of {}",
                stated.variance
            );
            // A std off by 5 % is caught wherever there is a spread.
            if independent && variance > 0.0 {
                assert!((variance - 1.05f64.powi(2) * stated.variance).abs() > variance_error, "{name}");
            }
            let (low, high) = law.support();
            let slack = 1e-6 * (low.abs().max(high.abs())).min(1e30);
            assert!(
                values.iter().all(|v| (low - slack..=high + slack).contains(v)),
                "{name}: outside [{low}, {high}]"
            );
            checked += 1;
        }
    }
    assert!(checked > 100);
}

/// Bounded laws reach their ends: the extreme of 240 000 draws is within 10⁻³ of the width (missed with probability
/// below e^−90 for a density that is at least a fifth of the uniform one).
#[test]
fn bounded_laws_fill_their_support() {
    for law in [
        Law::Uniform { low: -0.3, high: 0.7 },
        Law::TruncatedNormal { mean: 0.0, std: 1.0, low: -2.0, high: 2.0 },
        Law::TruncatedNormal { mean: 1.0, std: 2.0, low: 0.0, high: 1.5 },
    ] {
        let values =
            Dense::<f32>::new(law, 600, 400, Key { seed: 4, trial: 0, layer: 1 }).matrix(Threads::One);
        let (low, high) = law.support();
        let near = 1e-3 * (high - low);
        assert!(values.min() < low + near && values.max() > high - near, "{law}");
    }
}
