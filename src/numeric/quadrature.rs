//! Gaussian expectations, with an estimate of their error: exact across kinks that are known, refined where others show.

use std::f64::consts::PI;

/// Beyond this many standard deviations the normal density is below 10⁻³².
const REACH: f64 = 12.0;
/// Error that is asked for, relative to the integral of |f|.
const TOLERANCE: f64 = 1e-13;
/// Panels at most: a jump costs some forty of them.
const PANELS: usize = 1000;
/// Relative errors below this that halving panels does not lower are noise of the integrand, not its shape.
const NOISE: f64 = 1e-4;
/// A sweep of halving lowers an error by this at least: a jump's falls by 2, that of an integrable pole |x|^−½ by √2.
const FALL: f64 = 1.2;
/// Evaluations of a double integral after which it is not refined any more.
const EVALUATIONS: usize = 1_500_000;

/// A number from quadrature, and how far off it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Value of the integral.
    pub value: f64,
    /// Estimated absolute error; NaN where the integrand is not finite.
    pub error: f64,
}

impl Estimate {
    /// What this project asks of its reference numbers: ten digits.
    pub const DIGITS: f64 = 1e-10;
    /// Relative error beyond which a number is not resolved, and nothing is said of what follows from it.
    pub const RESOLVED: f64 = 1e-6;

    /// The error is at most [`Self::RESOLVED`] of the value.
    pub fn is_resolved(self) -> bool {
        self.error <= Self::RESOLVED * self.value.abs()
    }

    /// The value, where it is known to [`Self::DIGITS`] of itself.
    pub fn reached(self) -> Option<f64> {
        (self.error <= Self::DIGITS * self.value.abs()).then_some(self.value)
    }

    /// Value and error times a constant.
    pub fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, error: self.error * factor.abs() }
    }

    /// Value plus a constant.
    pub fn plus(self, constant: f64) -> Self {
        Self { value: self.value + constant, ..self }
    }
}

/// Nodes x ≥ 0 of the 21-point Kronrod rule on [−1, 1], its weights, and those of the 10-point Gauss rule inside it, zero
/// where that has no node (Piessens et al. 1983, QUADPACK, qk21).
const KRONROD: [(f64, f64, f64); 11] = [
    (0.995_657_163_025_808_1, 0.011_694_638_867_371_874, 0.0),
    (0.973_906_528_517_171_7, 0.032_558_162_307_964_73, 0.066_671_344_308_688_14),
    (0.930_157_491_355_708_2, 0.054_755_896_574_351_995, 0.0),
    (0.865_063_366_688_984_5, 0.075_039_674_810_919_96, 0.149_451_349_150_580_6),
    (0.780_817_726_586_416_9, 0.093_125_454_583_697_6, 0.0),
    (0.679_409_568_299_024_4, 0.109_387_158_802_297_64, 0.219_086_362_515_982_04),
    (0.562_757_134_668_604_7, 0.123_491_976_262_065_84, 0.0),
    (0.433_395_394_129_247_2, 0.134_709_217_311_473_34, 0.269_266_719_309_996_36),
    (0.294_392_862_701_460_2, 0.142_775_938_577_060_09, 0.0),
    (0.148_874_338_981_631_22, 0.147_739_104_901_338_5, 0.295_524_224_714_752_87),
    (0.0, 0.149_445_554_002_916_9, 0.0),
];

/// The integral over an interval, by Kronrod's rule.
struct Panel<const N: usize> {
    low: f64,
    high: f64,
    value: [f64; N],
    error: [f64; N],
    /// Of |f|.
    size: [f64; N],
}

impl<const N: usize> Panel<N> {
    fn new(low: f64, high: f64, f: &impl Fn(f64) -> [f64; N]) -> Self {
        let (middle, half) = (f64::midpoint(low, high), 0.5 * (high - low));
        let mut points = [[0.0; N]; 21];
        let (mut value, mut gauss, mut size) = ([0.0; N], [0.0; N], [0.0; N]);
        for (k, (x, w, g)) in KRONROD.iter().enumerate() {
            for (slot, side) in [(k, -1.0), (20 - k, 1.0)] {
                if slot == 10 && side > 0.0 {
                    continue;
                }
                points[slot] = f(middle + side * half * x);
                for i in 0..N {
                    value[i] += w * points[slot][i];
                    gauss[i] += g * points[slot][i];
                    size[i] += w * points[slot][i].abs();
                }
            }
        }
        let mut error = [0.0; N];
        for i in 0..N {
            let mean = 0.5 * value[i];
            let spread: f64 = (0..21)
                .map(|slot| KRONROD[slot.min(20 - slot)].1 * (points[slot][i] - mean).abs())
                .sum::<f64>()
                * half;
            let raw = (value[i] - gauss[i]).abs() * half;
            (value[i], size[i]) = (value[i] * half, size[i] * half);
            // QUADPACK's reading of the difference of the two rules, with the floor of rounding.
            let scaled = if spread > 0.0 { spread * (200.0 * raw / spread).powf(1.5).min(1.0) } else { raw };
            error[i] = scaled.max(10.0 * f64::EPSILON * size[i]);
            if !value[i].is_finite() {
                error[i] = f64::NAN;
            }
        }
        Self { low, high, value, error, size }
    }
}

/// ∫ f over the panels between ascending `cuts`, refined until each component's error is `tolerance` of ∫|f|, refining does not
/// help, or there are `most` panels.
fn integrate<const N: usize>(
    f: &impl Fn(f64) -> [f64; N],
    cuts: &[f64],
    tolerance: f64,
    most: &dyn Fn() -> usize,
) -> [Estimate; N] {
    let mut panels: Vec<Panel<N>> = cuts
        .windows(2)
        .filter(|ends| ends[1] > ends[0])
        .map(|ends| Panel::new(ends[0], ends[1], f))
        .collect();
    let mut frozen = Vec::new();
    let mut before = f64::INFINITY;
    loop {
        let mut total = [0.0; N];
        let mut errors = [0.0; N];
        for panel in panels.iter().chain(&frozen) {
            for i in 0..N {
                total[i] += panel.size[i];
                errors[i] += panel.error[i];
            }
        }
        let done = (0..N).all(|i| errors[i] <= tolerance * total[i] || errors[i].is_nan());
        let count = panels.len() + frozen.len();
        let largest =
            (0..N).map(|i| if total[i] > 0.0 { errors[i] / total[i] } else { 0.0 }).fold(0.0, f64::max);
        let noise = largest < NOISE && FALL * largest > before;
        if done || noise || panels.is_empty() || count >= most() {
            break;
        }
        before = largest;
        // All panels that carry more than their part of the error, so that a sweep is over quickly.
        let share = |p: &Panel<N>| {
            (0..N).map(|i| if total[i] > 0.0 { p.error[i] / total[i] } else { 0.0 }).fold(0.0, f64::max)
        };
        let worst = panels.iter().map(share).fold(0.0, f64::max);
        let bar = (0.25 * tolerance / count as f64).max(1e-3 * worst);
        let mut next = Vec::with_capacity(panels.len() + 16);
        let mut split = false;
        for panel in panels {
            let middle = f64::midpoint(panel.low, panel.high);
            if share(&panel) <= bar {
                next.push(panel);
            } else if panel.high - panel.low <= 1e-14 * middle.abs().max(1e-3) {
                frozen.push(panel);
            } else {
                split = true;
                next.push(Panel::new(panel.low, middle, f));
                next.push(Panel::new(middle, panel.high, f));
            }
        }
        panels = next;
        if !split {
            break;
        }
    }
    panels.extend(frozen);
    std::array::from_fn(|i| Estimate {
        value: panels.iter().map(|p| p.value[i]).sum(),
        error: panels.iter().map(|p| p.error[i]).sum(),
    })
}

/// Sorted, within reach, and no two of them rounding apart.
fn tidy(mut cuts: Vec<f64>, low: f64) -> Vec<f64> {
    cuts.retain(|z| *z >= low && *z <= REACH);
    cuts.sort_by(f64::total_cmp);
    cuts.dedup_by(|b, a| *b - *a <= 1e-14 * a.abs().max(1e-3));
    cuts
}

/// Where panels of `∫ Dz f(mean + √q z)` end, in z: `kinks` are those of f, and f changes on the scale of one.
fn cuts(mean: f64, scale: f64, kinks: &[f64]) -> Vec<f64> {
    let mut cuts: Vec<f64> = (-(REACH as i32)..=REACH as i32).map(f64::from).collect();
    cuts.extend(kinks.iter().map(|k| (k - mean) / scale));
    cuts.extend((-3..=7).flat_map(|k| [2f64.powi(k), -(2f64.powi(k))]).map(|u| (u - mean) / scale));
    cuts.push(-mean / scale);
    tidy(cuts, -REACH)
}

fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

/// `∫ Dz f(u, z)` with u = mean + √q z and Dz the standard normal measure; `kinks` are the points u at which f is not
/// smooth, as far as they are known.
pub fn gaussian<const N: usize>(
    f: impl Fn(f64, f64) -> [f64; N],
    mean: f64,
    q: f64,
    kinks: &[f64],
) -> [Estimate; N] {
    let scale = q.sqrt();
    if scale == 0.0 {
        // What multiplies z vanishes in the mean; its derivative does not count at a point.
        return f(mean, 0.0).map(|value| Estimate { value, error: 0.0 });
    }
    let integrand = |z: f64| {
        let weight = density(z);
        f(mean + scale * z, z).map(|value| weight * value)
    };
    let found = integrate(&integrand, &cuts(mean, scale, kinks), TOLERANCE, &|| PANELS);
    // What lies beyond the reach is nothing for all that grows no faster than a power: an exponential of a large variance is not known.
    let ends = (integrand(-REACH), integrand(REACH));
    std::array::from_fn(|i| Estimate {
        error: found[i].error + ends.0[i].abs() + ends.1[i].abs(),
        ..found[i]
    })
}

/// Nodes (u, z) and weights that carry `∫ Dz f(mean + √q z)·p(z)`, where f is smooth between its kinks at the scale of one, for
/// polynomials p that have no more than a dozen radians in panels of this width: up to order 512 in 0.6.
pub(crate) fn nodes(mean: f64, q: f64, kinks: &[f64], widest: f64) -> Vec<(f64, f64, f64)> {
    let scale = q.sqrt();
    cuts(mean, scale, kinks)
        .windows(2)
        .flat_map(|ends| {
            let parts = ((ends[1] - ends[0]) / widest).ceil().max(1.0);
            let step = (ends[1] - ends[0]) / parts;
            let low = ends[0];
            (0..parts as usize)
                .flat_map(move |k| panel_nodes(low + k as f64 * step, low + (k + 1) as f64 * step))
        })
        .map(|(z, w)| (mean + scale * z, z, w * density(z)))
        .collect()
}

/// Nodes and weights of Kronrod's rule on an interval.
pub(crate) fn panel_nodes(low: f64, high: f64) -> impl Iterator<Item = (f64, f64)> {
    let (middle, half) = (f64::midpoint(low, high), 0.5 * (high - low));
    (0..21).map(move |slot| {
        let (x, w, _) = KRONROD[slot.min(20 - slot)];
        (middle + if slot < 10 { -half * x } else { half * x }, half * w)
    })
}

/// `E f(u₁, u₂)` for jointly normal u₁, u₂ of this mean, variance `q` and correlation `c`, with f symmetric and its kinks
/// where u₁ or u₂ is one of `kinks`; and how often f was evaluated.
///
/// With u = mean + m ± d, m and d are independent of variances q(1 ± c)/2: as c → 1 only d shrinks, and kinks stay apart
/// from the rest of the integrand at k ± d.
pub fn pair<const N: usize>(
    f: impl Fn(f64, f64) -> [f64; N],
    mean: f64,
    q: f64,
    c: f64,
    kinks: &[f64],
) -> ([Estimate; N], usize) {
    let c = c.clamp(-1.0, 1.0);
    let (along, across) = ((0.5 * q * (1.0 + c)).sqrt(), (0.5 * q * (1.0 - c)).sqrt());
    // Of the inner integrals' errors, relative to their size, the largest.
    let inner_error = std::cell::Cell::new(0.0f64);
    let spent = std::cell::Cell::new(0usize);
    let inner = |d: f64| -> [f64; N] {
        if along == 0.0 {
            return f(mean + d, mean - d);
        }
        let mut ends: Vec<f64> =
            [-12.0, -8.0, -6.0, -4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5, 6.0, 8.0, 12.0].into();
        let scales = (-1..=3).flat_map(|k| [4f64.powi(k), -(4f64.powi(k))]).chain([0.0]);
        for u in kinks.iter().copied().chain(scales) {
            ends.extend([(u - mean - d) / along, (u - mean + d) / along]);
        }
        let most = if spent.get() < EVALUATIONS { 400 } else { 0 };
        let integrand = |z: f64| {
            spent.set(spent.get() + 1);
            let weight = density(z);
            let m = mean + along * z;
            f(m + d, m - d).map(|value| weight * value)
        };
        let found = integrate(&integrand, &tidy(ends, -REACH), 1e-12, &|| most);
        for e in found {
            if e.error > 1e-12 * e.value.abs() || e.error.is_nan() {
                inner_error.set(inner_error.get().max(e.error));
            }
        }
        found.map(|e| e.value)
    };
    if across == 0.0 {
        let estimate = |value: f64| Estimate { value, error: inner_error.get().max(1e-12 * value.abs()) };
        return (inner(0.0).map(estimate), spent.get());
    }
    let mut ends: Vec<f64> = [0.0, 0.75, 1.5, 3.0, 4.5, 6.0, 8.0, 12.0].into();
    // Kinks of the two factors meet where they are 2d apart; features of the scale of one do too.
    for (i, a) in kinks.iter().enumerate() {
        ends.extend(kinks[i + 1..].iter().map(|b| 0.5 * (b - a) / across));
        ends.push((a - mean).abs() / across);
    }
    ends.extend((-1..=3).map(|k| 4f64.powi(k) / across));
    let integrand = |z: f64| {
        let weight = 2.0 * density(z);
        inner(across * z).map(|value| weight * value)
    };
    let found =
        integrate(&integrand, &tidy(ends, 0.0), 1e-11, &|| if spent.get() < EVALUATIONS { 200 } else { 0 });
    let total = |e: Estimate| Estimate { error: e.error + inner_error.get() + 1e-12 * e.value.abs(), ..e };
    (found.map(total), spent.get())
}

/// `∫ Dz f(√q z)`; `kinks` are the points at which f is not smooth, as far as they are known.
pub fn expectation(f: impl Fn(f64) -> f64, q: f64, kinks: &[f64]) -> Estimate {
    gaussian(|u, _| [f(u)], 0.0, q, kinks)[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_exact_for_polynomials() {
        // Kronrod's 21 points: degree 31; Gauss's 10: degree 19.
        let moment = |d: i32, pick: fn(&(f64, f64, f64)) -> f64| -> f64 {
            KRONROD.iter().map(|n| pick(n) * n.0.powi(d) * if n.0 == 0.0 { 1.0 } else { 2.0 }).sum()
        };
        for d in (0..=30).step_by(2) {
            assert!((moment(d, |n| n.1) - 2.0 / f64::from(d + 1)).abs() < 1e-14, "{d}");
            assert!(d > 18 || (moment(d, |n| n.2) - 2.0 / f64::from(d + 1)).abs() < 1e-14, "{d}");
        }
    }

    #[test]
    fn what_lies_beyond_the_reach_is_an_error() {
        // E e^{2√q z} = e^{2q}: its integrand peaks at z = 2√q.
        for (q, known) in
            [(0.01, true), (1.0, true), (5.0, true), (36.0, false), (69.0, false), (200.0, false)]
        {
            let found = expectation(|z| (2.0 * z).exp(), q, &[]);
            let off = (found.value / (2.0 * q).exp() - 1.0).abs();
            assert_eq!(found.reached().is_some(), known, "{q}: {found:?}");
            assert!(!known || off < 1e-10, "{q}: off by {off}");
        }
    }

    #[test]
    fn kinks_that_nobody_declared_are_found() {
        // E max(z, t)² = t²Φ(t) + (1 − Φ(t)) + tϕ(t), t = 0.3.
        let (t, cdf, pdf) = (0.3, 0.617_911_422_188_952_6, 0.381_387_815_460_524_1);
        let exact = t * t * cdf + 1.0 - cdf + t * pdf;
        let found = expectation(|z| z.max(t).powi(2), 1.0, &[]);
        assert!((found.value - exact).abs() < 1e-12 && found.error < 1e-11, "{found:?} {exact}");
        // A step: P(z > t).
        let found = expectation(|z| f64::from(u8::from(z > t)), 1.0, &[]);
        assert!((found.value - (1.0 - cdf)).abs() < 1e-12 && found.error < 1e-11, "{found:?}");
    }

    #[test]
    fn steep_functions() {
        // E tanh²(50z) and E (50 sech²(50z))², by mpmath with 30 digits.
        const STEEP: (f64, f64) = (0.984_044_932_812_657_7, 26.594_436_949_060_79);
        let found = expectation(|z| (50.0 * z).tanh().powi(2), 1.0, &[]);
        assert!((found.value - STEEP.0).abs() < 1e-12, "{found:?}");
        let found = expectation(|z| (50.0 / (50.0 * z).cosh().powi(2)).powi(2), 1.0, &[]);
        assert!((found.value / STEEP.1 - 1.0).abs() < 1e-11, "{found:?}");
        // A bump that no panel begins at.
        let narrow = expectation(|z| (-0.5 * ((z - 0.37) / 0.004).powi(2)).exp(), 1.0, &[]);
        let exact = 0.004 / 1.000_016f64.sqrt() * (-0.5 * 0.37f64.powi(2) / 1.000_016).exp();
        assert!((narrow.value / exact - 1.0).abs() < 1e-11, "{narrow:?} {exact}");
    }

    #[test]
    fn what_is_not_finite_is_not_reached() {
        assert_eq!(expectation(|z| 1.0 / (z.abs() - 20.0).max(0.0), 1.0, &[]).reached(), None);
    }
}
