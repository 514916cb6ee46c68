//! A number whose exponent does not overflow: `mantissa · 2^exponent`.

use std::ops::{Add, Mul, Neg};

/// `mantissa · 2^exponent` with `mantissa` zero or `1 ≤ |mantissa| < 2`.
///
/// Reaches from 10^(−2·10¹⁸) to 10^(2·10¹⁸); the exponent saturates there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wide {
    mantissa: f64,
    exponent: i64,
}

/// The largest exponent kept: sums and products of a few of them still fit an `i64`.
pub const LIMIT: i64 = 1 << 60;

impl Wide {
    /// Exactly zero.
    pub const ZERO: Self = Self { mantissa: 0.0, exponent: 0 };

    /// `mantissa · 2^exponent` for any finite mantissa. Beyond 2^±(2⁶⁰) the exponent saturates.
    pub fn new(mantissa: f64, exponent: i64) -> Self {
        if mantissa == 0.0 {
            return Self::ZERO;
        }
        let (m, e) = libm::frexp(mantissa);
        let exponent = exponent.saturating_add(i64::from(e) - 1).clamp(-LIMIT, LIMIT);
        Self { mantissa: m * 2.0, exponent }
    }

    /// Zero, or between 1 and 2 in magnitude.
    pub fn mantissa(self) -> f64 {
        self.mantissa
    }

    /// Power of two of the mantissa; 0 for zero.
    pub fn exponent(self) -> i64 {
        self.exponent
    }

    /// Exactly zero.
    pub fn is_zero(self) -> bool {
        self.mantissa == 0.0
    }

    /// `2^x` for any finite real `x`.
    pub fn exp2(x: f64) -> Self {
        let whole = x.floor().clamp(-(LIMIT as f64), LIMIT as f64);
        Self::new((x - whole).clamp(0.0, 1.0).exp2(), whole as i64)
    }

    /// `e^x` for any finite real `x`.
    pub fn exp(x: f64) -> Self {
        Self::exp2(x * std::f64::consts::LOG2_E)
    }

    /// The nearest `f64`: infinite or zero when out of its range.
    pub fn to_f64(self) -> f64 {
        libm::scalbn(self.mantissa, self.exponent.clamp(-5000, 5000) as i32)
    }

    /// log₁₀ of the magnitude, `None` for zero.
    pub fn log10_abs(self) -> Option<f64> {
        (!self.is_zero())
            .then(|| self.mantissa.abs().log10() + self.exponent as f64 * std::f64::consts::LOG10_2)
    }

    /// 1/value; zero for zero.
    pub fn recip(self) -> Self {
        if self.is_zero() { Self::ZERO } else { Self::new(1.0 / self.mantissa, -self.exponent) }
    }

    /// The square root of a number that is not negative.
    pub fn sqrt(self) -> Self {
        let odd = self.exponent.rem_euclid(2);
        Self::new((self.mantissa * (1 << odd) as f64).sqrt(), (self.exponent - odd) / 2)
    }

    /// `value · 2^shift`.
    pub fn scaled(self, shift: i64) -> Self {
        Self::new(self.mantissa, self.exponent.saturating_add(shift))
    }
}

impl From<f64> for Wide {
    fn from(value: f64) -> Self {
        Self::new(value, 0)
    }
}

impl Add for Wide {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (large, small) = match (self.is_zero(), other.is_zero()) {
            (true, _) => return other,
            (_, true) => return self,
            _ if self.exponent >= other.exponent => (self, other),
            _ => (other, self),
        };
        let shift = (small.exponent - large.exponent).max(-2000) as i32;
        Self::new(large.mantissa + libm::scalbn(small.mantissa, shift), large.exponent)
    }
}

impl Neg for Wide {
    type Output = Self;

    fn neg(self) -> Self {
        Self { mantissa: -self.mantissa, ..self }
    }
}

impl Mul for Wide {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::new(self.mantissa * other.mantissa, self.exponent.saturating_add(other.exponent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaches_beyond_f64() {
        let tiny = Wide::exp(-1e6);
        assert!((tiny.log10_abs().unwrap() + 1e6 * std::f64::consts::LOG10_E).abs() < 1e-6);
        assert!(((tiny * Wide::exp(1e6)).to_f64() - 1.0).abs() < 1e-9);
        assert_eq!((tiny * Wide::ZERO).log10_abs(), None);
        assert_eq!(Wide::from(-0.75).to_f64(), -0.75);
    }

    #[test]
    fn sums_roots_and_reciprocals() {
        let w = Wide::from;
        assert_eq!(w(3.0) + w(-2.5), w(0.5));
        assert_eq!(Wide::new(1.0, 5000) + w(1.0), Wide::new(1.0, 5000));
        assert_eq!(Wide::ZERO + w(2.0), w(2.0));
        assert_eq!(w(3.0) + w(-3.0), Wide::ZERO);
        assert_eq!(
            Wide::new(1.0, -4001).sqrt() * Wide::new(1.0, -4001).sqrt(),
            Wide::new(1.000_000_000_000_000_2, -4001)
        );
        assert_eq!(w(8.0).recip(), w(0.125));
        assert_eq!(Wide::ZERO.recip(), Wide::ZERO);
    }
}
