//! φ and φ′ of each catalogd activation, once for both precisions, and their tails.

use crate::numeric::real::Real;
use crate::numeric::wide::Wide;
use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, PI};

/// One formula for every precision.
pub trait Function: Send + Sync {
    /// (ψ(z), φ′(z)) with ψ(z) = φ(z) − φ(0).
    fn at<T: Real>(&self, z: T) -> (T, T);

    /// (ψ, φ′) for |z| > 30; `x` is z as a double, cut to ±10³⁰⁰. Nothing underflows.
    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide);
}

/// The linear tail (z + shift, 1).
fn rising(z: Wide, x: f64, shift: f64) -> (Wide, Wide) {
    let psi = if x.abs() < 1e17 { Wide::from(x + shift) } else { z };
    (psi, Wide::from(1.0))
}

fn flat(level: f64) -> (Wide, Wide) {
    (level.into(), Wide::ZERO)
}

/// ReLU, leaky ReLU, PReLU, linear: one slope on either side of zero.
pub struct TwoSlopes {
    pub negative: f64,
    pub positive: f64,
}

impl Function for TwoSlopes {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let slope = if z > T::ZERO { T::of(self.positive) } else { T::of(self.negative) };
        (slope * z, slope)
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        let slope = Wide::from(if x > 0.0 { self.positive } else { self.negative });
        (z * slope, slope)
    }
}

/// scale · (z for z > 0, α(e^z − 1) else): ELU, SELU.
pub struct Elu {
    pub scale: f64,
    pub alpha: f64,
}

impl Function for Elu {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let (scale, low) = (T::of(self.scale), T::of(self.scale * self.alpha));
        let down = z.min(T::ZERO);
        let positive = z > T::ZERO;
        let psi = if positive { scale * z } else { low * down.exp_m1() };
        (psi, if positive { scale } else { low * down.exp() })
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        let scale = Wide::from(self.scale);
        if x > 0.0 {
            (z * scale, scale)
        } else {
            let low = self.scale * self.alpha;
            ((-low).into(), Wide::from(low) * Wide::exp(x))
        }
    }
}

/// x·Φ(x) with the normal distribution function Φ (Hendrycks & Gimpel 2016).
pub struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        z.gelu()
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        if x > 0.0 {
            return rising(z, x, 0.0);
        }
        // Φ(x) = ϕ(x)/|x| · (1 − 1/x² + 3/x⁴ − 15/x⁶ …); |x| > 30 makes four terms exact to 10⁻¹⁰.
        let q = 1.0 / (x * x);
        let series = 1.0 - q * (1.0 - q * (3.0 - 15.0 * q));
        let density = Wide::exp(-0.5 * x * x) * Wide::from(1.0 / (2.0 * PI).sqrt());
        (density * Wide::from(-series), density * Wide::from(-series / x + x))
    }
}

/// z/2·(1 + tanh(√(2/π)(z + 0.044715 z³))), written as z·sigmoid(2u).
pub struct GeluTanh;

impl GeluTanh {
    const RATE: f64 = 0.797_884_560_802_865_4;
    const CUBIC: f64 = 0.044_715;
}

impl Function for GeluTanh {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let two = T::of(2.0);
        let q = T::of(Self::CUBIC) * z * z;
        let argument = two * T::of(Self::RATE) * z * (T::ONE + q);
        let rate = two * T::of(Self::RATE) * (T::ONE + T::of(3.0) * q);
        let (s, complement) = sigmoids(argument);
        (z * s, s + z * rate * s * complement)
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        if x > 0.0 {
            return rising(z, x, 0.0);
        }
        let x = x.max(-1e100);
        let argument = 2.0 * Self::RATE * x * (1.0 + Self::CUBIC * x * x);
        let rate = 2.0 * Self::RATE * (1.0 + 3.0 * Self::CUBIC * x * x);
        let s = Wide::exp(argument);
        (z * s, s * Wide::from(1.0 + x * rate))
    }
}

/// (sigmoid(z), 1 − sigmoid(z)), each accurate in its tail.
#[inline(always)]
fn sigmoids<T: Real>(z: T) -> (T, T) {
    let e = (-z.abs()).exp();
    let near = T::ONE / (T::ONE + e);
    let far = e * near;
    if z > T::ZERO { (near, far) } else { (far, near) }
}

/// x·sigmoid(x), also called swish (Elfwing et al. 2018).
pub struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let (s, complement) = sigmoids(z);
        (z * s, s * (T::ONE + z * complement))
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        exponential_tail(z, x)
    }
}

/// What SiLU and Mish share beyond 30: z above, z·e^z below.
fn exponential_tail(z: Wide, x: f64) -> (Wide, Wide) {
    if x > 0.0 {
        return rising(z, x, 0.0);
    }
    let e = Wide::exp(x);
    (z * e, e * Wide::from(1.0 + x))
}

/// x·tanh(softplus(x)) (Misra 2019).
pub struct Mish;

impl Function for Mish {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        // With u = e^−|z|, tanh(softplus(z)) is rational in u, and so is its distance from one.
        let two = T::of(2.0);
        let u = (-z.abs()).exp();
        let (v, square) = (two * u, two * u * u);
        let positive = z > T::ZERO;
        let (numerator, denominator) =
            if positive { (T::ONE + v, T::ONE + v + square) } else { (v + u * u, two + v + u * u) };
        let w = numerator / denominator;
        let rest = if positive { square / denominator } else { two / denominator };
        let (s, _) = sigmoids(z);
        (z * w, w + z * s * rest * (T::ONE + w))
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        exponential_tail(z, x)
    }
}

/// ln(1 + e^x).
pub struct Softplus;

impl Function for Softplus {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let below = T::of(0.5) * (-z.abs()).exp_m1();
        (z.max(T::ZERO) + below.ln_1p(), sigmoids(z).0)
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        if x > 0.0 { rising(z, x, -LN_2) } else { ((-LN_2).into(), Wide::exp(x)) }
    }
}

/// Hyperbolic tangent.
pub struct Tanh;

impl Function for Tanh {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let e = (T::of(-2.0) * z.abs()).exp();
        let near = T::ONE / (T::ONE + e);
        (z.tanh(), T::of(4.0) * e * near * near)
    }

    fn tail(&self, _: Wide, x: f64) -> (Wide, Wide) {
        (x.signum().into(), Wide::from(4.0) * Wide::exp(-2.0 * x.abs()))
    }
}

/// 1/(1 + e^−x); ψ = ½ tanh(x/2).
pub struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let half = T::of(0.5);
        let (s, complement) = sigmoids(z);
        (half * (half * z).tanh(), s * complement)
    }

    fn tail(&self, _: Wide, x: f64) -> (Wide, Wide) {
        ((0.5 * x.signum()).into(), Wide::exp(-x.abs()))
    }
}

/// Clamp to [−1, 1].
pub struct HardTanh;

impl Function for HardTanh {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let inside = z > -T::ONE && z <= T::ONE;
        (z.max(-T::ONE).min(T::ONE), if inside { T::ONE } else { T::ZERO })
    }

    fn tail(&self, _: Wide, x: f64) -> (Wide, Wide) {
        flat(x.signum())
    }
}

/// clamp(x + 3, 0, 6)/6 (PyTorch, Keras 3); ψ = clamp(x, −3, 3)/6.
pub struct HardSigmoid;

impl Function for HardSigmoid {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let (three, sixth) = (T::of(3.0), T::of(1.0 / 6.0));
        let inside = z > -three && z <= three;
        (sixth * z.max(-three).min(three), if inside { sixth } else { T::ZERO })
    }

    fn tail(&self, _: Wide, x: f64) -> (Wide, Wide) {
        flat(0.5 * x.signum())
    }
}

/// min(max(x, 0), top).
pub struct Clipped {
    pub top: f64,
}

impl Function for Clipped {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let top = T::of(self.top);
        let inside = z > T::ZERO && z <= top;
        (z.max(T::ZERO).min(top), if inside { T::ONE } else { T::ZERO })
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        match x {
            x if x <= 0.0 => flat(0.0),
            x if x > self.top => flat(self.top),
            _ => rising(z, x, 0.0),
        }
    }
}

/// x·clamp(x + 3, 0, 6)/6 (Howard et al. 2019).
pub struct HardSwish;

impl Function for HardSwish {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let (three, half) = (T::of(3.0), T::of(0.5));
        let gate = T::of(1.0 / 6.0) * (z + three).max(T::ZERO).min(T::of(6.0));
        let slope = if z <= three { half + T::of(1.0 / 3.0) * z } else { T::ONE };
        (z * gate, if z > -three { slope } else { T::ZERO })
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        if x > 0.0 { rising(z, x, 0.0) } else { flat(0.0) }
    }
}

/// x/(1 + |x|).
pub struct Softsign;

impl Function for Softsign {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let r = T::ONE / (T::ONE + z.abs());
        (z * r, r * r)
    }

    fn tail(&self, z: Wide, x: f64) -> (Wide, Wide) {
        let r = if x.abs() < 1e100 {
            Wide::from(1.0 / (1.0 + x.abs()))
        } else {
            Wide::new(1.0 / z.mantissa().abs(), -z.exponent())
        };
        (Wide::from(1.0 / (1.0 + 1.0 / x.abs()) * x.signum()), r * r)
    }
}

/// The error function.
pub struct Erf;

impl Function for Erf {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        (z.erf(), T::of(FRAC_2_SQRT_PI) * (-(z * z)).exp())
    }

    fn tail(&self, _: Wide, x: f64) -> (Wide, Wide) {
        (x.signum().into(), Wide::from(FRAC_2_SQRT_PI) * Wide::exp(-x * x))
    }
}

/// sin(ωx) (Sitzmann et al. 2020 use ω = 30).
pub struct Sine {
    pub omega: f64,
}

impl Function for Sine {
    #[inline(always)]
    fn at<T: Real>(&self, z: T) -> (T, T) {
        let phase = T::of(self.omega) * z;
        (phase.sin(), T::of(self.omega) * phase.cos())
    }

    fn tail(&self, _: Wide, x: f64) -> (Wide, Wide) {
        let (psi, slope) = self.at(x);
        (psi.into(), slope.into())
    }
}
