//! The learning rate over time.

use crate::law::call::{Call, CatalogError};

/// Names as the command line takes them.
pub const NAMES: [&str; 3] = ["constant", "step", "cosine"];

/// The share of the learning rate at each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// 1.
    Constant,
    /// Times `factor` after every `epochs`.
    Step {
        /// Epochs between changes.
        epochs: f64,
        /// Factor of each change.
        factor: f64,
    },
    /// Half a cosine from 1 to `least` (Loshchilov & Hutter 2017, eq. 5, one cycle).
    Cosine {
        /// Share at the end.
        least: f64,
    },
}

impl Schedule {
    /// Reads `constant`, `step(epochs, factor)` or `cosine(least)`.
    ///
    /// # Errors
    /// An unknown name, or a parameter beyond its range.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let call = Call::parse(text)?;
        match call.name.as_str() {
            "constant" => call.bind(&[]).map(|_| Self::Constant),
            "step" => {
                let given = call.bind(&["epochs", "factor"])?;
                let positive = |v: f64| v > 0.0 && v.is_finite();
                let epochs = call.number(given[0], ("epochs", 1.0), positive, "a positive number")?;
                let share = |v: f64| v > 0.0 && v <= 1.0;
                let factor = call.number(given[1], ("factor", 0.1), share, "a number above 0, at most 1")?;
                Ok(Self::Step { epochs, factor })
            }
            "cosine" => {
                let given = call.bind(&["least"])?;
                let share = |v: f64| (0.0..=1.0).contains(&v);
                Ok(Self::Cosine {
                    least: call.number(given[0], ("least", 0.0), share, "a number from 0 to 1")?,
                })
            }
            other => Err(CatalogError::unknown("schedule", other, NAMES.into_iter())),
        }
    }

    /// Share of the rate at a step, from 0 on, of `total`; over the first `warmup` steps it rises linearly to what it is there.
    pub fn share(self, step: u64, total: u64, epoch: u64, warmup: u64) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let (since, all) = ((step - warmup) as f64, total.saturating_sub(warmup).max(1) as f64);
        match self {
            Self::Constant => 1.0,
            Self::Step { epochs, factor } => factor.powf((step as f64 / (epochs * epoch as f64)).floor()),
            Self::Cosine { least } => {
                least + (1.0 - least) * 0.5 * (1.0 + (std::f64::consts::PI * since / all).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let step = Schedule::parse("step(2, 0.5)").unwrap();
        assert_eq!([0, 19, 20, 40].map(|t| step.share(t, 100, 10, 0)), [1.0, 1.0, 0.5, 0.25]);
        let cosine = Schedule::parse("cosine(0.1)").unwrap();
        assert_eq!(cosine.share(0, 100, 10, 0), 1.0);
        assert!((cosine.share(50, 100, 10, 0) - 0.55).abs() < 1e-12);
        assert!((cosine.share(100, 100, 10, 0) - 0.1).abs() < 1e-12);
        let warm = |t| Schedule::Constant.share(t, 100, 10, 4);
        assert_eq!([0, 1, 3, 4].map(warm), [0.25, 0.5, 1.0, 1.0]);
        assert_eq!(cosine.share(4, 104, 10, 4), 1.0);
        for text in ["stp", "step(0)", "step(1, 2)", "cosine(2)", "constant(1)"] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
