//! Laws of weights and biases: the distribution of one layer's entries, with its exact moments and its support.
//!
//! A [`Law`] is the distribution after every fan and gain has been filled in. [`call`] reads the form `name(value,
//! parameter=value)` in which users name laws, initializers and optimizers; [`expression`] reads their formulas; [`draw`] draws
//! standardized entries.
//!
//! ```
//! use initdiag::law::Law;
//!
//! let law = Law::Uniform { low: -0.5, high: 0.5 };
//! assert_eq!(law.moments(64, 64).variance, 1.0 / 12.0);
//! assert_eq!(law.support(), (-0.5, 0.5));
//! ```

pub mod call;
pub mod draw;
pub mod expression;
pub(crate) mod named;

use statrs::distribution::{Continuous, ContinuousCDF, Normal};
use std::fmt;

/// The law of a weight matrix (fan_out × fan_in) or of a bias vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Every entry has this value.
    Constant(f64),
    /// Independent N(mean, std²) entries.
    Normal {
        /// Mean of an entry.
        mean: f64,
        /// Standard deviation of an entry, at least 0.
        std: f64,
    },
    /// Independent entries, uniform on [low, high).
    Uniform {
        /// Lower limit, included.
        low: f64,
        /// Upper limit, not included.
        high: f64,
    },
    /// Independent N(mean, std²) entries conditioned on [low, high]; `std` is the parent's.
    TruncatedNormal {
        /// Mean of the parent.
        mean: f64,
        /// Standard deviation of the parent, at least 0.
        std: f64,
        /// Lower cut, an absolute value.
        low: f64,
        /// Upper cut, an absolute value.
        high: f64,
    },
    /// `gain` times a Haar-distributed orthogonal matrix; orthonormal rows or columns, whichever are fewer, when the
    /// layer is not square (Saxe et al. 2014).
    Haar {
        /// Every singular value's magnitude.
        gain: f64,
    },
    /// Blocks ±`gain`·M with one Haar-distributed M, such that units come in pairs of opposite sign: \[[M, −M], [−M, M]\], or the
    /// part of it whose inputs or outputs come alone (looks-linear, Balduzzi et al. 2017, § 4).
    Mirrored {
        /// Every singular value's magnitude of M.
        gain: f64,
        /// Inputs come in pairs: the second half of the columns is the first with the other sign.
        inputs: bool,
        /// Outputs come in pairs, likewise of rows.
        outputs: bool,
    },
    /// `gain` on the main diagonal, zero elsewhere (PyTorch `eye_`).
    Identity {
        /// The value on the diagonal.
        gain: f64,
    },
    /// N(0, std²) entries of which ⌈sparsity·fan_out⌉ in each column are zero (Martens 2010, PyTorch `sparse_`).
    Sparse {
        /// Share of zeros in a column, in [0, 1].
        sparsity: f64,
        /// Standard deviation of the other entries, at least 0.
        std: f64,
    },
}

/// Mean and variance of one entry of a layer's weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntryMoments {
    /// E w.
    pub mean: f64,
    /// E (w − E w)².
    pub variance: f64,
}

impl Law {
    /// What is wrong with the law's numbers, in words; `Ok` when it can be drawn.
    ///
    /// # Errors
    /// A parameter that is not finite, a negative standard deviation, an empty interval, a sparsity outside [0, 1].
    pub fn check(&self) -> Result<(), String> {
        let finite = |name: &str, value: f64| {
            if value.is_finite() { Ok(()) } else { Err(format!("{name} = {value} is not a finite number")) }
        };
        let spread = |std: f64| {
            finite("std", std)?;
            if std < 0.0 { Err(format!("std = {std} is negative")) } else { Ok(()) }
        };
        match *self {
            Self::Constant(value) => finite("value", value),
            Self::Normal { mean, std } => finite("mean", mean).and_then(|()| spread(std)),
            Self::Uniform { low, high } => {
                finite("the lower limit", low)?;
                finite("the upper limit", high)?;
                finite("the width of the interval", high - low)?;
                if low > high {
                    Err(format!("the interval [{}, {}] is empty", short(low), short(high)))
                } else {
                    Ok(())
                }
            }
            Self::TruncatedNormal { mean, std, low, high } => {
                finite("mean", mean)?;
                spread(std)?;
                finite("the lower cut", low)?;
                finite("the upper cut", high)?;
                if low > high || (low == high && std > 0.0) {
                    return Err(format!("the interval [{}, {}] is empty", short(low), short(high)));
                }
                if std == 0.0 {
                    return Ok(());
                }
                // Further out the tail's own probability is not a double any more.
                let (a, b) = ((low - mean) / std, (high - mean) / std);
                if a > 37.0 || b < -37.0 {
                    let (low, high, mean) = (short(low), short(high), short(mean));
                    return Err(format!("[{low}, {high}] lies more than 37 std from the mean {mean}"));
                }
                Ok(())
            }
            Self::Haar { gain } | Self::Identity { gain } | Self::Mirrored { gain, .. } => {
                finite("gain", gain)
            }
            Self::Sparse { sparsity, std } => {
                spread(std)?;
                if (0.0..=1.0).contains(&sparsity) {
                    Ok(())
                } else {
                    Err(format!("sparsity = {sparsity} is not between 0 and 1"))
                }
            }
        }
    }

    /// Mean and variance of an entry of a `fan_out × fan_in` matrix, taken over the draw and over its entries.
    pub fn moments(&self, fan_in: usize, fan_out: usize) -> EntryMoments {
        let (n, m) = (fan_in as f64, fan_out as f64);
        let (mean, variance) = match *self {
            Self::Constant(value) => (value, 0.0),
            Self::Normal { mean, std } => (mean, std * std),
            Self::Uniform { low, high } => (f64::midpoint(low, high), (high - low).powi(2) / 12.0),
            Self::TruncatedNormal { mean, std, low, high } => truncated_moments(mean, std, low, high),
            Self::Haar { gain } => (0.0, gain * gain / n.max(m)),
            Self::Mirrored { gain, .. } => {
                let (columns, rows) = self.block(fan_in, fan_out);
                (0.0, gain * gain / columns.max(rows).max(1) as f64)
            }
            Self::Identity { gain } => {
                let p = n.min(m) / (n * m);
                (gain * p, gain * gain * p * (1.0 - p))
            }
            Self::Sparse { sparsity, std } => {
                (0.0, std * std * (1.0 - zeros_per_column(sparsity, fan_out) as f64 / m))
            }
        };
        EntryMoments { mean, variance }
    }

    /// The smallest interval that holds every entry; infinite ends for a normal law.
    pub fn support(&self) -> (f64, f64) {
        match *self {
            Self::Constant(value) => (value, value),
            Self::Normal { mean, std: 0.0 } => (mean, mean),
            Self::Normal { .. } | Self::Sparse { .. } => (f64::NEG_INFINITY, f64::INFINITY),
            Self::Uniform { low, high } | Self::TruncatedNormal { low, high, .. } => (low, high),
            Self::Haar { gain } | Self::Mirrored { gain, .. } => (-gain.abs(), gain.abs()),
            Self::Identity { gain } => (gain.min(0.0), gain.max(0.0)),
        }
    }

    /// Columns and rows of what is drawn of a `fan_out × fan_in` matrix: one block of those that mirror each other, else all of it.
    pub fn block(&self, fan_in: usize, fan_out: usize) -> (usize, usize) {
        let half = |size: usize, is_paired: bool| if is_paired { size / 2 } else { size };
        match *self {
            Self::Mirrored { inputs, outputs, .. } => (half(fan_in, inputs), half(fan_out, outputs)),
            _ => (fan_in, fan_out),
        }
    }

    /// All units of a layer get the same weights.
    pub fn is_point_mass(&self) -> bool {
        matches!(
            *self,
            Self::Constant(_) | Self::Normal { std: 0.0, .. } | Self::TruncatedNormal { std: 0.0, .. }
        ) || matches!(*self, Self::Uniform { low, high } if low == high)
    }

    /// Haar-distributed up to a factor: products are drawn as frames.
    pub fn is_orthogonal(&self) -> bool {
        matches!(self, Self::Haar { .. })
    }

    /// Has no random entry: the matrix need not be formed.
    pub fn is_fixed(&self) -> bool {
        self.is_point_mass() || matches!(self, Self::Identity { .. })
    }
}

/// Zeros in a column of a sparse layer (PyTorch `sparse_`: ⌈sparsity·rows⌉).
pub fn zeros_per_column(sparsity: f64, fan_out: usize) -> usize {
    ((sparsity * fan_out as f64).ceil() as usize).min(fan_out)
}

/// Mean and variance of N(mean, std²) conditioned on [low, high] (Johnson, Kotz & Balakrishnan 1994, § 10.1).
fn truncated_moments(mean: f64, std: f64, low: f64, high: f64) -> (f64, f64) {
    if std == 0.0 {
        return (mean, 0.0);
    }
    let (a, b) = ((low - mean) / std, (high - mean) / std);
    if b - a < 1e-4 {
        // The density is flat there and the general form below cancels.
        return (f64::midpoint(low, high), (high - low).powi(2) / 12.0);
    }
    let normal = Normal::standard();
    // In the upper tail the complement keeps the digits.
    let mass = if a > 0.0 { normal.sf(a) - normal.sf(b) } else { normal.cdf(b) - normal.cdf(a) };
    let (pa, pb) = (normal.pdf(a) / mass, normal.pdf(b) / mass);
    let shift = pa - pb;
    let variance = 1.0 + a * pa - b * pb - shift * shift;
    (mean + std * shift, (std * std * variance).max(0.0))
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant(value) => write!(f, "every weight {}", short(value)),
            Self::Normal { mean, std } => write!(f, "N({}, {}²)", short(mean), short(std)),
            Self::Uniform { low, high } => write!(f, "U[{}, {})", short(low), short(high)),
            Self::TruncatedNormal { mean, std, low, high } => {
                write!(f, "N({}, {}²) cut to [{}, {}]", short(mean), short(std), short(low), short(high))
            }
            Self::Haar { gain } => write!(f, "{} × Haar", short(gain)),
            Self::Mirrored { gain, .. } => write!(f, "{} × mirrored Haar", short(gain)),
            Self::Identity { gain } => write!(f, "{} × identity", short(gain)),
            Self::Sparse { sparsity, std } => {
                write!(f, "N(0, {}²), {} of each column zero", short(std), short(sparsity))
            }
        }
    }
}

/// At most five significant digits, without an exponent where people would not write one.
pub fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if !value.is_finite() {
        return if value.is_nan() { "unknown" } else { "infinite" }.into();
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..6.0).contains(&magnitude) {
        let text = format!("{value:.4e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", trim(digits));
    }
    trim(&format!("{value:.*}", (4.0 - magnitude).max(0.0) as usize)).to_string()
}

fn trim(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_at_two_std_keeps_the_variance_that_keras_corrects_for() {
        let law = Law::TruncatedNormal { mean: 0.0, std: 0.05, low: -0.1, high: 0.1 };
        let std = law.moments(8, 8).variance.sqrt();
        // Keras, JAX: 0.87962566103423978 is the std of a standard normal cut at ±2.
        assert!((std / 0.05 - 0.879_625_661_034_239_8).abs() < 1e-12);
        // A narrow window far out: nearly uniform.
        let (mean, variance) = truncated_moments(0.0, 1.0, 5.0, 5.0 + 1e-5);
        assert!((mean - 5.000005).abs() < 1e-9 && (variance / (1e-10 / 12.0) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.0625, "0.0625"),
            (1.0 / 3.0, "0.33333"),
            (2e-7, "2e-7"),
            (512.0, "512"),
            (1e6, "1e6"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn faults_are_named() {
        for (law, words) in [
            (Law::Normal { mean: 0.0, std: -1.0 }, "negative"),
            (Law::Normal { mean: f64::NAN, std: 1.0 }, "mean"),
            (Law::Uniform { low: 1.0, high: 0.0 }, "empty"),
            (Law::Uniform { low: -1.7e308, high: 1.7e308 }, "width"),
            (Law::Sparse { sparsity: 1.5, std: 1.0 }, "between 0 and 1"),
            (Law::TruncatedNormal { mean: 0.0, std: 1.0, low: 50.0, high: 60.0 }, "37"),
        ] {
            assert!(law.check().unwrap_err().contains(words), "{law:?}");
        }
    }
}
