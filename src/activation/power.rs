//! How a formula goes to zero: the power law c·t^p that it follows as t falls, found by evaluation.
//!
//! A formula in doubles has two ends near zero: where a power of t underflows, and where a difference of like numbers
//! (x − tanh x) is all rounding. A power law holds at both.

use crate::numeric::wide::Wide;

/// sign·2^log2·t^order for 0 < t < 2^below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    /// ±1.
    sign: f64,
    /// log₂ of the factor's magnitude.
    log2: f64,
    /// The exponent p.
    pub order: f64,
    /// log₂ t below which the law holds to [`STEADY`], or to what rounding leaves.
    pub below: i64,
    /// Evaluation follows the law down to the end of the doubles: nothing cancels.
    pub exact: bool,
}

/// Halvings of t that are tried.
const LAST: usize = 1000;
/// t is this at 1: no power of two, at which differences come out right by luck.
const START: f64 = 1.357_9;
/// Values within this of one and its inverse have not lost digits to underflow.
const REACH: f64 = 1e290;
/// The exponents of neighboring octaves agree to this where the law holds.
const STEADY: f64 = 1e-9;
/// Rounding of a formula, relative to its size near one.
const ROUNDING: f64 = 1e-13;
/// A difference this small, relative to the same, has few digits left.
const ROUNDED: f64 = 1e-12;

impl Power {
    /// The law of `f` as t falls from 1 to 0; `scale` is the size of the numbers that it adds up. `None` when `f` is zero
    /// there, or follows no power of t.
    pub fn find(f: impl Fn(f64) -> f64, scale: f64) -> Option<Self> {
        let values: Vec<f64> = (0..=LAST).map(|k| f(START * 0.5f64.powi(k as i32))).collect();
        let (first, last) = stretch(&values, ROUNDED * scale)?;
        let log = |k: usize| values[k].abs().log2();
        let order = |k: usize| log(k) - log(k + 1);
        let spent = log(last) - order(last - 1);
        // A difference may end as what rounding leaves of it, 1 − 1 − x of eˣ − 1 − x, which looks like a law of its own:
        // one that shows only below rounding must have been coming up above it.
        let sunk = |k: &usize| values[*k].abs() < ROUNDED * scale;
        let sunk = (first..=last).rev().take_while(sunk).last().unwrap_or(last);
        let end = order(last - 1);
        let leeway = f64::max(0.5, end - 5.0);
        let coming = (sunk.saturating_sub(1).max(first)..last).all(|k| (order(k) - end).abs() <= leeway);
        let whole = coming && (last == LAST || spent.abs() > REACH.log2());
        let steady = (first..last - 1).rev().take_while(|k| (order(*k) - order(k + 1)).abs() < STEADY).last();
        if let Some(start) = steady.filter(|start| whole && last - start >= 8) {
            // Far apart, so that the rounding of logarithms does not count.
            let from = usize::midpoint(start, last);
            let slope = (log(from) - log(last)) / (last - from) as f64;
            return Some(Self::through(values[last], last, rounded(slope, 1e6, 1e-10), start, true));
        }
        // What is left of a difference stands above its rounding in a few octaves only: the steadiest of them count.
        const OCTAVES: usize = 4;
        let spread = |k: usize| {
            let orders = (k..k + OCTAVES).map(order);
            orders.clone().fold(f64::MIN, f64::max) - orders.fold(f64::MAX, f64::min)
        };
        let stands = |k: usize| whole || values[k + OCTAVES].abs() > ROUNDED * scale;
        let best = (first..(last + 1).saturating_sub(OCTAVES))
            .filter(|k| stands(*k))
            .min_by(|a, b| spread(*a).total_cmp(&spread(*b)).then(b.cmp(a)))?;
        let least = spread(best);
        let middle = best + OCTAVES / 2;
        let slope = (log(best) - log(best + OCTAVES)) / OCTAVES as f64;
        let law =
            Self::through(values[middle], middle, rounded(slope, 1.0, 2.0 * least + STEADY), middle, whole);
        let explained = |k: usize| {
            let miss = law.at(START * 0.5f64.powi(k as i32)) - values[k];
            miss.is_nan() || miss.abs() <= ROUNDING * scale
        };
        (least < 0.05 && (whole || (middle..=LAST).all(explained))).then_some(law)
    }

    fn through(value: f64, octave: usize, order: f64, start: usize, exact: bool) -> Self {
        let log2 = value.abs().log2() - order * (START.log2() - octave as f64);
        Self { sign: value.signum(), log2, order, below: -(start as i64), exact }
    }

    /// ∫₀ᵗ of the law; `None` where that diverges.
    pub fn integral(self) -> Option<Self> {
        let order = self.order + 1.0;
        (order > 0.0).then(|| Self { log2: self.log2 - order.log2(), order, ..self })
    }

    /// The law times ±1.
    pub fn times(self, sign: f64) -> Self {
        Self { sign: self.sign * sign, ..self }
    }

    /// The factor c.
    pub fn factor(self) -> f64 {
        self.sign * self.log2.exp2()
    }

    /// The value at t > 0.
    pub fn at(self, t: f64) -> f64 {
        self.sign * (self.log2 + self.order * t.log2()).exp2()
    }

    /// The value at |z| > 0, however small.
    pub fn extended(self, z: Wide) -> Wide {
        let log = self.log2 + self.order * (z.exponent() as f64 + z.mantissa().abs().log2());
        Wide::from(self.sign) * Wide::exp2(log)
    }
}

/// The deepest stretch of octaves with values of one sign that kept their digits; one that rises above rounding, if any.
fn stretch(values: &[f64], rounding: f64) -> Option<(usize, usize)> {
    const SHORTEST: usize = 6;
    let usable = |v: f64| v.is_finite() && v.abs() < REACH && v.abs() > 1.0 / REACH;
    let (mut end, mut deepest) = (values.len(), None);
    while let Some(last) = (0..end).rev().find(|k| usable(values[*k])) {
        let sign = values[last].signum();
        let one = |k: &usize| usable(values[*k]) && values[*k].signum() == sign;
        let first = (0..=last).rev().take_while(one).last()?;
        if last - first + 1 >= SHORTEST {
            deepest = deepest.or(Some((first, last)));
            if values[first..=last].iter().any(|v| v.abs() > rounding) {
                return Some((first, last));
            }
        }
        end = first;
    }
    deepest
}

/// The multiple of 1/`parts` within `reach`, for authors write round exponents; else the number itself.
fn rounded(x: f64, parts: f64, reach: f64) -> f64 {
    let near = (x * parts).round() / parts;
    if (x - near).abs() <= reach { near } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_found_through_underflow_and_cancellation() {
        type F = fn(f64) -> f64;
        // (f, factor, order, tolerance of the factor)
        let rows: &[(F, f64, f64, f64)] = &[
            (|t| t * t, 1.0, 2.0, 1e-12),
            (|t| -3.0 * t.powf(1.37), -3.0, 1.37, 1e-12),
            (|t| 0.5 / t.sqrt(), 0.5, -0.5, 1e-12),
            (|t| t.cbrt(), 1.0, 1.0 / 3.0, 1e-11),
            (|t| t.tanh().powi(2), 1.0, 2.0, 1e-12),
            (|t| t.powi(20), 1.0, 20.0, 1e-11),
            (|t| t.tanh().powi(100), 1.0, 100.0, 1e-2),
            (|t| (t * t).sqrt(), 1.0, 1.0, 1e-12),
            (|t| 1e-250 * t, 1e-250, 1.0, 1e-11),
            (|t| (1e12 * t).tanh(), 1e12, 1.0, 1e-11),
            (|t| t.exp() - 1.0, 1.0, 1.0, 1e-6),
            (|t| t.exp() - 1.0 - t, 0.5, 2.0, 1e-3),
            (|t| t - t.tanh(), 1.0 / 3.0, 3.0, 1e-3),
            (|_| -0.5, -0.5, 0.0, 1e-12),
        ];
        for (number, (f, factor, order, tolerance)) in rows.iter().enumerate() {
            let law = Power::find(f, 1.0).unwrap_or_else(|| panic!("row {number}"));
            assert!((law.order - order).abs() < 1e-12, "row {number}: {law:?}");
            assert!((law.factor() / factor - 1.0).abs() < *tolerance, "row {number}: {law:?}");
        }
    }

    #[test]
    fn what_is_zero_or_no_power_is_none() {
        let rows: &[fn(f64) -> f64] = &[
            |_| 0.0,
            |t| (t - 0.001).max(0.0),
            |t| (t - 1e-9).max(0.0),
            |t| (-1.0 / t).exp(),
            |t| (1.0 / t).sin(),
            |_| f64::NAN,
        ];
        for (number, f) in rows.iter().enumerate() {
            assert_eq!(Power::find(f, 1.0), None, "row {number}");
        }
    }
}
