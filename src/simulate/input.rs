//! The batch that is pushed through: drawn from a law, or sampled from data.

use crate::data::Tokens;
use crate::graph::Graph;
use crate::law::call::Call;
use crate::law::draw::{Standard, fill_from};
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::{Key, Part, Role};
use crate::op::Shape;
use crate::theory::stack::InputMoments;
use nalgebra::DMatrix;
use std::collections::BTreeMap;
use std::ops::Range;

/// Where input batches come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Independent N(0, 1) entries.
    Normal,
    /// Independent U(±√3) entries: unit variance.
    Uniform,
    /// Independent entries, uniform between two numbers.
    Between {
        /// The lower limit, included.
        low: f64,
        /// The upper limit, not included.
        high: f64,
    },
    /// N(0, 1) entries; two samples have this expected cosine.
    Correlated(f64),
    /// Samples of a data set, one a column (features × samples); a trial's batch is drawn without replacement.
    Data(DMatrix<f32>),
    /// Samples of a network that takes tokens; a trial's batch is drawn without replacement.
    Tokens(Tokens),
}

/// What goes into a network: the same for all of its inputs, and what single ones of them are given in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// Of inputs that are given nothing of their own.
    pub common: Input,
    /// By name.
    pub named: BTreeMap<String, Input>,
}

impl From<Input> for Inputs {
    fn from(common: Input) -> Self {
        Self { common, named: BTreeMap::new() }
    }
}

impl Inputs {
    /// What an input of this name is given.
    pub fn of(&self, name: &str) -> &Input {
        self.named.get(name).unwrap_or(&self.common)
    }

    /// All that are given.
    pub fn all(&self) -> impl Iterator<Item = &Input> {
        std::iter::once(&self.common).chain(self.named.values())
    }

    /// The batches of a trial, one for each input of the network: features × samples, and nothing of tokens. Files tell of the same
    /// samples, each in its own place.
    pub fn draw<T: Real>(&self, graph: &Graph, batch: usize, key: Key) -> Vec<Signal<T>> {
        let one = |(number, (name, shape)): (usize, (&String, Shape))| {
            let input = self.of(name);
            let key = if matches!(input, Input::Data(_)) { key } else { key.of_input(number) };
            input.draw(shape.features(), batch, key)
        };
        graph.inputs.iter().zip(graph.inputs()).enumerate().map(one).collect()
    }

    /// The tokens of a trial, sample after sample, of each input that is given any.
    pub fn tokens(&self, graph: &Graph, batch: usize, key: Key) -> Vec<Option<Vec<usize>>> {
        let one = |(name, shape): (&String, Shape)| self.of(name).tokens(shape.positions(), batch, key);
        graph.inputs.iter().zip(graph.inputs()).map(one).collect()
    }
}

/// Moments of an input, over all samples that batches are taken from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputStatistics {
    /// Of the entries, and the cosine between two samples.
    pub moments: InputMoments,
    /// Variance of the samples' squared norms, relative to their squared mean: that of data; what a law leaves to chance is not in
    /// it.
    pub spread: f64,
}

/// Samples of a data set whose cosines are averaged.
const PAIRED: usize = 256;

fn of_data(samples: &DMatrix<f32>) -> InputStatistics {
    let squares: Vec<f64> =
        samples.column_iter().map(|x| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>()).collect();
    let (count, entries) = (squares.len().max(1) as f64, samples.len().max(1) as f64);
    let mean_square = squares.iter().sum::<f64>() / count;
    let moments = InputMoments {
        mean: samples.iter().map(|v| f64::from(*v)).sum::<f64>() / entries,
        second_moment: squares.iter().sum::<f64>() / entries,
        correlation: cosine(samples, &squares),
    };
    let spread = squares.iter().map(|s| (s / mean_square - 1.0).powi(2)).sum::<f64>() / count;
    InputStatistics { moments, spread: if mean_square > 0.0 { spread } else { 0.0 } }
}

/// Mean cosine between pairs of samples, ‖Σ x̂‖² without the samples themselves.
fn cosine(data: &DMatrix<f32>, squares: &[f64]) -> f64 {
    let mut sum = vec![0.0f64; data.nrows()];
    let mut count = 0.0;
    let step = data.ncols().div_ceil(PAIRED).max(1);
    for (sample, square) in data.column_iter().zip(squares).step_by(step).filter(|(_, square)| **square > 0.0)
    {
        sum.iter_mut().zip(sample.iter()).for_each(|(s, v)| *s += f64::from(*v) / square.sqrt());
        count += 1.0;
    }
    if count < 2.0 {
        return 1.0;
    }
    let square: f64 = sum.iter().map(|s| s * s).sum();
    ((square - count) / (count * (count - 1.0))).clamp(-1.0, 1.0)
}

/// The first four moments of U[low, high).
pub fn moments_between(low: f64, high: f64) -> [f64; 4] {
    // By the middle and half of the width, which lose nothing where the limits are near each other.
    let (m, h2) = (f64::midpoint(low, high), ((high - low) / 2.0).powi(2));
    let (m2, h4) = (m * m, h2 * h2 / 5.0);
    let h2 = h2 / 3.0;
    [m, m2 + h2, m * (m2 + 3.0 * h2), m2 * m2 + 6.0 * m2 * h2 + h4]
}

/// Why a text does not name a law of inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum InputError {
    #[error("correlated takes one number between 0 and 1, not `{0}`")]
    Correlation(String),
    #[error("uniform takes two numbers, the lower one first, or none for variance 1, not `{0}`")]
    Limits(String),
}

impl Input {
    /// Reads `normal`, `uniform`, `uniform(low, high)` or `correlated(c)`; `None` for anything else, which may be a file.
    ///
    /// # Errors
    /// A correlation that is not a number between 0 and 1, limits that are none.
    pub fn parse(text: &str) -> Result<Option<Self>, InputError> {
        // Squares of such numbers are far from the ends of single precision.
        const MOST: f64 = 1e15;
        let Ok(call) = Call::parse(text) else { return Ok(None) };
        match (call.name.as_str(), call.arguments.as_slice()) {
            ("normal", []) => Ok(Some(Self::Normal)),
            ("uniform", []) => Ok(Some(Self::Uniform)),
            ("uniform", arguments) => {
                let number = |(_, text): &(Option<String>, String)| text.parse::<f64>().ok();
                match arguments.iter().map(number).collect::<Option<Vec<f64>>>().as_deref() {
                    Some(&[low, high]) if low < high && low.abs().max(high.abs()) <= MOST => {
                        Ok(Some(Self::Between { low, high }))
                    }
                    _ => Err(InputError::Limits(text.trim().into())),
                }
            }
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

    /// What enters layer 1. Of data this reads every sample, so it is asked for once a run.
    pub fn entrance(&self) -> InputStatistics {
        match self {
            Self::Normal | Self::Uniform => InputStatistics { moments: InputMoments::NORMAL, spread: 0.0 },
            Self::Correlated(c) => InputStatistics {
                moments: InputMoments { correlation: *c, ..InputMoments::NORMAL },
                spread: 0.0,
            },
            Self::Between { low, high } => {
                let [mean, square, ..] = moments_between(*low, *high);
                let correlation = mean * mean / square;
                InputStatistics {
                    moments: InputMoments { mean, second_moment: square, correlation },
                    spread: 0.0,
                }
            }
            Self::Data(samples) => of_data(samples),
            // The network's table decides what comes of them.
            Self::Tokens(_) => InputStatistics { moments: InputMoments::NORMAL, spread: 0.0 },
        }
    }

    /// The tokens of a trial, sample after sample, where the input holds any: so many a sample.
    pub fn tokens(&self, length: usize, batch: usize, key: Key) -> Option<Vec<usize>> {
        let Self::Tokens(tokens) = self else { return None };
        let mut rng = key.stream(Role::Input, Part::Block(0));
        let chosen = rand::seq::index::sample(&mut rng, tokens.samples(length), batch);
        Some(chosen.iter().flat_map(|sample| tokens.sample(sample, length)).map(|n| *n as usize).collect())
    }

    /// The batch of a trial, width × batch.
    pub fn draw<T: Real>(&self, width: usize, batch: usize, key: Key) -> Signal<T> {
        self.rows(0..width, batch, key, Part::Block(0))
    }

    /// Some rows of a batch. `first` numbers their draws: rows drawn together are drawn again together.
    pub fn rows<T: Real>(&self, rows: Range<usize>, batch: usize, key: Key, first: Part) -> Signal<T> {
        let mut values = DMatrix::from_element(rows.len(), batch, T::ZERO);
        let entries = values.as_mut_slice();
        let draw = |entries: &mut [T], standard| {
            fill_from(entries, standard, key, Role::Input, first, Threads::One);
        };
        match self {
            Self::Normal => draw(entries, Standard::Normal),
            Self::Uniform => {
                draw(entries, Standard::Uniform);
                entries.iter_mut().for_each(|v| *v *= T::of(3f64.sqrt()));
            }
            Self::Between { low, high } => {
                draw(entries, Standard::Uniform);
                let (middle, half) = (T::of(f64::midpoint(*low, *high)), T::of((high - low) / 2.0));
                entries.iter_mut().for_each(|v| *v = *v * half + middle);
            }
            // A network that takes tokens has no such entries.
            Self::Tokens(_) => {}
            Self::Correlated(c) => {
                draw(entries, Standard::Normal);
                let mut shared = vec![T::ZERO; rows.len()];
                let part = match first {
                    Part::Units { units, .. } => Part::Shared(units),
                    _ => Part::Shared(0),
                };
                fill_from(&mut shared, Standard::Normal, key, Role::Input, part, Threads::One);
                let (common, own) = (T::of(c.sqrt()), T::of((1.0 - c).sqrt()));
                for mut column in values.column_iter_mut() {
                    column.iter_mut().zip(&shared).for_each(|(v, s)| *v = common * *s + own * *v);
                }
            }
            Self::Data(samples) => {
                let mut rng = key.stream(Role::Input, Part::Block(0));
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
