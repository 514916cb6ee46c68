//! The two floating-point types that a simulation runs in.

use crate::numeric::normal;
use crate::numeric::product::dots::{self, Strip};
use crate::numeric::product::transpose;
use crate::numeric::product::{Threads, View};
use crate::numeric::stream::Stream;
use std::fmt::Debug;
use std::iter::Sum;
use std::mem::MaybeUninit;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// rows, columns, inner; C with column and row stride, whether it is read; A and B with theirs; α, β; conjugations; threads.
pub type ProductKernel<T> = unsafe fn(
    usize,
    usize,
    usize,
    *mut T,
    isize,
    isize,
    bool,
    *const T,
    isize,
    isize,
    *const T,
    isize,
    isize,
    T,
    T,
    bool,
    bool,
    bool,
    gemm_common::Parallelism,
);

/// A function of one number and its derivative, over slices of one length, in either precision.
pub trait SliceFunction: Send + Sync {
    /// Values and derivatives at `z`. An infinite one says that the range of this precision is left.
    fn map_f32(&self, z: &[f32], value: &mut [f32], slope: &mut [f32]);
    /// Values and derivatives at `z`. An infinite one says that the range of this precision is left.
    fn map_f64(&self, z: &[f64], value: &mut [f64], slope: &mut [f64]);
}

/// `f32` (what users run) or `f64` (what the tests of gradients run), with the functions that activations need.
pub trait Real:
    Copy
    + Debug
    + Default
    + Send
    + Sync
    + 'static
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + nalgebra::Scalar
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Distance from one to the next number.
    const EPSILON: f64;
    /// Signals whose largest entry is within 2^±this are computed without a detour.
    const SAFE_LOG2: i64;

    /// The nearest value; ±∞ beyond the range.
    fn of(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// |x|.
    fn abs(self) -> Self;
    /// √x; NaN below zero.
    fn sqrt(self) -> Self;
    /// e^x; in single precision clamped to [e^−87, e^88].
    fn exp(self) -> Self;
    /// eˣ − 1, without cancellation near zero.
    fn exp_m1(self) -> Self;
    /// ln(1 + x) for −½ ≤ x ≤ 1.
    fn ln_1p(self) -> Self;
    /// tanh x.
    fn tanh(self) -> Self;
    /// sin x, x in radians.
    fn sin(self) -> Self;
    /// cos x, x in radians.
    fn cos(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// x·Φ(x) with the normal distribution function Φ, and its derivative, accurate in the lower tail.
    fn gelu(self) -> (Self, Self);
    /// The larger; the other one of a NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller; the other one of a NaN.
    fn min(self, other: Self) -> Self;
    /// Fills a slice with N(0, 1).
    fn fill_normal(values: &mut [MaybeUninit<Self>], stream: Stream);
    /// General product C = α·C + β·A·B with strides, as the `gemm` family defines it.
    fn product_kernel() -> ProductKernel<Self>;
    /// Whether inner products of columns keep up with the general product on this machine.
    fn quick_dots() -> bool;
    /// Writes inner products of columns.
    fn write_strip(strip: Strip<Self>);
    /// `c = alpha·a·b` by turning `b` and `c`; whether that has been done, for not every machine gains by it.
    ///
    /// # Safety
    /// `c` must be valid for writes of `a.rows` entries in each of `b.columns` columns, `stride` entries apart, and not overlap
    /// `a` or `b`.
    unsafe fn transposed_product(
        c: *mut Self,
        stride: usize,
        a: &View<Self>,
        b: &View<Self>,
        alpha: Self,
        threads: Threads,
    ) -> bool;
    /// The function's slice form in this precision.
    fn map(function: &dyn SliceFunction, z: &[Self], value: &mut [Self], slope: &mut [Self]);
}

macro_rules! real {
    ($t:ident, $safe_log2:expr, $map:ident, $fill:ident, $product:path, $quick:path, $strip:path, $transposed:path, $gelu:path, $($name:ident = $path:path),*) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EPSILON: f64 = $t::EPSILON as f64;
            const SAFE_LOG2: i64 = $safe_log2;

            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                if self > other { self } else { other }
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                if self < other { self } else { other }
            }
            fn fill_normal(values: &mut [MaybeUninit<Self>], stream: Stream) {
                normal::$fill(values, stream);
            }
            fn product_kernel() -> ProductKernel<Self> {
                $product()
            }
            fn quick_dots() -> bool {
                $quick()
            }
            fn write_strip(strip: Strip<Self>) {
                $strip(strip);
            }
            unsafe fn transposed_product(
                c: *mut Self,
                stride: usize,
                a: &View<Self>,
                b: &View<Self>,
                alpha: Self,
                threads: Threads,
            ) -> bool {
                // SAFETY: by the caller's promise.
                unsafe { $transposed(c, stride, a, b, alpha, threads) }
            }
            fn map(function: &dyn SliceFunction, z: &[Self], value: &mut [Self], slope: &mut [Self]) {
                function.$map(z, value, slope);
            }
            #[inline(always)]
            fn gelu(self) -> (Self, Self) {
                $gelu(self)
            }
            $(#[inline(always)]
            fn $name(self) -> Self {
                $path(self)
            })*
        }
    };
}

real!(
    f32,
    40,
    map_f32,
    fill_single,
    gemm_f32::gemm::f32::get_gemm_fn,
    dots::quick,
    dots::single,
    transpose::product,
    fast::gelu,
    abs = f32::abs,
    sqrt = f32::sqrt,
    exp = fast::exp,
    exp_m1 = fast::exp_m1,
    ln_1p = fast::ln_1p,
    tanh = fast::tanh,
    sin = f32::sin,
    cos = f32::cos,
    erf = libm::erff
);
real!(
    f64,
    300,
    map_f64,
    fill_double,
    gemm_f64::gemm::f64::get_gemm_fn,
    dots::slow,
    dots::double,
    transpose::never,
    gelu,
    abs = f64::abs,
    sqrt = f64::sqrt,
    exp = f64::exp,
    exp_m1 = f64::exp_m1,
    ln_1p = f64::ln_1p,
    tanh = f64::tanh,
    sin = f64::sin,
    cos = f64::cos,
    erf = libm::erf
);

/// Elementary functions in single precision without branches or calls, so that loops over them become SIMD.
/// Relative errors stay below 4·10⁻⁷.
mod fast {
    /// 1.5·2²³: adding it rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;

    /// e^x, clamped to the normal range [e^−87, e^88].
    #[inline(always)]
    pub fn exp(x: f32) -> f32 {
        let x = if x > -87.0 { x } else { -87.0 };
        let x = if x < 88.0 { x } else { 88.0 };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let whole = shifted - ROUND;
        // ln 2 in two parts (Cody & Waite 1980): the first product is exact.
        let r = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
        let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0))));
        let fraction = 1.0 + r * (1.0 + r * (0.5 + r * tail));
        let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
        fraction * f32::from_bits(power)
    }

    /// e^x − 1.
    #[inline(always)]
    pub fn exp_m1(x: f32) -> f32 {
        let tail =
            1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0 + x * (1.0 / 5040.0 + x * (1.0 / 40_320.0))));
        let small = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * tail)));
        if x.abs() < 0.5 { small } else { exp(x) - 1.0 }
    }

    /// ln(1 + x) for −½ ≤ x ≤ 1: 2 artanh(x/(2 + x)).
    #[inline(always)]
    pub fn ln_1p(x: f32) -> f32 {
        let s = x / (2.0 + x);
        let q = s * s;
        let tail = 1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0)));
        2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * tail))))
    }

    /// Continued fraction (Lambert) near zero, 1 − 2/(1 + e^2x) elsewhere.
    #[inline(always)]
    pub fn tanh(x: f32) -> f32 {
        let q = x * x;
        let small = x * (945.0 + q * (105.0 + q)) / (945.0 + q * (420.0 + q * 15.0));
        let e = exp(-2.0 * x.abs());
        let large = ((1.0 - e) / (1.0 + e)).copysign(x);
        if x.abs() < 0.6 { small } else { large }
    }

    /// e^x in double precision for x ≤ 0, to 10⁻⁹ of itself, clamped to e^−700.
    #[inline(always)]
    fn falling(x: f64) -> f64 {
        /// 1.5·2⁵².
        const ROUND: f64 = 6_755_399_441_055_744.0;
        let x = if x > -700.0 { x } else { -700.0 };
        let shifted = x * std::f64::consts::LOG2_E + ROUND;
        let r = x - (shifted - ROUND) * std::f64::consts::LN_2;
        let tail = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0 + r * (1.0 / 40_320.0)));
        let fraction = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * tail))));
        let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(1023) << 52;
        fraction * f64::from_bits(power)
    }

    /// (1 + 2t)·e^t²·erfc(t) as a polynomial in (t − 3)/(t + 3), interpolated at 60 Chebyshev nodes and cut behind the eleventh
    /// power (the variable is that of Shepherd & Laframboise 1981): errors are below 5·10⁻⁹ of the value for every t ≥ 0.
    const ERFCX: [f64; 12] = [
        1.253_008_056_367_755,
        -0.135_621_069_400_267,
        -0.047_562_156_927_522,
        0.129_644_114_343_953,
        -0.119_275_275_282_28,
        0.068_316_567_771_807,
        -0.023_763_576_439_197,
        0.002_499_116_868_314,
        0.001_875_079_123_186,
        -0.000_726_453_678_058,
        -0.000_092_545_166_538,
        0.000_077_310_242_016,
    ];

    /// GELU and its derivative, in double precision inside: in single precision the lower tail would lose its digits.
    #[inline(always)]
    pub fn gelu(x: f32) -> (f32, f32) {
        let z = f64::from(x);
        let t = z.abs() * std::f64::consts::FRAC_1_SQRT_2;
        // One division for both quotients.
        let (sum, line) = (t + 3.0, 1.0 + 2.0 * t);
        let inverse = 1.0 / (sum * line);
        let y = (t - 3.0) * line * inverse;
        let mut scaled = ERFCX[11];
        for k in (0..11).rev() {
            scaled = scaled * y + ERFCX[k];
        }
        let density = falling(-0.5 * z * z);
        let tail = 0.5 * density * scaled * sum * inverse;
        let cdf = if z < 0.0 { tail } else { 1.0 - tail };
        /// 1/√(2π).
        const PEAK: f64 = 0.398_942_280_401_432_7;
        ((z * cdf) as f32, (cdf + z * density * PEAK) as f32)
    }
}

/// Logistic function 1/(1 + e^−x), accurate in both tails.
pub fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// ln(1 + e^x) without overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// GELU x·Φ(x) and its derivative Φ(x) + x·ϕ(x), accurate in the lower tail.
pub fn gelu(x: f64) -> (f64, f64) {
    let cdf = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (x * cdf, cdf + x * density)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_precision_functions_keep_their_accuracy() {
        let close = |name: &str, x: f32, got: f32, exact: f64| {
            let error = (f64::from(got) - exact).abs() / exact.abs().max(1e-37);
            assert!(error < 4e-7, "{name}({x}): {got} {exact}");
        };
        for k in -8700..8800 {
            let x = k as f32 * 0.01 + 0.003;
            close("exp", x, Real::exp(x), f64::from(x).exp());
            close("tanh", x, Real::tanh(x), f64::from(x).tanh());
            close("exp_m1", x, Real::exp_m1(x), f64::from(x).exp_m1());
        }
        for k in -500..1000 {
            let x = k as f32 * 1e-3;
            close("ln_1p", x, Real::ln_1p(x), f64::from(x).ln_1p());
        }
        for k in -1250..1300 {
            let x = k as f32 * 0.01;
            let (exact, (value, slope)) = (gelu(x.into()), Real::gelu(x));
            close("gelu", x, value, exact.0);
            // Its derivative has a zero, near −0.75.
            let error = (f64::from(slope) - exact.1).abs();
            assert!(error < 4e-7 * exact.1.abs() + 1e-9, "gelu′({x}): {slope} {}", exact.1);
        }
        assert_eq!((Real::gelu(-1e12f32), Real::gelu(1e12f32)), ((0.0, 0.0), (1e12, 1.0)));
        close("tanh", 1e-20, Real::tanh(1e-20f32), 1e-20f32.into());
        assert_eq!(Real::tanh(1e30f32), 1.0);
    }

    #[test]
    fn tails_of_double_precision_functions() {
        assert!((sigmoid(-700.0).ln() + 700.0).abs() < 1e-9 && sigmoid(1e9) == 1.0);
        assert!((softplus(-700.0).ln() + 700.0).abs() < 1e-9 && softplus(1e9) == 1e9);
        // z·Φ(z) at −10, from Φ(−10) = 7.619853024160527e-24.
        assert!((gelu(-10.0).0 / -7.619_853_024_160_527e-23 - 1.0).abs() < 1e-12);
    }
}
