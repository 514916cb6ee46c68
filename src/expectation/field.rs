//! One layer of a wide stack: moments of signal and gradient over its units, where weights and biases have means too.

use crate::activation::Activation;
use crate::law::Law;
use crate::numeric::quadrature::gaussian;
use crate::numeric::wide::Wide;

/// Pre-activations of a layer, taken as normal over units and samples; and how two samples agree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Field {
    /// Over units and samples.
    pub mean: f64,
    /// Variance of what all units of a sample share and samples do not; weights with a mean bring it.
    pub shared: f64,
    /// Variance of what each unit has for itself.
    pub own: f64,
    /// Covariance of what units share, between two samples.
    pub shared_pair: f64,
    /// Covariance of what a unit has for itself, between two samples.
    pub own_pair: f64,
}

impl Field {
    /// E z².
    pub fn second_moment(self) -> f64 {
        self.mean * self.mean + self.shared + self.own
    }

    /// Var z over units and samples.
    pub fn variance(self) -> f64 {
        self.shared + self.own
    }

    /// Correlation of z between two samples, about the common mean.
    pub fn correlation(self) -> f64 {
        let variance = self.variance();
        if variance > 0.0 { ((self.shared_pair + self.own_pair) / variance).clamp(-1.0, 1.0) } else { 1.0 }
    }

    /// Cosine between two samples' columns of Z.
    pub fn cosine(self) -> f64 {
        let square = self.mean * self.mean;
        ((square + self.shared_pair + self.own_pair) / self.second_moment()).clamp(-1.0, 1.0)
    }

    /// z in units of 1/`factor`.
    pub fn scaled(self, factor: f64) -> Self {
        let square = factor * factor;
        Self {
            mean: self.mean * factor,
            shared: self.shared * square,
            own: self.own * square,
            shared_pair: self.shared_pair * square,
            own_pair: self.own_pair * square,
        }
    }

    /// The two agree to 12 digits.
    pub fn near(self, other: Self) -> bool {
        let size = self.second_moment();
        (self.mean - other.mean).abs() <= 1e-12 * size.sqrt()
            && (self.shared - other.shared).abs() <= 1e-12 * size
            && (self.own - other.own).abs() <= 1e-12 * size
    }
}

/// How an activation is taken over a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// As it is.
    Itself,
    /// One slope below zero and one above: a homogeneous activation, the tangents at zero of a small signal, or the
    /// asymptotes of a large one.
    Slopes(f64, f64),
}

impl Form {
    /// (φ − φ(0), φ′) at z.
    pub fn at(self, act: &Activation, z: f64) -> (f64, f64) {
        match self {
            Self::Itself => act.kernel.at(z),
            Self::Slopes(_, right) if z > 0.0 => (right * z, right),
            Self::Slopes(left, _) => (left * z, left),
        }
    }

    /// φ(0).
    pub fn at_zero(self, act: &Activation) -> f64 {
        if self == Self::Itself { act.shape.at_zero } else { 0.0 }
    }

    /// Where φ is not smooth.
    pub fn kinks(self, act: &Activation) -> Vec<f64> {
        match self {
            Self::Itself => act.shape.kinks.clone(),
            Self::Slopes(left, right) if left == right => Vec::new(),
            Self::Slopes(..) => vec![0.0],
        }
    }
}

/// What an activation makes of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passed {
    /// E φ.
    pub mean: f64,
    /// E φ².
    pub square: f64,
    /// Var φ, with its digits where φ hardly varies.
    pub spread: f64,
    /// E φ⁴.
    pub fourth: f64,
    /// E (φ − E φ)⁴.
    pub centered_fourth: f64,
    /// E φ′.
    pub slope: f64,
    /// E φ′².
    pub squared_slope: f64,
    /// E φ′⁴.
    pub fourth_slope: f64,
    /// E φ²φ′².
    pub cross: f64,
    /// d log E φ² / d log q, q the variance.
    pub growth: f64,
    /// d log Var φ / d log q.
    pub spread_growth: f64,
    /// d log E φ′² / d log q.
    pub slope_growth: f64,
    /// Largest estimated error of E φ², E φ′² and what they grow by, relative to the two.
    pub error: f64,
    /// The same of E φ⁴, E φ′⁴ and E φ²φ′².
    pub fourth_error: f64,
}

impl Passed {
    /// Over a field `factor` times as large, of a φ that two slopes make up.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let square = factor * factor;
        Self {
            mean: self.mean * factor,
            square: self.square * square,
            spread: self.spread * square,
            fourth: self.fourth * square * square,
            centered_fourth: self.centered_fourth * square * square,
            cross: self.cross * square,
            ..self
        }
    }
}

/// Moments of φ and φ′ over a field.
pub fn pass(act: &Activation, field: Field, form: Form) -> Passed {
    let (mean, variance) = (field.mean, field.variance());
    let offset = form.at_zero(act);
    // ψ(z) = φ(z) − φ(mean): what is spread keeps its digits, however far from zero it is.
    let center = form.at(act, mean).0;
    let integrand = |u: f64, z: f64| {
        let (value, slope) = form.at(act, u);
        let (psi, phi) = (value - center, value + offset);
        let (square, steep) = (phi * phi, slope * slope);
        let (psi_square, stretch) = (psi * psi, 0.5 * (z * z - 1.0));
        [
            psi,
            psi_square,
            psi_square * psi,
            psi_square * psi_square,
            phi,
            square,
            square * square,
            slope,
            steep,
            steep * steep,
            square * steep,
            square * stretch,
            steep * stretch,
            psi * stretch,
            psi_square * stretch,
        ]
    };
    let found = gaussian(integrand, mean, variance, &form.kinks(act));
    let value = |i: usize| found[i].value;
    let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
    let (m, square, slope, squared_slope) = (value(0), value(5), value(7), value(8));
    // Over a field as narrow as this, φ is its tangent, and its values are rounding.
    let (spread, centered_fourth, spread_growth) = if variance < 1e-14 * mean * mean {
        let spread = slope * slope * variance;
        (spread, 3.0 * spread * spread, 1.0)
    } else {
        let spread = (value(1) - m * m).max(0.0);
        let fourth = value(3) - 4.0 * m * value(2) + 6.0 * m * m * value(1) - 3.0 * m.powi(4);
        (spread, fourth.max(spread * spread), ratio(value(14) - 2.0 * m * value(13), spread))
    };
    let relative = |i: usize, of: usize| ratio(found[i].error, value(of));
    Passed {
        mean: value(4),
        square,
        spread,
        fourth: value(6),
        centered_fourth,
        slope,
        squared_slope,
        fourth_slope: value(9),
        cross: value(10),
        growth: ratio(value(11), square),
        spread_growth,
        slope_growth: ratio(value(12), squared_slope),
        error: relative(5, 5).max(relative(8, 8)).max(relative(11, 5)).max(relative(12, 8)),
        fourth_error: [6, 9, 10].into_iter().map(|i| relative(i, i)).fold(0.0, f64::max),
    }
}

/// How a layer's weights scatter about their law's moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scatter {
    /// Independent entries: squared norms of the output scatter as those of a normal vector.
    Independent,
    /// A Haar matrix, whose shorter side is orthonormal: it keeps norms and angles.
    Orthogonal,
    /// All entries equal: nothing scatters.
    Fixed,
}

/// Mean and variance of the entries of a layer's weights and biases, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightMoments {
    /// Columns.
    pub fan_in: f64,
    /// Rows.
    pub fan_out: f64,
    /// Mean of a weight.
    pub mean: f64,
    /// Variance of a weight.
    pub variance: f64,
    /// Mean of a bias.
    pub bias_mean: f64,
    /// Variance of a bias.
    pub bias_variance: f64,
    /// How the weights scatter about their moments.
    pub scatter: Scatter,
}

impl WeightMoments {
    /// Mean square of the biases, which may be beyond the doubles.
    pub fn bias_square(&self) -> Wide {
        let mean = Wide::from(self.bias_mean);
        mean * mean + Wide::from(self.bias_variance)
    }

    /// The moments of two laws; `None` for weights that are neither independent nor rotation-invariant.
    pub fn of(fan_in: usize, fan_out: usize, weights: &Law, bias: &Law) -> Option<Self> {
        let scatter = match weights {
            Law::Identity { .. } | Law::Mirrored { .. } => return None,
            Law::Haar { .. } => Scatter::Orthogonal,
            law if law.is_point_mass() => Scatter::Fixed,
            _ => Scatter::Independent,
        };
        let (w, b) = (weights.moments(fan_in, fan_out), bias.moments(fan_in, fan_out));
        Some(Self {
            fan_in: fan_in as f64,
            fan_out: fan_out as f64,
            mean: w.mean,
            variance: w.variance,
            bias_mean: b.mean,
            bias_variance: b.variance,
            scatter,
        })
    }

    /// σ_w² = fan_in·Var(W) and σ_b² = Var(b), the plane of mean-field theory; `None` for laws with a mean, which is no part of it.
    pub fn gains(&self) -> Option<(f64, f64)> {
        let centered = self.mean == 0.0 && self.bias_mean == 0.0;
        centered.then_some((self.fan_in * self.variance, self.bias_variance))
    }

    /// n independent N(0, σ_w²/n) weights a unit and N(0, σ_b²) biases in a square layer.
    pub fn square(n: usize, sigma_w2: f64, sigma_b2: f64) -> Self {
        let n = n as f64;
        Self {
            fan_in: n,
            fan_out: n,
            mean: 0.0,
            variance: sigma_w2 / n,
            bias_mean: 0.0,
            bias_variance: sigma_b2,
            scatter: Scatter::Independent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(name: &str) -> Activation {
        Activation::parse(name).unwrap()
    }

    fn field(mean: f64, own: f64) -> Field {
        Field { mean, own, ..Field::default() }
    }

    #[test]
    fn moments_of_a_shifted_normal() {
        // z ~ N(m, 1): E relu = m·Φ(m) + φ(m), E relu² = (m² + 1)·Φ(m) + m·φ(m), here at m = 1.
        let (cdf, pdf) = (0.841_344_746_068_543, 0.241_970_724_519_143_37);
        for form in [Form::Itself, Form::Slopes(0.0, 1.0)] {
            let passed = pass(&act("relu"), Field { shared: 0.25, ..field(1.0, 0.75) }, form);
            assert!((passed.mean - (cdf + pdf)).abs() < 1e-12);
            assert!((passed.square - (2.0 * cdf + pdf)).abs() < 1e-12);
            assert!((passed.slope - cdf).abs() < 1e-12 && (passed.squared_slope - cdf).abs() < 1e-12);
            assert!((passed.spread - (passed.square - passed.mean * passed.mean)).abs() < 1e-12);
        }
        // By adaptive quadrature, 12 digits; then a step that is narrow against the field.
        let passed = pass(&act("tanh"), field(0.0, 1.0), Form::Itself);
        assert!((passed.square - 0.394_294).abs() < 1e-6 && (passed.squared_slope - 0.464_403).abs() < 1e-6);
        let passed = pass(&act("tanh"), field(300.0, 9e4), Form::Itself);
        // E sign = 2Φ(1) − 1, but for the step's own width: (π²/12)/300² of the density's slope.
        assert!((passed.mean - (2.0 * cdf - 1.0)).abs() < 1e-5, "{}", passed.mean);
        let point = pass(&act("sigmoid"), field(0.0, 0.0), Form::Itself);
        assert_eq!((point.mean, point.square), (0.5, 0.25));
    }

    /// What two slopes make of a field scales with it.
    #[test]
    fn slopes_scale() {
        let (act, form) = (act("leaky-relu(0.2)"), Form::Slopes(0.2, 1.0));
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
        for mean in [0.0, 0.7] {
            let one = pass(&act, field(mean, 1.3), form).scaled(1.7);
            let two = pass(&act, field(mean, 1.3).scaled(1.7), form);
            assert!(near(one.mean, two.mean) && near(one.square, two.square) && near(one.spread, two.spread));
            assert!(near(one.fourth, two.fourth) && near(one.centered_fourth, two.centered_fourth));
            assert!(near(one.slope, two.slope) && near(one.squared_slope, two.squared_slope));
            assert!(near(one.fourth_slope, two.fourth_slope) && near(one.cross, two.cross));
            assert!(near(one.growth, two.growth) && near(one.spread_growth, two.spread_growth));
        }
    }

    #[test]
    fn spread_keeps_its_digits() {
        // A sigmoid over a narrow field: Var φ = φ′(m)²q, sixteen decades below its square.
        for (mean, q) in [(0.0, 1e-18), (0.7, 1e-16), (3.0, 1e-30)] {
            let passed = pass(&act("sigmoid"), field(mean, q), Form::Itself);
            let slope = act("sigmoid").at(mean).1;
            assert!((passed.spread / (slope * slope * q) - 1.0).abs() < 1e-6, "{mean} {q}: {passed:?}");
        }
    }

    #[test]
    fn growth_is_the_logarithmic_derivative() {
        for name in ["tanh", "relu", "gelu", "hard-tanh", "sigmoid"] {
            let act = act(name);
            for q in [0.01f64, 1.0, 30.0] {
                let at = |q: f64| pass(&act, field(0.0, q), Form::Itself);
                let (here, h) = (at(q), 1e-4f64);
                let (up, down) = (at(q * h.exp()), at(q * (-h).exp()));
                let growth = (up.square / down.square).ln() / (2.0 * h);
                let steep = (up.squared_slope / down.squared_slope).ln() / (2.0 * h);
                assert!((here.growth - growth).abs() < 1e-7, "{name} {q}: {} {growth}", here.growth);
                assert!(
                    (here.slope_growth - steep).abs() < 1e-7,
                    "{name} {q}: {} {steep}",
                    here.slope_growth
                );
            }
        }
    }
}
