//! Signal and gradient of a wide stack, layer by layer: moments over the units, where weights and biases have means too.

use super::quadrature::expectation;
use crate::activation::Activation;

/// Pre-activations of a layer, taken as normal over units and samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Over units and samples.
    pub mean: f64,
    /// Of what all units of a sample share and samples do not; weights with a mean bring it.
    pub shared: f64,
    /// Of what each unit has for itself.
    pub own: f64,
}

impl Field {
    /// E z².
    pub fn second_moment(self) -> f64 {
        self.mean * self.mean + self.shared + self.own
    }
}

/// What an activation makes of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passed {
    /// E φ.
    pub mean: f64,
    /// E φ².
    pub square: f64,
    /// E φ′.
    pub slope: f64,
    /// E φ′².
    pub squared_slope: f64,
}

/// Mean and variance of the entries of a layer's weights and biases, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Columns.
    pub fan_in: f64,
    /// Rows.
    pub fan_out: f64,
    /// Of a weight.
    pub mean: f64,
    /// Of a weight.
    pub variance: f64,
    /// Of a bias.
    pub bias_mean: f64,
    /// Of a bias.
    pub bias_variance: f64,
}

/// Moments of φ and φ′ over a field; of its two tangents at zero where `tangent` says so.
pub fn pass(act: &Activation, field: Field, tangent: bool) -> Passed {
    let mean = field.mean;
    let (left, right) = act.shape.slopes_at_zero;
    let at = |x: f64| {
        let z = mean + x;
        match tangent {
            false => act.at(z),
            true if z > 0.0 => (right * z, right),
            true => (left * z, left),
        }
    };
    let mut kinks: Vec<f64> =
        if tangent { vec![-mean] } else { act.shape.kinks.iter().map(|k| k - mean).collect() };
    if mean != 0.0 && !tangent {
        // Panels about z = 0 too, where activations change on the scale of one.
        kinks.push(-mean);
        kinks.extend((-2..=3).flat_map(|k| [2f64.powi(k) - mean, -(2f64.powi(k)) - mean]));
    }
    let expect = |f: fn(f64, f64) -> f64| {
        let integrand = |x: f64| {
            let (value, slope) = at(x);
            f(value, slope)
        };
        expectation(integrand, field.shared + field.own, &kinks)
    };
    Passed {
        mean: expect(|value, _| value),
        square: expect(|value, _| value * value),
        slope: expect(|_, slope| slope),
        squared_slope: expect(|_, slope| slope * slope),
    }
}

/// The next layer's field. What units share is followed to first order in it.
pub fn forward(field: Field, passed: Passed, weights: Weights) -> Field {
    let pull = weights.fan_in * weights.mean;
    let spread = (passed.square - passed.mean * passed.mean).max(0.0);
    Field {
        mean: pull * passed.mean + weights.bias_mean,
        shared: pull * pull * (passed.slope * passed.slope * field.shared + spread / weights.fan_in),
        own: weights.fan_in * weights.variance * passed.square + weights.bias_variance,
    }
}

/// A gradient: mean square of its entries, and of its mean over units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// E d².
    pub square: f64,
    /// E d̄², with d̄ the mean over the units of a sample.
    pub shared: f64,
}

/// The gradient one layer down, behind the weights of this layer; `passed` belongs to the layer below.
pub fn backward(flow: Flow, passed: Passed, weights: Weights) -> Flow {
    let pull = weights.fan_out * weights.mean;
    let common = pull * pull * flow.shared;
    let square = (common + weights.fan_out * weights.variance * flow.square) * passed.squared_slope;
    Flow { square, shared: common * passed.slope * passed.slope + square / weights.fan_in }
}

/// E φ⁴/(E φ²)² − 1 for a homogeneous activation: a layer of n units scatters the squared norm by this over n, so the
/// log of the norm falls by half of it a layer (ReLU 5, linear 2; Hanin & Rolnick 2018).
pub fn scatter(act: &Activation) -> f64 {
    let (left, right) = act.shape.slopes_at_zero;
    let (second, fourth) =
        (f64::midpoint(left * left, right * right), f64::midpoint(left.powi(4), right.powi(4)));
    if second == 0.0 { 0.0 } else { 3.0 * fourth / (second * second) - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(name: &str) -> Activation {
        Activation::parse(name).unwrap()
    }

    #[test]
    fn moments_of_a_shifted_normal() {
        // z ~ N(m, 1): E relu = m·Φ(m) + φ(m), E relu² = (m² + 1)·Φ(m) + m·φ(m), here at m = 1.
        let (cdf, pdf) = (0.841_344_746_068_543, 0.241_970_724_519_143_37);
        for tangent in [false, true] {
            let passed = pass(&act("relu"), Field { mean: 1.0, shared: 0.25, own: 0.75 }, tangent);
            assert!((passed.mean - (cdf + pdf)).abs() < 1e-12);
            assert!((passed.square - (2.0 * cdf + pdf)).abs() < 1e-12);
            assert!((passed.slope - cdf).abs() < 1e-12 && (passed.squared_slope - cdf).abs() < 1e-12);
        }
        // By adaptive quadrature, 12 digits; then a step that is narrow against the field.
        let passed = pass(&act("tanh"), Field { mean: 0.0, shared: 0.0, own: 1.0 }, false);
        assert!((passed.square - 0.394_294).abs() < 1e-6 && (passed.squared_slope - 0.464_403).abs() < 1e-6);
        let passed = pass(&act("tanh"), Field { mean: 300.0, shared: 0.0, own: 9e4 }, false);
        // E sign = 2Φ(1) − 1, but for the step's own width: (π²/12)/300² of the density's slope.
        assert!((passed.mean - (2.0 * cdf - 1.0)).abs() < 1e-5, "{}", passed.mean);
        let point = pass(&act("sigmoid"), Field { mean: 0.0, shared: 0.0, own: 0.0 }, false);
        assert_eq!((point.mean, point.square), (0.5, 0.25));
    }

    #[test]
    fn scatter_of_homogeneous_activations() {
        assert_eq!(scatter(&act("relu")), 5.0);
        assert_eq!(scatter(&act("linear")), 2.0);
    }

    #[test]
    fn a_linear_stack_with_a_mean_grows_by_its_mean() {
        let weights = Weights {
            fan_in: 100.0,
            fan_out: 100.0,
            mean: 0.1,
            variance: 0.01,
            bias_mean: 0.0,
            bias_variance: 0.0,
        };
        let linear = act("linear");
        let mut field = Field { mean: 0.0, shared: 0.0, own: 1.0 };
        let mut before = field;
        for _ in 0..30 {
            before = field;
            field = forward(field, pass(&linear, field, true), weights);
        }
        assert!((field.second_moment() / before.second_moment() / 101.01 - 1.0).abs() < 0.01);
    }
}
