//! The exact law of one sample's norm through homogeneous layers with independent normal weights and no biases
//! (Hanin & Rolnick 2018; Hanin & Nica 2019).
//!
//! With slopes a and 1 on either side of zero, n units, and A ~ Binomial(n, ½) of them on the steeper side, a layer
//! multiplies the squared norm of the activations by (2/((1 + a²)n))·(χ²_A + a²χ²_{n−A}) times what wide-layer theory
//! says, independently of all other layers. Rotating z, that is S·Y: S ~ χ²_n, and Y = a² + (1 − a²)β with β the part of
//! ‖z‖² on the steeper side.

use nalgebra::Complex;
use statrs::function::gamma::{digamma, ln_gamma};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, PI};

type C = Complex<f64>;

/// Standard deviations of A/n about ½ that are followed; beyond, Hoeffding's bound is e^(−2·8²) = 10⁻⁵⁵.
const BULK: f64 = 16.0;

/// The law of log(ratio to theory) of one layer, where not all units are dead.
struct LayerLaw {
    n: f64,
    /// log of 2/((1 + a²)n).
    scale: f64,
    form: LayerForm,
}

enum LayerForm {
    /// a = 0: (A, its probability) for A ≥ 1, summing to one.
    OneSided(Vec<(usize, f64)>),
    /// (log Y, its probability).
    TwoSided(Vec<(f64, f64)>),
}

impl LayerLaw {
    fn new(n: usize, a: f64) -> Self {
        let count = n as f64;
        let scale = (2.0 / ((1.0 + a * a) * count)).ln();
        let form = if a == 0.0 {
            let mut active: Vec<(usize, f64)> = binomial(n).filter(|(k, _)| *k > 0).collect();
            let total: f64 = active.iter().map(|(_, p)| p).sum();
            active.iter_mut().for_each(|(_, p)| *p /= total);
            LayerForm::OneSided(active)
        } else {
            LayerForm::TwoSided(two_sided(n, a))
        };
        Self { n: count, scale, form }
    }

    /// E e^{it·log R}.
    fn characteristic(&self, t: f64) -> C {
        let shift = C::new(0.0, t * (self.scale + LN_2)).exp();
        let sum: C = match &self.form {
            LayerForm::OneSided(active) => {
                // Γ(k/2 + it)/Γ(k/2), by Γ(x + 1) = xΓ(x) from the first of either parity.
                let mut ratios: [Option<(usize, C)>; 2] = [None; 2];
                let mut sum = C::new(0.0, 0.0);
                for (k, p) in active {
                    let half = 0.5 * *k as f64;
                    let ratio = match ratios[k % 2] {
                        Some((before, ratio)) if before + 2 == *k => {
                            ratio * (C::new(half - 1.0, t) / (half - 1.0))
                        }
                        _ => (ln_gamma_complex(C::new(half, t)) - ln_gamma(half)).exp(),
                    };
                    ratios[k % 2] = Some((*k, ratio));
                    sum += ratio * *p;
                }
                sum
            }
            LayerForm::TwoSided(parts) => {
                let norm = (ln_gamma_complex(C::new(0.5 * self.n, t)) - ln_gamma(0.5 * self.n)).exp();
                norm * parts.iter().map(|(log, p)| C::from_polar(*p, t * log)).sum::<C>()
            }
        };
        shift * sum
    }

    /// Mean and variance of log R.
    fn cumulants(&self) -> (f64, f64) {
        let (mean, square) = match &self.form {
            LayerForm::OneSided(active) => active.iter().fold((0.0, 0.0), |(mean, square), (k, p)| {
                let half = 0.5 * *k as f64;
                let psi = digamma(half) + LN_2 + self.scale;
                (mean + p * psi, square + p * (psi * psi + trigamma(half)))
            }),
            LayerForm::TwoSided(parts) => {
                let psi = digamma(0.5 * self.n) + LN_2 + self.scale;
                let (m, s) =
                    parts.iter().fold((0.0, 0.0), |(m, s), (log, p)| (m + p * log, s + p * log * log));
                let mean = psi + m;
                (mean, trigamma(0.5 * self.n) + s - m * m + mean * mean)
            }
        };
        (mean, square - mean * mean)
    }
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

/// The law of one sample's squared activation norm behind several layers, over what wide-layer theory says of it.
pub struct NormLaw {
    mean: f64,
    variance: f64,
    death: f64,
    /// (t, characteristic function) at the midpoints of steps `step`.
    table: Vec<(f64, C)>,
    step: f64,
}

impl NormLaw {
    /// Makes the law for layers of these widths with slopes `(left, right)` on either side of zero; `None` without a layer or a slope.
    pub fn new(widths: &[usize], slopes: (f64, f64)) -> Option<Self> {
        let (left, right) = (slopes.0.abs(), slopes.1.abs());
        let (low, high) = (left.min(right), left.max(right));
        if widths.is_empty() || widths.contains(&0) || high.is_nan() || high <= 0.0 {
            return None;
        }
        let a = low / high;
        let mut counts = std::collections::BTreeMap::new();
        widths.iter().for_each(|n| *counts.entry(*n).or_insert(0u32) += 1);
        let laws: Vec<(LayerLaw, u32)> =
            counts.iter().map(|(n, count)| (LayerLaw::new(*n, a), *count)).collect();
        let (mean, variance) = laws.iter().fold((0.0, 0.0), |(mean, variance), (law, count)| {
            let (m, v) = law.cumulants();
            (mean + m * f64::from(*count), variance + v * f64::from(*count))
        });
        let death = if a == 0.0 {
            let log: f64 = counts
                .iter()
                .map(|(n, count)| f64::from(*count) * (-(0.5f64.powi((*n).min(2000) as i32))).ln_1p())
                .sum();
            -log.exp_m1()
        } else {
            0.0
        };
        // The inversion repeats the law with this period; the lower tail of log χ²_A falls as e^(A·x/2).
        let narrowest = widths.iter().copied().min().unwrap_or(1);
        let period = 40.0 * variance.sqrt() + if narrowest < 64 { 80.0 } else { 0.0 };
        let step = 2.0 * PI / period;
        let mut table = Vec::new();
        for k in 0..200_000 {
            let t = (f64::from(k) + 0.5) * step;
            let value: C = laws.iter().map(|(law, count)| law.characteristic(t).powu(*count)).product();
            table.push((t, value));
            if value.norm() < 1e-13 {
                break;
            }
        }
        Some(Self { mean, variance, death, table, step })
    }

    /// E log of the ratio, where the signal lives.
    pub fn mean_log(&self) -> f64 {
        self.mean
    }

    /// Var log of the ratio, where the signal lives.
    pub fn variance_log(&self) -> f64 {
        self.variance
    }

    /// Probability that the signal is exactly zero: 1 − Π(1 − 2^−n) for ReLU, else 0.
    pub fn death(&self) -> f64 {
        self.death
    }

    /// P(log ratio ≤ x), where the signal lives (Gil-Pelaez 1951).
    pub fn living_cdf(&self, x: f64) -> f64 {
        let sum: f64 = self.table.iter().map(|(t, value)| (value * C::from_polar(1.0, -t * x)).im / t).sum();
        (0.5 - sum * self.step / PI).clamp(0.0, 1.0)
    }

    /// The log of the ratio below which it falls with probability `p`; `None` where that quantile is an exact zero.
    pub fn quantile(&self, p: f64) -> Option<f64> {
        let living = (p - self.death) / (1.0 - self.death);
        if !(0.0..1.0).contains(&living) || living == 0.0 {
            return None;
        }
        let reach = 0.45 * 2.0 * PI / self.step;
        let (mut low, mut high) = (self.mean - reach, self.mean + reach);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.living_cdf(middle) < living { low = middle } else { high = middle }
        }
        Some(f64::midpoint(low, high))
    }

    /// Median of the ratio itself; 0 where the signal is more likely dead than alive.
    pub fn median(&self) -> f64 {
        self.quantile(0.5).map_or(0.0, f64::exp)
    }
}

/// E φ⁴/(E φ²)² − 1 of a homogeneous activation: a layer of n units scatters the log of the squared norm by this over n,
/// and its mean falls by half of that (ReLU 5, linear 2; Hanin & Rolnick 2018).
pub fn first_order(slopes: (f64, f64)) -> f64 {
    let (left, right) = slopes;
    let second = f64::midpoint(left * left, right * right);
    let fourth = f64::midpoint(left.powi(4), right.powi(4));
    if second == 0.0 { 0.0 } else { 3.0 * fourth / (second * second) - 1.0 }
}

/// log Γ(z) for Re z > 0: Stirling's series behind a shift to |z| > 9 (Abramowitz & Stegun 6.1.40).
fn ln_gamma_complex(mut z: C) -> C {
    let mut shift = C::new(0.0, 0.0);
    while z.norm() < 9.0 {
        shift += z.ln();
        z += 1.0;
    }
    const SERIES: [f64; 7] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    let inverse = z.inv();
    let square = inverse * inverse;
    let series = SERIES.iter().rev().fold(C::new(0.0, 0.0), |sum, c| sum * square + c) * inverse;
    (z - 0.5) * z.ln() - z + 0.5 * (2.0 * PI).ln() + series - shift
}

/// d²/dx² log Γ(x), x > 0 (Abramowitz & Stegun 6.4.12).
fn trigamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 12.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    sum + 1.0 / x
        + 0.5 * y
        + y / x * (1.0 / 6.0 - y * (1.0 / 30.0 - y * (1.0 / 42.0 - y * (1.0 / 30.0 - y * 5.0 / 66.0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ChiSquared, ContinuousCDF};

    const RELU: (f64, f64) = (0.0, 1.0);

    #[test]
    fn gamma_functions() {
        for (x, y) in [(0.5, 0.0), (3.0, 4.0), (20.0, 1.0), (0.5, 25.0)] {
            // Γ(z + 1) = zΓ(z).
            let z = C::new(x, y);
            let ratio = (ln_gamma_complex(z + 1.0) - ln_gamma_complex(z)).exp();
            assert!((ratio - z).norm() < 1e-12 * z.norm(), "{z}");
        }
        assert!((ln_gamma_complex(C::new(7.3, 0.0)).re - ln_gamma(7.3)).abs() < 1e-12);
        assert!(
            (trigamma(0.5) - PI * PI / 2.0).abs() < 1e-13 && (trigamma(1.0) - PI * PI / 6.0).abs() < 1e-13
        );
    }

    /// Medians at depth 50. The exact ones are by mpmath, 25 digits: cumulants of the mixture by polygamma functions, and the
    /// median by Cornish & Fisher's κ₁ − κ₃/(6κ₂), whose next term is below 10⁻⁵ here. To first order they are e^(−5L/(2n)):
    /// 0.287, 0.614 and 0.783, 1 % high at n = 100.
    #[test]
    fn medians_of_he_relu() {
        for (n, median, printed) in
            [(100, 0.283_628, 0.287), (256, 0.614_279, 0.614), (512, 0.784_363, 0.783)]
        {
            let law = NormLaw::new(&[n; 50], RELU).unwrap();
            assert!((law.median() - median).abs() < 1e-5, "{n}: {}", law.median());
            assert!(((-125.0 / n as f64).exp() - printed).abs() < 5.1e-4);
            let first_order = 250.0 / n as f64;
            assert!(
                (law.variance_log() / first_order - 1.0).abs() < 6.0 / n as f64,
                "{n}: {}",
                law.variance_log()
            );
            assert!(
                (law.mean_log() / (-0.5 * first_order) - 1.0).abs() < 6.0 / n as f64,
                "{n}: {}",
                law.mean_log()
            );
            assert!(law.death() < 1e-28);
        }
    }

    /// One layer, against the mixture of χ² distribution functions.
    #[test]
    fn quantiles_of_one_relu_layer() {
        for n in [2usize, 7, 40, 300] {
            let law = NormLaw::new(&[n], RELU).unwrap();
            let exact = |x: f64| -> f64 {
                let top = x.exp() * n as f64 / 2.0;
                binomial(n)
                    .map(|(k, p)| p * if k == 0 { 1.0 } else { ChiSquared::new(k as f64).unwrap().cdf(top) })
                    .sum()
            };
            assert!((law.death() - 0.5f64.powi(n as i32)).abs() < 1e-15);
            for p in [0.3, 0.5, 0.9, 0.999] {
                let x = law.quantile(p).unwrap();
                assert!((exact(x) - p).abs() < 1e-7, "{n} {p}: {x} {}", exact(x));
            }
        }
    }

    /// A linear layer is χ²_n/n; so are products of them, whose log has the sum of the cumulants.
    #[test]
    fn linear_and_leaky() {
        let law = NormLaw::new(&[30], (1.0, 1.0)).unwrap();
        let chi = ChiSquared::new(30.0).unwrap();
        for p in [0.01, 0.5, 0.95] {
            let exact = (chi.inverse_cdf(p) / 30.0).ln();
            assert!((law.quantile(p).unwrap() - exact).abs() < 1e-6, "{p}");
        }
        assert!((law.variance_log() - trigamma(15.0)).abs() < 1e-12);
        // Leaky: E R = 1, E R² from moments of χ²; slopes a and 1/a are one law; a → 0 and a → 1 join the ends.
        for (n, a) in [(5, 0.3), (64, 0.01), (200, 0.7)] {
            let one = NormLaw::new(&[n; 3], (a, 1.0)).unwrap();
            let other = NormLaw::new(&[n; 3], (-1.0, a)).unwrap();
            assert!((one.median() - other.median()).abs() < 1e-9);
            let layer = LayerLaw::new(n, a);
            let LayerForm::TwoSided(parts) = &layer.form else { panic!() };
            let (m1, m2) = parts
                .iter()
                .fold((0.0, 0.0), |(s, t), (log, p)| (s + p * log.exp(), t + p * (2.0 * log).exp()));
            let (count, f) = (n as f64, 2.0 / ((1.0 + a * a) * n as f64));
            assert!((f * count * m1 - 1.0).abs() < 1e-10, "{n} {a}");
            let fourth = 6.0 * (1.0 + a.powi(4)) / (1.0 + a * a).powi(2) - 1.0;
            assert!((f * f * count * (count + 2.0) * m2 - 1.0 - fourth / count).abs() < 1e-9, "{n} {a}");
        }
        // At A = 0 a leaky layer has a², where a ReLU is dead: alike but for that.
        let (relu, nearly) =
            (NormLaw::new(&[40; 5], RELU).unwrap(), NormLaw::new(&[40; 5], (1e-5, 1.0)).unwrap());
        assert!((relu.median() - nearly.median()).abs() < 1e-6);
    }

    #[test]
    fn scatter_to_first_order() {
        assert_eq!((first_order(RELU), first_order((1.0, 1.0))), (5.0, 2.0));
    }

    #[test]
    fn narrow_deep_networks_die() {
        let law = NormLaw::new(&[3; 20], RELU).unwrap();
        assert!((law.death() - (1.0 - 0.875f64.powi(20))).abs() < 1e-14);
        assert_eq!((law.median(), law.quantile(0.5)), (0.0, None));
        assert!(law.quantile(0.99).is_some());
        assert!(NormLaw::new(&[], RELU).is_none() && NormLaw::new(&[4], (0.0, 0.0)).is_none());
    }
}
