//! Number formats: where a signal leaves the range in which a format keeps all its digits.

use crate::law::named::named;

named! {
    /// A floating-point format.
    #[non_exhaustive]
    pub enum NumberFormat {
        /// binary32 of IEEE 754.
        F32 = "f32",
        /// bfloat16, the upper half of binary32.
        Bf16 = "bf16",
        /// binary16 of IEEE 754.
        F16 = "f16",
        /// Eight bits, five of them of the exponent.
        Fp8E5m2 = "fp8-e5m2",
        /// Eight bits, four of them of the exponent, and no infinities.
        Fp8E4m3 = "fp8-e4m3",
    }
}

/// A floating-point format by its normal range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format {
    /// Which format it is.
    pub name: NumberFormat,
    /// Smallest normal number.
    pub smallest: f64,
    /// Largest finite number.
    pub largest: f64,
}

impl Format {
    /// log₁₀ of the smallest normal and of the largest finite number.
    pub fn decades(&self) -> (f64, f64) {
        (self.smallest.log10(), self.largest.log10())
    }

    /// Whether 10^`log10` is outside the normal range.
    pub fn lacks(&self, log10: f64) -> bool {
        let (low, high) = self.decades();
        !(low..=high).contains(&log10)
    }
}

const fn power(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

/// binary32 of IEEE 754-2019, table 3.5.
pub const F32: Format =
    Format { name: NumberFormat::F32, smallest: power(-126), largest: (2.0 - power(-23)) * power(127) };
/// binary16 of IEEE 754-2019, table 3.5.
pub const F16: Format =
    Format { name: NumberFormat::F16, smallest: power(-14), largest: (2.0 - power(-10)) * power(15) };
/// bfloat16: the upper half of binary32 (Kalamkar et al. 2019, table 1).
pub const BF16: Format =
    Format { name: NumberFormat::Bf16, smallest: power(-126), largest: (2.0 - power(-7)) * power(127) };
/// FP8 with four bits of exponent, no infinities (Micikevicius et al. 2022, table 1; OCP OFP8).
pub const FP8_E4M3: Format = Format { name: NumberFormat::Fp8E4m3, smallest: power(-6), largest: 448.0 };
/// FP8 with five bits of exponent (Micikevicius et al. 2022, table 1; OCP OFP8).
pub const FP8_E5M2: Format = Format { name: NumberFormat::Fp8E5m2, smallest: power(-14), largest: 57_344.0 };

/// Widest first.
pub const FORMATS: [Format; 5] = [F32, BF16, F16, FP8_E5M2, FP8_E4M3];

/// What of a tensor is looked at, out of log₁₀ of its second moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magnitude {
    /// The root mean square: the signal or the gradient itself.
    Root,
    /// The mean square: a gradient's square, as Adam's second moment keeps it (Kingma & Ba 2015).
    Square,
}

/// The first place of a series of log₁₀ second moments at which a format does not hold it; exact zeros (`None`) are held.
pub fn first_outside(
    series: impl IntoIterator<Item = Option<f64>>,
    magnitude: Magnitude,
    format: &Format,
) -> Option<usize> {
    let part = if magnitude == Magnitude::Root { 0.5 } else { 1.0 };
    series.into_iter().position(|log10| log10.is_some_and(|x| format.lacks(part * x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!((f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)), (F32.smallest, F32.largest));
        assert_eq!((F16.smallest, F16.largest), (6.103_515_625e-5, 65_504.0));
        assert_eq!((BF16.smallest, BF16.largest), (F32.smallest, f64::from(f32::from_bits(0x7f7f_0000))));
        assert_eq!((FP8_E4M3.smallest, FP8_E5M2.smallest), (0.015_625, F16.smallest));
        assert_eq!(FP8_E5M2.largest, 1.75 * 32_768.0);
        assert_eq!(FP8_E4M3.largest, 1.75 * 256.0);
    }

    #[test]
    fn a_sixth_a_layer_leaves_f32_at_layer_49() {
        // ReLU with PyTorch's default: from one, second moments fall by 6 a layer.
        let series = |k: usize| Some(-(k as f64) * 6f64.log10());
        let squares = first_outside((0..60).map(series), Magnitude::Square, &F32);
        assert_eq!(squares, Some(49));
        assert_eq!(first_outside((0..60).map(series), Magnitude::Root, &F32), None);
        assert_eq!(first_outside((0..60).map(series), Magnitude::Root, &FP8_E4M3), Some(5));
        assert_eq!(first_outside([None, Some(10.0)], Magnitude::Root, &FP8_E5M2), Some(1));
    }
}
