//! How a formula goes on beyond the doubles: where eˣ has overflowed, and where e^−x² has underflowed.

use crate::numeric::wide::Wide;

/// A formula is followed up to here.
const FARTHEST: f64 = 1e300;
/// And is tangible before it ends: no tail is sought nearer to zero.
const NEAREST: f64 = 4.0;
/// Smaller values have lost digits to underflow, or may have.
const LEAST: f64 = 1e-290;
/// A value that is larger than this where the next is none has not underflowed: it is zero from there on.
const UNDERFLOW: f64 = 1e-280;

/// |f| beyond the last x at which it is a double with all of its digits: a power law where log|f| is linear in log x, else an exponential of
/// x, or of a power of x, as a Gaussian tail is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The last x.
    end: f64,
    /// f there.
    last: f64,
    /// Change of ln|f| over the last octave.
    far: f64,
    /// The same over the octave before.
    near: f64,
}

impl Tail {
    /// The tail of `f` over x > 0; `None` where f is zero in the end, or nowhere a number beyond the neighborhood of zero.
    pub fn find(f: impl Fn(f64) -> f64) -> Option<Self> {
        let usable = |x: f64| Some(f(x)).filter(|value| value.is_finite() && value.abs() >= LEAST);
        let octaves = std::iter::successors(Some(FARTHEST), |x| Some(0.5 * x));
        let mut end = octaves.take_while(|x| *x >= NEAREST).find(|x| usable(*x).is_some())?;
        if end < FARTHEST {
            // f ends within this octave.
            let mut beyond = 2.0 * end;
            for _ in 0..60 {
                let middle = f64::midpoint(end, beyond);
                if usable(middle).is_some() { end = middle } else { beyond = middle }
            }
            if f(beyond).is_finite() && usable(end)?.abs() > UNDERFLOW {
                return None;
            }
        }
        let (last, half, quarter) = (usable(end)?, usable(end / 2.0)?, usable(end / 4.0)?);
        Some(Self { end, last, far: (last / half).abs().ln(), near: (half / quarter).abs().ln() })
    }

    /// f at |z|, for z beyond the end; f itself is a number within it, so that one that is zero there is zero.
    pub fn at(self, z: Wide) -> Wide {
        let octaves = z.exponent() as f64 + z.mantissa().abs().log2() - self.end.log2();
        if octaves <= 0.0 {
            return Wide::ZERO;
        }
        let ratio = self.far / self.near;
        let growth = if ratio > 1.5 && ratio.is_finite() {
            let order = ratio.log2().round().max(1.0);
            // log|f| = c·x^order, and `far` is its change over the last octave.
            self.far * (2f64.powf((octaves * order).min(900.0)) - 1.0) / (1.0 - 0.5f64.powf(order))
        } else {
            self.far * octaves
        };
        Wide::from(self.last.signum()) * Wide::exp(self.last.abs().ln() + growth.clamp(-1e300, 1e300))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// log₁₀|f| beyond the doubles, for functions whose logarithm is known.
    #[test]
    fn powers_and_exponentials_go_on() {
        type F = fn(f64) -> f64;
        let rows: &[(F, F)] = &[
            (|x| x * x, |x| 2.0 * x.log10()),
            (|x| 3.0 * x.powi(7), |x| 3f64.log10() + 7.0 * x.log10()),
            (|x| x.exp(), |x| x / std::f64::consts::LN_10),
            (|x| (-x).exp(), |x| -x / std::f64::consts::LN_10),
            (|x| (-x * x).exp(), |x| -x * x / std::f64::consts::LN_10),
            (|x| 4.0 * (-2.0 * x).exp(), |x| 4f64.log10() - 2.0 * x / std::f64::consts::LN_10),
            (|x| -1.0 / x, |x| -x.log10()),
        ];
        for (number, (f, log)) in rows.iter().enumerate() {
            let tail = Tail::find(f).unwrap_or_else(|| panic!("row {number}"));
            for x in [2e3, 1e5, 1e160, 1e305] {
                let wanted = log(x);
                if f(x).is_finite() && f(x) != 0.0 || wanted.abs() > 1e15 {
                    continue;
                }
                let found = tail.at(Wide::from(x)).log10_abs().unwrap_or(f64::NAN);
                assert!((found / wanted - 1.0).abs() < 1e-6, "row {number} at {x}: {found}, not {wanted}");
            }
        }
    }

    #[test]
    fn what_ends_at_zero_has_no_tail() {
        let rows: &[fn(f64) -> f64] = &[|_| 0.0, |x| (1.0 - (x - 20.0).abs()).max(0.0), |_| f64::NAN];
        for (number, f) in rows.iter().enumerate() {
            assert_eq!(Tail::find(f), None, "row {number}");
        }
    }
}
