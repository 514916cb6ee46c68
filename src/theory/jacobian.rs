//! Singular values of the input-output Jacobian of a wide square stack (Saxe et al. 2014; Pennington et al. 2017).

use crate::activation::Activation;
use crate::expectation::field::{Passed, Scatter, WeightMoments};
use crate::theory::stack::{InputMoments, Start, forward};
use std::f64::consts::PI;

/// Mean singular value of a large square matrix of independent N(0, 1/n) entries: ∫ of the quarter-circle law on [0, 2].
pub const MEAN_GAUSSIAN_SINGULAR_VALUE: f64 = 8.0 / (3.0 * PI);

/// log₁₀ of the mean squared singular value, χ₁^L.
pub fn log10_mean_square(chi: f64, depth: usize) -> f64 {
    depth as f64 * chi.log10()
}

/// E φ′⁴/(E φ′²)²: 1/p where φ′ is one with probability p and else zero.
pub fn slope_ratio(passed: &Passed) -> f64 {
    passed.fourth_slope / (passed.squared_slope * passed.squared_slope)
}

/// Variance of the squared singular values over their squared mean behind `depth` layers, with
/// `ratio` = E φ′⁴/(E φ′²)²: L·ratio for normal weights, L·(ratio − 1) for orthogonal ones (Pennington et al. 2017).
/// `None` for weights without scatter.
pub fn relative_variance(ratio: f64, depth: usize, scatter: Scatter) -> Option<f64> {
    let depth = depth as f64;
    match scatter {
        Scatter::Independent => Some(depth * ratio),
        Scatter::Orthogonal => Some(depth * (ratio - 1.0)),
        Scatter::Fixed => None,
    }
}

/// What a spectrum of singular values is expected to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// log₁₀ of the mean squared singular value.
    pub log10_mean_square: f64,
    /// Variance of the squared singular values over their squared mean.
    pub relative_variance: f64,
}

/// Layers whose moments are integrated; those at a fixed point count once.
const EFFORT: usize = 2048;

/// Of a stack of square layers, each at its own length q_l: mean squares Π σ_w²·E φ′², and relative variances that add up, as those
/// of free factors do. `None` for weights with a mean or without scatter, and where the length map ends.
pub fn expected(act: &Activation, laws: &[WeightMoments], entering: InputMoments) -> Option<Expected> {
    let layers = forward(act, laws, Start::Input(entering), false, EFFORT);
    if layers.len() < laws.len() {
        return None;
    }
    let mut sum = Expected { log10_mean_square: 0.0, relative_variance: 0.0 };
    for layer in &layers {
        let (weights, passed) = (&layer.weights, &layer.passed);
        let chi = weights.fan_in * weights.variance * passed.squared_slope;
        if weights.mean != 0.0 || chi <= 0.0 {
            return None;
        }
        sum.log10_mean_square += log10_mean_square(chi, 1);
        // E φ′⁴ is at least the square of E φ′²; beyond that it is rounding of the integrals.
        let ratio = slope_ratio(passed);
        let ratio = if ratio < 1.0 + 1e-12 { 1.0 } else { ratio };
        sum.relative_variance += relative_variance(ratio, 1, weights.scatter)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectation::field::{Field, Form, pass};
    use nalgebra::DMatrix;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    fn ratio(name: &str) -> f64 {
        let act = Activation::parse(name).unwrap();
        slope_ratio(&pass(&act, Field { own: 1.0, ..Field::default() }, Form::Itself))
    }

    #[test]
    fn linear_and_relu() {
        for (name, gaussian, orthogonal) in [("linear", 10.0, 0.0), ("relu", 20.0, 10.0)] {
            let of = |scatter| relative_variance(ratio(name), 10, scatter).unwrap();
            assert!((of(Scatter::Independent) - gaussian).abs() < 1e-10);
            assert!((of(Scatter::Orthogonal) - orthogonal).abs() < 1e-10);
        }
        assert_eq!(log10_mean_square(10.0, 7), 7.0);
    }

    fn normal(n: usize, rng: &mut rand::rngs::SmallRng) -> DMatrix<f64> {
        let std = (1.0 / n as f64).sqrt();
        DMatrix::from_fn(n, n, |_, _| {
            let x: f64 = StandardNormal.sample(rng);
            x * std
        })
    }

    /// Jacobians of width 200 and depth 3, tanh at q = 1 in every layer, so D has the law of φ′(N(0, 1)). The relative
    /// variance of σ² is measured as E σ⁴/(E σ²)² − 1 within one matrix; its scatter and bias are of order 1/n (some 2 %),
    /// so 10 % is far out. The linear value would be 3, and a tanh taken for linear misses by 80 %.
    #[test]
    fn a_tanh_jacobian() {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(5);
        let n = 200;
        let act = Activation::parse("tanh").unwrap();
        let mut jacobian = DMatrix::identity(n, n);
        for _ in 0..3 {
            let mut layer = normal(n, &mut rng) * jacobian;
            for mut row in layer.row_iter_mut() {
                let z: f64 = StandardNormal.sample(&mut rng);
                row *= act.at(z).1;
            }
            jacobian = layer;
        }
        let square = jacobian.transpose() * &jacobian;
        let (second, fourth) = (square.trace() / n as f64, square.norm_squared() / n as f64);
        let measured = fourth / (second * second) - 1.0;
        let expected = relative_variance(ratio("tanh"), 3, Scatter::Independent).unwrap();
        assert!((measured / expected - 1.0).abs() < 0.1, "{measured} {expected}");
    }

    /// Mean singular value of one 300 × 300 matrix: fluctuations are of order 1/n² of it, bias 1/n²; 0.5 % is far out.
    #[test]
    fn mean_singular_value() {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(6);
        let values = normal(300, &mut rng).singular_values();
        assert!((values.mean() / MEAN_GAUSSIAN_SINGULAR_VALUE - 1.0).abs() < 5e-3, "{}", values.mean());
        assert!((MEAN_GAUSSIAN_SINGULAR_VALUE - 0.8488).abs() < 5e-5);
    }
}
