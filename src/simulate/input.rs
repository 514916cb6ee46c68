//! The batch that is pushed through: drawn from a law, or sampled from data.

use crate::draw::{Standard, fill_from};
use crate::product::Threads;
use crate::real::Real;
use crate::signal::Signal;
use crate::spec::call::Call;
use crate::stream::{Key, Role};
use nalgebra::DMatrix;
use std::ops::Range;

/// Where input batches come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Independent N(0, 1) entries.
    Normal,
    /// Independent U(±√3) entries: unit variance.
    Uniform,
    /// N(0, 1) entries; two samples have this expected cosine.
    Correlated(f64),
    /// Samples of a data set, one a column (features × samples); a trial's batch is drawn without replacement.
    Data(DMatrix<f32>),
}

/// Why a text does not name a law of inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum InputError {
    #[error("correlated takes one number between 0 and 1, not `{0}`")]
    Correlation(String),
}

impl Input {
    /// Reads `normal`, `uniform` or `correlated(c)`; `None` for anything else, which may be a file.
    ///
    /// # Errors
    /// A correlation that is not a number between 0 and 1.
    pub fn parse(text: &str) -> Result<Option<Self>, InputError> {
        let Ok(call) = Call::parse(text) else { return Ok(None) };
        match (call.name.as_str(), call.arguments.as_slice()) {
            ("normal", []) => Ok(Some(Self::Normal)),
            ("uniform", []) => Ok(Some(Self::Uniform)),
            ("correlated", arguments) => {
                let given = text.trim().to_string();
                match arguments {
                    [(None, c)] => match c.parse::<f64>() {
                        Ok(c) if (0.0..=1.0).contains(&c) => Ok(Some(Self::Correlated(c))),
                        _ => Err(InputError::Correlation(given)),
                    },
                    _ => Err(InputError::Correlation(given)),
                }
            }
            _ => Ok(None),
        }
    }

    /// The batch of a trial, width × batch.
    pub fn draw<T: Real>(&self, width: usize, batch: usize, key: Key) -> Signal<T> {
        self.rows(0..width, batch, key, 0)
    }

    /// Some rows of a batch. `first` numbers their draws: rows drawn together are drawn again together.
    pub fn rows<T: Real>(&self, rows: Range<usize>, batch: usize, key: Key, first: u64) -> Signal<T> {
        let mut values = DMatrix::from_element(rows.len(), batch, T::ZERO);
        let entries = values.as_mut_slice();
        let draw = |entries: &mut [T], standard, key| {
            fill_from(entries, standard, key, Role::Input, first, Threads::One);
        };
        match self {
            Self::Normal => draw(entries, Standard::Normal, key),
            Self::Uniform => {
                draw(entries, Standard::Uniform, key);
                entries.iter_mut().for_each(|v| *v *= T::of(3f64.sqrt()));
            }
            Self::Correlated(c) => {
                draw(entries, Standard::Normal, key);
                let mut shared = vec![T::ZERO; rows.len()];
                draw(&mut shared, Standard::Normal, Key { layer: key.layer + 1_000_000_000, ..key });
                let (common, own) = (T::of(c.sqrt()), T::of((1.0 - c).sqrt()));
                for mut column in values.column_iter_mut() {
                    column.iter_mut().zip(&shared).for_each(|(v, s)| *v = common * *s + own * *v);
                }
            }
            Self::Data(samples) => {
                let mut rng = key.stream(Role::Input, 0);
                let chosen = rand::seq::index::sample(&mut rng, samples.ncols(), batch);
                for (mut column, sample) in values.column_iter_mut().zip(chosen) {
                    let features = samples.column(sample);
                    column
                        .iter_mut()
                        .zip(features.rows(rows.start, rows.len()).iter())
                        .for_each(|(v, s)| *v = T::of((*s).into()));
                }
            }
        }
        Signal::new(values, 0)
    }
}
