//! How the norm of one network's signal scatters about what wide-layer theory says of it: the exact law through homogeneous
//! layers with independent normal weights and no biases (Hanin & Rolnick 2018; Hanin & Nica 2019), by its cumulants.
//!
//! With slopes a and 1 on either side of zero, n units, and A ~ Binomial(n, ½) of them on the steeper side, a layer
//! multiplies one sample's squared norm of the activations by (2/((1 + a²)n))·(χ²_A + a²χ²_{n−A}) times what wide-layer
//! theory says, independently of all other layers. Rotating z, that is S·Y: S ~ χ²_n, and Y = a² + (1 − a²)β with β the part
//! of ‖z‖² on the steeper side. The factors of a gradient have the same law: what comes down to a layer has independent
//! signs, so that the rows it meets are as if they had never been used, and a layer's units lie on the steeper side by fair
//! coins whatever the layer below holds. A layer's weight gradient is the product of a signal that the layers below have
//! scattered and a gradient that the layers from it on have, so that it meets each layer once.

mod inversion;

use inversion::Inversion;
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};
use statrs::function::gamma::{digamma, ln_gamma};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2};
use std::sync::{Arc, OnceLock};

/// Standard deviations of A/n about ½ that are followed; beyond, Hoeffding's bound is e^(−2·8²) = 10⁻⁵⁵.
const BULK: f64 = 16.0;

/// Skewness of the logarithm beyond which a law is far from log-normal.
const SKEWED: f64 = 0.3;
/// Skewness below which few more factors will bring it there again.
const STRAIGHT: f64 = 0.03;
/// Units beyond which a layer's law is that of this many, brought to its own by the powers of 1/n that cumulants go with.
const WIDE: usize = 512;

/// The logarithm, to base e, of a positive random factor, by its cumulants; and the probability that the factor is an exact
/// zero, which has no logarithm. Factors of mean 1 are meant, zeros counted.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLaw {
    /// Mean, variance, third and fourth cumulant of the logarithm where the factor is not zero.
    pub cumulants: [f64; 4],
    /// Probability of a zero.
    pub death: f64,
    /// What it is a product of, while it is not log-normal and its factors are known exactly.
    factors: Option<Arc<Known>>,
}

/// A product of known factors.
#[derive(Clone, Debug)]
struct Known {
    factors: Vec<Factors>,
    /// The law by inversion, made when the first quantile is asked for.
    inverted: OnceLock<Inversion>,
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.factors == other.factors
    }
}

impl From<Vec<Factors>> for Known {
    fn from(factors: Vec<Factors>) -> Self {
        Self { factors, inverted: OnceLock::new() }
    }
}

/// Like factors of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Factors {
    /// n, or the degrees of freedom of a χ².
    units: f64,
    /// a; 1 for a χ².
    slope: f64,
    count: u32,
}

impl LogLaw {
    /// Nothing scatters.
    pub const CERTAIN: Self = Self { cumulants: [0.0; 4], death: 0.0, factors: None };

    /// A log-normal factor of mean 1, the logarithm of which has this variance.
    pub fn log_normal(variance: f64) -> Self {
        let variance = variance.max(0.0);
        Self { cumulants: [-0.5 * variance, variance, 0.0, 0.0], ..Self::CERTAIN }
    }

    /// χ²_k/k: the mean square of k independent N(0, 1), k > 0 and not necessarily an integer.
    pub fn chi_squared(k: f64) -> Self {
        let mut cumulants = log_chi_squared(k);
        // Where k is large, log χ² and log k have most of their digits in common.
        cumulants[0] = if k > 1e4 { -1.0 / k - 1.0 / (3.0 * k * k) } else { cumulants[0] - k.ln() };
        Self { cumulants, ..Self::CERTAIN }.of(k, 1.0)
    }

    /// What a layer of n units with slopes `(left, right)` on either side of zero makes of one sample's squared norm, over
    /// what wide-layer theory says. `None` without a unit or a slope.
    pub fn layer(n: usize, slopes: (f64, f64)) -> Option<Self> {
        let (left, right) = (slopes.0.abs(), slopes.1.abs());
        let (low, high) = (left.min(right), left.max(right));
        if n == 0 || !(high > 0.0 && high.is_finite()) {
            return None;
        }
        let a = low / high;
        if n > WIDE {
            let leading = first_order((a, 1.0)) / WIDE as f64;
            return Some(Self::exact(WIDE, a).averaged(n as f64 / WIDE as f64, leading));
        }
        Some(Self::exact(n, a))
    }

    fn exact(n: usize, a: f64) -> Self {
        let scale = (2.0 / ((1.0 + a * a) * n as f64)).ln();
        if a == 0.0 {
            let death = 0.5f64.powi(n.min(2000) as i32);
            let living = binomial(n).filter(|(k, _)| *k > 0);
            let parts: Vec<_> = living
                .map(|(k, p)| {
                    let mut part = log_chi_squared(k as f64);
                    part[0] += scale;
                    (part, p)
                })
                .collect();
            return Self { cumulants: mixture(&parts), death, factors: None }.of(n as f64, a);
        }
        let norm = log_chi_squared(n as f64);
        let split: Vec<_> = two_sided(n, a).iter().map(|(log, p)| ([*log, 0.0, 0.0, 0.0], *p)).collect();
        let split = mixture(&split);
        let mut cumulants: [f64; 4] = std::array::from_fn(|k| norm[k] + split[k]);
        cumulants[0] += scale;
        Self { cumulants, ..Self::CERTAIN }.of(n as f64, a)
    }

    /// Remembers the one factor, where it matters.
    fn of(self, units: f64, slope: f64) -> Self {
        let one = || Arc::new(vec![Factors { units, slope, count: 1 }].into());
        Self { factors: (self.skewness().abs() > STRAIGHT).then(one), ..self }
    }

    /// The law where `times` as many take part in the mean, given the variance of this logarithm to first order: cumulants go
    /// with powers of 1/n, the first two in two terms, of which the first is known.
    #[must_use]
    pub fn averaged(&self, times: f64, leading: f64) -> Self {
        if (times - 1.0).abs() < 1e-6 {
            return self.clone();
        }
        let [mean, variance, third, fourth] = self.cumulants;
        let rest = [mean + 0.5 * leading, variance - leading];
        let cumulants = [
            (rest[0] / times - 0.5 * leading) / times,
            (rest[1] / times + leading) / times,
            third / (times * times),
            fourth / times.powi(3),
        ];
        Self { cumulants, death: self.death.powf(times), factors: None }
    }

    /// The law of the product with an independent factor.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        if *other == Self::CERTAIN {
            return self.clone();
        } else if *self == Self::CERTAIN {
            return other.clone();
        }
        let death = self.death + other.death - self.death * other.death;
        let cumulants = std::array::from_fn(|k| self.cumulants[k] + other.cumulants[k]);
        let product = Self { cumulants, death, factors: None };
        let (Some(own), Some(others)) = (&self.factors, &other.factors) else { return product };
        if product.skewness().abs() <= STRAIGHT {
            return product;
        }
        let mut factors = own.factors.clone();
        for one in &others.factors {
            match factors.iter_mut().find(|f| f.units == one.units && f.slope == one.slope) {
                Some(like) => like.count += one.count,
                None => factors.push(*one),
            }
        }
        Self { factors: Some(Arc::new(factors.into())), ..product }
    }

    /// The same law where this is the probability of a zero.
    #[must_use]
    pub fn dying(self, death: f64) -> Self {
        Self { death, ..self }
    }

    /// All of it is finite.
    pub fn is_finite(&self) -> bool {
        self.death.is_finite() && self.cumulants.iter().all(|c| c.is_finite())
    }

    /// Standard deviation of the logarithm.
    pub fn std(&self) -> f64 {
        self.cumulants[1].max(0.0).sqrt()
    }

    /// Third cumulant of the standardized logarithm; 0 where nothing scatters.
    fn skewness(&self) -> f64 {
        let std = self.std();
        if std > 0.0 { self.cumulants[2] / std.powi(3) } else { 0.0 }
    }

    /// The logarithm below which the factor falls with probability `p`, zeros counted; `None` where that is a zero.
    ///
    /// Where known factors make a law that is far from log-normal, its characteristic function is inverted. Elsewhere it is
    /// the quantile of a scaled log χ² with the same first three cumulants, and Cornish & Fisher's (1938) term for what the
    /// fourth differs by, which is right to a hundredth of a standard deviation.
    pub fn quantile(&self, p: f64) -> Option<f64> {
        let living = (p - self.death) / (1.0 - self.death);
        if !(0.0..1.0).contains(&living) || living == 0.0 {
            return None;
        }
        let std = self.std();
        if std == 0.0 {
            return Some(self.cumulants[0]);
        }
        let (z, skew) = (Normal::standard().inverse_cdf(living), self.skewness());
        let at = |standardized: f64| self.cumulants[0] + std * standardized;
        if let Some(known) = self.factors.as_ref().filter(|_| skew.abs() > SKEWED) {
            let inverted =
                known.inverted.get_or_init(|| Inversion::new(&known.factors, self.cumulants[0], std));
            return Some(inverted.quantile(living, at(z + (z * z - 1.0) * skew / 6.0)));
        }
        let (base, covered) = skewed(skew, living, z);
        let excess = self.cumulants[3] / std.powi(4);
        Some(at(base + (z.powi(3) - 3.0 * z) * (excess - covered) / 24.0))
    }
}

/// The quantile of the law with mean 0, variance 1 and this skewness, and its fourth cumulant: that of log χ²_k for the k
/// that has the skewness, and to first order where that is small. `z` is the normal quantile.
fn skewed(skew: f64, p: f64, z: f64) -> (f64, f64) {
    // Beyond, log χ²_k is no longer to be told from an exponential law.
    let sought = skew.clamp(-1.99, 0.0);
    if skew.abs() < 0.03 || skew > 0.0 {
        let bent = z + (z * z - 1.0) * skew / 6.0 - (2.0 * z.powi(3) - 5.0 * z) * skew * skew / 36.0;
        return (bent, 0.0);
    }
    let (mut low, mut high) = (1e-2f64.ln(), 1e5f64.ln());
    for _ in 0..40 {
        let x = f64::midpoint(low, high).exp();
        let here = polygamma(2, x) / polygamma(1, x).powf(1.5);
        if here < sought { low = x.ln() } else { high = x.ln() }
    }
    let k = 2.0 * f64::midpoint(low, high).exp();
    let [mean, variance, _, fourth] = log_chi_squared(k);
    let quantile = ChiSquared::new(k).map_or(f64::NAN, |law| law.inverse_cdf(p));
    ((quantile.ln() - mean) / variance.sqrt(), fourth / (variance * variance))
}

/// Cumulants of log χ²_k: ψ(k/2) + log 2, and ψ's derivatives.
fn log_chi_squared(k: f64) -> [f64; 4] {
    let x = 0.5 * k;
    [digamma(x) + LN_2, polygamma(1, x), polygamma(2, x), polygamma(3, x)]
}

/// Cumulants of a mixture of laws with these cumulants and weights, which are brought to the sum of one.
fn mixture(parts: &[([f64; 4], f64)]) -> [f64; 4] {
    let total: f64 = parts.iter().map(|(_, p)| p).sum();
    let mean = parts.iter().map(|(part, p)| p * part[0]).sum::<f64>() / total;
    let (mut second, mut third, mut fourth) = (0.0, 0.0, 0.0);
    for ([one, two, three, four], p) in parts {
        let (p, away) = (p / total, one - mean);
        let square = away * away;
        second += p * (two + square);
        third += p * (three + 3.0 * away * two + away * square);
        fourth += p * (four + 3.0 * two * two + 4.0 * away * three + 6.0 * square * two + square * square);
    }
    [mean, second, third, fourth - 3.0 * second * second]
}

/// The bulk of Binomial(n, ½).
fn binomial(n: usize) -> impl Iterator<Item = (usize, f64)> {
    let (middle, reach) = (0.5 * n as f64, 0.5 * BULK * (n as f64).sqrt() + 1.0);
    let low = (middle - reach).max(0.0) as usize;
    let high = ((middle + reach).ceil() as usize).min(n);
    let whole = ln_gamma(n as f64 + 1.0) - n as f64 * LN_2;
    (low..=high).map(move |k| (k, (whole - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)).exp()))
}

/// (log Y, probability): β = sin²θ has the density Σ_A P(A)·2 sin^{A−1}θ cos^{n−A−1}θ / B(A/2, (n−A)/2), and atoms at 0, 1.
fn two_sided(n: usize, a: f64) -> Vec<(f64, f64)> {
    if a == 1.0 || n == 0 {
        return vec![(0.0, 1.0)];
    }
    let square = a * a;
    let mut parts = Vec::new();
    let mut inner = Vec::new();
    let half_n = ln_gamma(0.5 * n as f64);
    for (k, p) in binomial(n) {
        if k == 0 || k == n {
            parts.push((if k == 0 { square.ln() } else { 0.0 }, p));
        } else {
            let (x, y) = (0.5 * k as f64, 0.5 * (n - k) as f64);
            inner.push((k, (2.0 * p).ln() + half_n - ln_gamma(x) - ln_gamma(y)));
        }
    }
    // θ is within some 1/√n of π/4, and Y changes on the scale of a near 0.
    let step = 1.0 / (n as f64).sqrt();
    let mut cuts: Vec<f64> = (-14..=14).map(|k| FRAC_PI_4 + step * f64::from(k)).collect();
    cuts.extend((-3..=4).map(|k| a * 2f64.powi(k)));
    cuts.retain(|c| *c > 0.0 && *c < FRAC_PI_2);
    cuts.extend([0.0, FRAC_PI_2]);
    cuts.sort_by(f64::total_cmp);
    for ends in cuts.windows(2) {
        if (ends[1] < FRAC_PI_4 - 14.0 * step) || (ends[0] > FRAC_PI_4 + 14.0 * step) {
            continue;
        }
        for (theta, w) in crate::numeric::quadrature::panel_nodes(ends[0], ends[1]) {
            let (sine, cosine) = theta.sin_cos();
            let (log_sine, log_cosine) = (sine.ln(), cosine.ln());
            let density: f64 = inner
                .iter()
                .map(|(k, log)| {
                    (log + (*k as f64 - 1.0) * log_sine + ((n - k) as f64 - 1.0) * log_cosine).exp()
                })
                .sum();
            if density * w > 1e-300 {
                parts.push(((square * cosine * cosine + sine * sine).ln(), density * w));
            }
        }
    }
    let total: f64 = parts.iter().map(|(_, p)| p).sum();
    parts.iter_mut().for_each(|(_, p)| *p /= total);
    parts
}

/// E φ⁴/(E φ²)² − 1 of a homogeneous activation: a layer of n units scatters the log of the squared norm by this over n,
/// and its mean falls by half of that (ReLU 5, linear 2; Hanin & Rolnick 2018).
pub fn first_order(slopes: (f64, f64)) -> f64 {
    let (left, right) = slopes;
    let second = f64::midpoint(left * left, right * right);
    let fourth = f64::midpoint(left.powi(4), right.powi(4));
    if second == 0.0 { 0.0 } else { 3.0 * fourth / (second * second) - 1.0 }
}

/// The derivative of this order, 1 to 3, of ψ at x > 0: the recurrence up to x > 16 and the asymptotic series (Abramowitz &
/// Stegun 6.4.6 and 6.4.11).
fn polygamma(order: i32, mut x: f64) -> f64 {
    /// B_2k/(2k)!
    const BERNOULLI: [f64; 6] = [
        1.0 / 12.0,
        -1.0 / 720.0,
        1.0 / 30_240.0,
        -1.0 / 1_209_600.0,
        1.0 / 47_900_160.0,
        -691.0 / 1_307_674_368_000.0,
    ];
    let factorial = |n: i32| (1..=n).map(f64::from).product::<f64>();
    let sign = if order % 2 == 0 { -1.0 } else { 1.0 };
    let mut sum = 0.0;
    while x < 16.0 {
        sum += factorial(order) / x.powi(order + 1);
        x += 1.0;
    }
    sum += factorial(order - 1) / x.powi(order) + 0.5 * factorial(order) / x.powi(order + 1);
    for (k, b) in (1..).zip(BERNOULLI) {
        sum += b * factorial(2 * k + order - 1) / x.powi(2 * k + order);
    }
    sign * sum
}

#[cfg(test)]
mod tests {
    use super::inversion::{Inversion, ln_gamma_complex};
    use super::*;
    use nalgebra::Complex;
    use std::f64::consts::PI;

    const RELU: (f64, f64) = (0.0, 1.0);

    fn stack(n: usize, depth: usize, slopes: (f64, f64)) -> LogLaw {
        let layer = LogLaw::layer(n, slopes).unwrap();
        (0..depth).fold(LogLaw::CERTAIN, |law, _| law.times(&layer))
    }

    #[test]
    fn gamma_functions() {
        for (x, y) in [(0.5, 0.0), (3.0, 4.0), (20.0, 1.0), (0.5, 25.0)] {
            // Γ(z + 1) = zΓ(z).
            let z = Complex::new(x, y);
            let ratio = (ln_gamma_complex(z + 1.0) - ln_gamma_complex(z)).exp();
            assert!((ratio - z).norm() < 1e-12 * z.norm(), "{z}");
        }
        assert!((ln_gamma_complex(Complex::new(7.3, 0.0)).re - ln_gamma(7.3)).abs() < 1e-12);
        // ψ′(½) = π²/2, ψ′(1) = π²/6, ψ″(1) = −2ζ(3), ψ‴(½) = π⁴.
        for (order, x, value) in [
            (1, 0.5, PI * PI / 2.0),
            (1, 1.0, PI * PI / 6.0),
            (2, 1.0, -2.404_113_806_319_188_6),
            (3, 0.5, PI.powi(4)),
        ] {
            assert!(
                (polygamma(order, x) / value - 1.0).abs() < 1e-14,
                "{order} {x}: {}",
                polygamma(order, x)
            );
        }
    }

    /// Medians at depth 50. The exact ones are by mpmath, 25 digits: cumulants of the mixture by polygamma functions, and the
    /// median by Cornish & Fisher's κ₁ − κ₃/(6κ₂), whose next term is below 10⁻⁵ here. To first order they are e^(−5L/(2n)):
    /// 0.287, 0.614 and 0.783, 1 % high at n = 100.
    #[test]
    fn medians_of_he_relu() {
        for (n, median, printed) in
            [(100, 0.283_628, 0.287), (256, 0.614_279, 0.614), (512, 0.784_363, 0.783)]
        {
            let law = stack(n, 50, RELU);
            let found = law.quantile(0.5).unwrap().exp();
            assert!((found - median).abs() < 1e-5, "{n}: {found}");
            assert!(((-125.0 / n as f64).exp() - printed).abs() < 5.1e-4);
            let leading = 250.0 / n as f64;
            assert!((law.cumulants[1] / leading - 1.0).abs() < 6.0 / n as f64, "{n}: {law:?}");
            assert!((law.cumulants[0] / (-0.5 * leading) - 1.0).abs() < 6.0 / n as f64, "{n}: {law:?}");
            assert!(law.death < 1e-28);
        }
    }

    /// Cumulants alone, against quantiles by inversion: in standard deviations, largest where few narrow layers are skewed.
    #[test]
    fn cumulants_tell_what_is_not_far_from_log_normal() {
        for (n, depth, a, allowed) in [
            (30, 1, 0.0, 0.01),
            (300, 1, 0.0, 3e-4),
            (10, 50, 0.0, 4e-3),
            (20, 1, 0.3, 0.015),
            (20, 30, 0.01, 1e-3),
        ] {
            let law = LogLaw { factors: None, ..stack(n, depth, (a, 1.0)) };
            let factors = [Factors { units: n as f64, slope: a, count: depth as u32 }];
            let exact = Inversion::new(&factors, law.cumulants[0], law.std());
            for p in [0.05, 0.25, 0.5, 0.75, 0.95] {
                let living = (p - law.death) / (1.0 - law.death);
                let miss = (law.quantile(p).unwrap() - exact.quantile(living, law.cumulants[0])) / law.std();
                assert!(miss.abs() < allowed, "{n} × {depth}, a = {a}, p = {p}: {miss}");
            }
        }
    }

    /// One layer, against the mixture of χ² distribution functions.
    #[test]
    fn quantiles_of_one_relu_layer() {
        for n in [2usize, 7, 40, 300] {
            let law = LogLaw::layer(n, RELU).unwrap();
            let cdf = |x: f64| -> f64 {
                let top = x.exp() * n as f64 / 2.0;
                binomial(n)
                    .map(|(k, p)| p * if k == 0 { 1.0 } else { ChiSquared::new(k as f64).unwrap().cdf(top) })
                    .sum()
            };
            assert!((law.death - 0.5f64.powi(n as i32)).abs() < 1e-15);
            let factors = [Factors { units: n as f64, slope: 0.0, count: 1 }];
            let inversion = Inversion::new(&factors, law.cumulants[0], law.std());
            for p in [0.3, 0.5, 0.9, 0.999] {
                let x = inversion.quantile((p - law.death) / (1.0 - law.death), law.cumulants[0]);
                assert!((cdf(x) - p).abs() < 1e-7, "{n} {p}: {x} {}", cdf(x));
                // Four cumulants do where many units leave little skewness.
                let x = law.quantile(p).unwrap();
                let allowed = if n < 300 { 1e-7 } else { 4e-3 * p.min(1.0 - p) };
                assert!((cdf(x) - p).abs() < allowed, "{n} {p}: {x} {}", cdf(x));
            }
        }
    }

    /// A linear layer is χ²_n/n; a leaky one has moments that χ²'s give, and joins the ends.
    #[test]
    fn linear_and_leaky() {
        let (linear, chi) = (LogLaw::layer(30, (1.0, 1.0)).unwrap(), LogLaw::chi_squared(30.0));
        assert!((0..4).all(|k| (linear.cumulants[k] - chi.cumulants[k]).abs() < 1e-12), "{linear:?}");
        let (near, far) = (LogLaw::chi_squared(9999.9), LogLaw::chi_squared(10_000.1));
        assert!((near.cumulants[0] / far.cumulants[0] - 1.0).abs() < 1e-4);
        for (n, a) in [(5, 0.3), (64, 0.01), (200, 0.7)] {
            // Slopes a and 1/a are one law.
            let (one, other) = (LogLaw::layer(n, (a, 1.0)).unwrap(), LogLaw::layer(n, (-1.0, a)).unwrap());
            assert_eq!(one, other);
            let (m1, m2) = two_sided(n, a)
                .iter()
                .fold((0.0, 0.0), |(s, t), (log, p)| (s + p * log.exp(), t + p * (2.0 * log).exp()));
            let (count, f) = (n as f64, 2.0 / ((1.0 + a * a) * n as f64));
            assert!((f * count * m1 - 1.0).abs() < 1e-10, "{n} {a}");
            let fourth = 6.0 * (1.0 + a.powi(4)) / (1.0 + a * a).powi(2) - 1.0;
            assert!((f * f * count * (count + 2.0) * m2 - 1.0 - fourth / count).abs() < 1e-9, "{n} {a}");
        }
        // At A = 0 a leaky layer has a², where a ReLU is dead: alike but for that.
        let (relu, nearly) = (stack(40, 5, RELU), stack(40, 5, (1e-5, 1.0)));
        assert!((relu.quantile(0.5).unwrap() - nearly.quantile(0.5).unwrap()).abs() < 1e-6);
    }

    /// More units, and more samples of which a mean is taken: as far as two terms reach.
    #[test]
    fn averages_follow_the_powers_of_their_number() {
        for slopes in [RELU, (1.0, 1.0), (0.2, 1.0)] {
            let (narrow, wide) = (LogLaw::exact(100, slopes.0), LogLaw::exact(400, slopes.0));
            let brought = narrow.averaged(4.0, first_order(slopes) / 100.0);
            for k in 0..4 {
                let ratio = brought.cumulants[k] / wide.cumulants[k];
                assert!((ratio - 1.0).abs() < [2e-3, 2e-3, 0.1, 0.2][k], "{slopes:?} {k}: {ratio}");
            }
        }
    }

    #[test]
    fn scatter_to_first_order() {
        assert_eq!((first_order(RELU), first_order((1.0, 1.0))), (5.0, 2.0));
    }

    #[test]
    fn narrow_deep_networks_die() {
        let law = stack(3, 20, RELU);
        assert!((law.death - (1.0 - 0.875f64.powi(20))).abs() < 1e-14);
        assert_eq!(law.quantile(0.5), None);
        assert!(law.quantile(0.99).is_some());
        assert!(LogLaw::layer(0, RELU).is_none() && LogLaw::layer(4, (0.0, 0.0)).is_none());
    }
}
