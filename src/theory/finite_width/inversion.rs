//! The same law by inversion of its characteristic function, quantile by quantile: for laws
//! that a few cumulants do not tell.

use super::{Factors, binomial, two_sided};
use nalgebra::Complex;
use statrs::function::gamma::ln_gamma;
use std::f64::consts::{LN_2, PI};

type C = Complex<f64>;

/// Points of a table at most.
const MOST: u32 = 20_000;

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
    fn new(units: f64, a: f64) -> Self {
        let n = units as usize;
        let scale = (2.0 / ((1.0 + a * a) * units)).ln();
        let form = if a == 0.0 {
            let mut active: Vec<(usize, f64)> = binomial(n).filter(|(k, _)| *k > 0).collect();
            let total: f64 = active.iter().map(|(_, p)| p).sum();
            active.iter_mut().for_each(|(_, p)| *p /= total);
            LayerForm::OneSided(active)
        } else {
            // χ² alone has no sides, and any number of degrees.
            LayerForm::TwoSided(if a == 1.0 { vec![(0.0, 1.0)] } else { two_sided(n, a) })
        };
        Self { n: units, scale, form }
    }

    /// E e^{it·log R}.
    fn at(&self, t: f64) -> C {
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
}

/// The law of the logarithm of a product.
#[derive(Clone, Debug)]
pub struct Inversion {
    mean: f64,
    std: f64,
    /// (t, characteristic function) at the midpoints of steps `step`.
    table: Vec<(f64, C)>,
    step: f64,
}

impl Inversion {
    /// Of these factors; `mean` and `std` are the logarithm's.
    pub fn new(factors: &[Factors], mean: f64, std: f64) -> Self {
        // The inversion repeats the law with this period; the lower tail of log χ²_A falls as e^(A·x/2).
        let narrowest = factors.iter().map(|f| f.units).fold(f64::INFINITY, f64::min);
        let period = 40.0 * std + if narrowest < 64.0 { 80.0 } else { 0.0 };
        let step = 2.0 * PI / period;
        let laws: Vec<_> = factors.iter().map(|f| (LayerLaw::new(f.units, f.slope), f.count)).collect();
        let mut table = Vec::new();
        for k in 0..MOST {
            let t = (f64::from(k) + 0.5) * step;
            let value: C = laws.iter().map(|(law, count)| law.at(t).powu(*count)).product();
            table.push((t, value));
            if value.norm() < 1e-13 {
                break;
            }
        }
        Self { mean, std, table, step }
    }

    /// P(log ratio ≤ x) (Gil-Pelaez 1951), and its density.
    fn cdf(&self, x: f64) -> (f64, f64) {
        let (mut below, mut density) = (0.0, 0.0);
        for (t, value) in &self.table {
            let turned = value * C::from_polar(1.0, -t * x);
            below += turned.im / t;
            density += turned.re;
        }
        (0.5 - below * self.step / PI, density * self.step / PI)
    }

    /// The logarithm below which it falls with probability `p`, sought from `near` it.
    pub fn quantile(&self, p: f64, near: f64) -> f64 {
        let reach = 0.45 * 2.0 * PI / self.step;
        let (mut low, mut high) = (self.mean - reach, self.mean + reach);
        let mut x = if low < near && near < high { near } else { self.mean };
        // Newton's steps, and halves of the bracket where they leave it.
        for _ in 0..100 {
            let (below, density) = self.cdf(x);
            if below < p {
                low = x
            } else {
                high = x
            }
            let next = x + (p - below) / density;
            let next = if low < next && next < high { next } else { f64::midpoint(low, high) };
            if (next - x).abs() < 1e-10 * self.std {
                return next;
            }
            x = next;
        }
        x
    }
}

/// log Γ(z) for Re z > 0: Stirling's series behind a shift to |z| > 9 (Abramowitz & Stegun 6.1.40).
pub fn ln_gamma_complex(mut z: C) -> C {
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
