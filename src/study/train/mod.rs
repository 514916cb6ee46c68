//! From each initializer, does the network learn? The same network, data and order of samples; only what is asked differs.
//!
//! Arithmetic is that of a trial: single precision beside a power of two. A run has diverged where its cost, a gradient or a
//! weight is no finite single-precision number.

pub mod checkpoint;
mod learner;
pub mod objective;
pub mod optimizer;
pub mod outcome;
pub mod run;
pub mod schedule;

pub use learner::{State, TrainedParameters, start};
pub use objective::Objective;
pub use optimizer::Optimizer;
pub use run::{Control, Saved, run};
pub use schedule::Schedule;

use crate::activation::Activation;
use crate::data::Labelled;
use crate::frontend::toml::Architecture;
use crate::graph::{Graph, GraphError, Laws, Override};
use crate::initializer::Initializer;
use crate::law::call::CatalogError;
use crate::numeric::stream::Key;
use crate::op::Space;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What to train. Lists make a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The network.
    pub net: Architecture,
    /// Activations.
    pub act: Vec<String>,
    /// Initializers.
    pub init: Vec<String>,
    /// Law of the biases; `None` for what the initializer brings.
    pub bias: Option<String>,
    /// Laws of single parameters, each as `PATTERN=LAW` ([`crate::graph::Override`]).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub set: Vec<String>,
    /// Rules, as [`Optimizer::parse`] reads them.
    pub optimizer: Vec<String>,
    /// Learning rates; none for each rule's own.
    pub lr: Vec<f64>,
    /// Weight decays λ.
    pub weight_decay: Vec<f64>,
    /// As [`Schedule::parse`] reads it.
    pub schedule: String,
    /// Steps over which the rate rises to what it is.
    pub warmup: u64,
    /// Training loss.
    pub loss: Objective,
    /// Samples a step.
    pub batch: usize,
    /// Passes over the training samples.
    pub epochs: usize,
    /// Runs of each cell: own weights, own order of samples.
    pub seeds: usize,
    /// Names all streams.
    pub seed: u64,
    /// Accuracy whose first step is sought.
    pub target: f64,
    /// Times at which the variances of layers are taken.
    pub snapshots: usize,
    /// What is trained on.
    pub data: About,
}

/// A data set in words and numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// As the user named it.
    pub name: String,
    /// What was done to it, in words.
    pub prepared: Vec<String>,
    /// Training samples.
    pub train: usize,
    /// Test samples.
    pub test: usize,
    /// Entries of a sample.
    pub features: usize,
    /// CRC-32 of samples and classes: another file of the same name is other data.
    pub checksum: u32,
}

/// Samples to train on and samples to test with.
pub struct Set {
    /// Trained on.
    pub train: Labelled,
    /// Tested with.
    pub test: Labelled,
}

impl Set {
    /// CRC-32 of all samples and classes.
    pub fn checksum(&self) -> u32 {
        let mut sum = flate2::Crc::new();
        for part in [&self.train, &self.test] {
            let mut bytes = Vec::with_capacity(1 << 16);
            for chunk in part.samples.as_slice().chunks(1 << 14) {
                bytes.clear();
                chunk.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
                sum.update(&bytes);
            }
            part.labels.iter().for_each(|label| sum.update(&label.to_le_bytes()));
        }
        sum.sum()
    }
}

/// Why a training cannot begin.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum TrainError {
    #[error("only networks with one input can be trained so far, and this one has {0}")]
    Inputs(String),
    #[error("nothing to train: batch, epochs, seeds and every list need at least one")]
    Nothing,
    #[error("{0}")]
    Activation(CatalogError),
    #[error("{0}")]
    Initializer(CatalogError),
    #[error("{0}")]
    Bias(CatalogError),
    #[error("{0}")]
    Override(CatalogError),
    #[error("{0}")]
    Optimizer(CatalogError),
    #[error("{0}")]
    Schedule(CatalogError),
    #[error("{0}")]
    Net(GraphError),
    #[error("the network takes tokens; images and tables have none")]
    Tokens,
    #[error("a sample has {features} features, but the network takes {shape}, which is {size}")]
    Features { features: usize, shape: String, size: usize },
    #[error(
        "the network's output {shape} has positions; a class each needs one row of outputs: put a `flatten` and a `linear` at its end"
    )]
    Output { shape: String },
    #[error("{which} sample {sample} is of class {class}, but the network has {outputs} outputs, for classes 0 to {}", .outputs - 1)]
    Class { which: &'static str, sample: usize, class: u32, outputs: usize },
    #[error("there are no {0} samples")]
    Empty(&'static str),
    #[error("the tied weights of `{0}` are not trained")]
    Tied(String),
}

/// One combination.
pub struct Cell {
    /// The initializer by its full name.
    pub init: String,
    /// The activation by its full name.
    pub act: String,
    /// The rule.
    pub rule: Optimizer,
    /// Its text.
    pub optimizer: String,
    /// Learning rate.
    pub rate: f64,
    /// Weight decay λ.
    pub decay: f64,
    /// The network with this initializer's laws.
    pub net: Arc<Graph>,
}

/// A checked training.
pub struct Plan {
    /// What was asked, with the full names of what was found.
    pub training: Training,
    /// In the order initializer, activation, rule, rate, decay.
    pub cells: Vec<Cell>,
    /// Schedule of the learning rate.
    pub schedule: Schedule,
    /// Steps at which layers are looked at, increasing.
    pub snapshots: Vec<u64>,
}

impl Plan {
    /// Checks a training against its data.
    ///
    /// # Errors
    /// What does not fit.
    pub fn new(t: &Training, set: &Set) -> Result<Self, TrainError> {
        let lists = [t.act.len(), t.init.len(), t.optimizer.len(), t.weight_decay.len()];
        if t.batch == 0 || t.epochs == 0 || t.seeds == 0 || lists.contains(&0) {
            return Err(TrainError::Nothing);
        }
        let schedule = Schedule::parse(&t.schedule).map_err(TrainError::Schedule)?;
        let acts = t.act.iter().map(|text| Activation::parse(text).map(Arc::new));
        let acts = acts.collect::<Result<Vec<_>, _>>().map_err(TrainError::Activation)?;
        let inits = t.init.iter().map(|text| Initializer::parse_for_net(text)).collect::<Result<Vec<_>, _>>();
        let inits = inits.map_err(TrainError::Initializer)?;
        let bias = t.bias.as_deref().map(Initializer::parse_for_net).transpose().map_err(TrainError::Bias)?;
        let overrides = Override::parse_all(&t.set).map_err(TrainError::Override)?;
        let rules = t.optimizer.iter().map(|text| Optimizer::parse(text)).collect::<Result<Vec<_>, _>>();
        let rules = rules.map_err(TrainError::Optimizer)?;
        let mut cells = Vec::new();
        for (init, text) in inits.iter().zip(&t.init) {
            let fault = |fault: GraphError| TrainError::Net(fault.beside(t.net.init.as_ref(), text));
            for act in &acts {
                let laws = Laws { init, bias: bias.as_ref(), act, overrides: &overrides };
                let net = Arc::new(t.net.with_laws(&laws).map_err(fault)?);
                for (rule, text) in rules.iter().zip(&t.optimizer) {
                    let own = [rule.default_rate()];
                    for rate in if t.lr.is_empty() { &own[..] } else { &t.lr } {
                        for decay in &t.weight_decay {
                            cells.push(Cell {
                                init: init.name.clone(),
                                act: act.name.clone(),
                                rule: *rule,
                                optimizer: text.clone(),
                                rate: *rate,
                                decay: *decay,
                                net: Arc::clone(&net),
                            });
                        }
                    }
                }
            }
        }
        if let Some(cell) = cells.first() {
            fits(&cell.net, set)?;
        }
        let training = Training {
            act: acts.iter().map(|a| a.name.clone()).collect(),
            init: inits.iter().map(|i| i.name.clone()).collect(),
            ..t.clone()
        };
        let mut plan = Self { training, cells, schedule, snapshots: Vec::new() };
        plan.snapshots = snapshots(plan.steps(), t.snapshots);
        Ok(plan)
    }

    /// Samples of a step: no more than there are.
    pub fn batch(&self) -> usize {
        self.training.batch.min(self.training.data.train)
    }

    /// Steps of an epoch.
    pub fn epoch(&self) -> u64 {
        self.training.data.train.div_ceil(self.training.batch) as u64
    }

    /// Steps of a run.
    pub fn steps(&self) -> u64 {
        self.epoch().saturating_mul(self.training.epochs as u64)
    }

    /// Steps of all runs.
    pub fn units(&self) -> u64 {
        self.steps().saturating_mul((self.cells.len() * self.training.seeds) as u64)
    }

    /// The weights that a run begins with: those of the trial of this number in a simulation with the same seed.
    pub fn key(&self, seed: usize) -> Key {
        Key { seed: self.training.seed, trial: seed as u64, layer: 0 }
    }

    /// Bytes of parameters, moments, gradients and tapes of the runs that go at once.
    pub fn bytes(&self, threads: usize) -> u128 {
        let runs = threads.min(self.cells.len() * self.training.seeds).max(1) as u128;
        let one = |cell: &Cell| {
            let rooms = self.batch().div_ceil(learner::shard(self.batch())) as u128;
            let copies = 1 + cell.rule.moments() as u128 + rooms;
            cell.net.weight_bytes().0 * copies + cell.net.tape_bytes(self.batch())
        };
        runs * self.cells.iter().map(one).max().unwrap_or(0)
    }
}

/// The network can be trained on the set.
fn fits(net: &Graph, set: &Set) -> Result<(), TrainError> {
    let input = net.sole_input().ok_or_else(|| TrainError::Inputs(net.inputs.join(", ")))?;
    if matches!(input.space, Space::Tokens(_)) {
        return Err(TrainError::Tokens);
    }
    if let Some(path) = net.tied() {
        return Err(TrainError::Tied(path.into()));
    }
    let features = set.train.samples.nrows();
    if features != net.features() {
        return Err(TrainError::Features { features, shape: input.to_string(), size: net.features() });
    }
    if net.output().positions() != 1 {
        return Err(TrainError::Output { shape: net.output().to_string() });
    }
    let outputs = net.output().size();
    for (which, part) in [("training", &set.train), ("test", &set.test)] {
        if part.is_empty() {
            return Err(TrainError::Empty(which));
        }
        if let Some(place) = part.labels.iter().position(|class| *class as usize >= outputs) {
            return Err(TrainError::Class { which, sample: place + 1, class: part.labels[place], outputs });
        }
    }
    Ok(())
}

/// So many steps: 0, then in equal ratios up to the last.
fn snapshots(steps: u64, count: usize) -> Vec<u64> {
    let mut found = match count {
        0 => return Vec::new(),
        1 => vec![0],
        _ => vec![0, steps],
    };
    let between = count.saturating_sub(1) as f64;
    found
        .extend((1..count.saturating_sub(1)).map(|k| (steps as f64).powf(k as f64 / between).round() as u64));
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_lie_in_equal_ratios() {
        assert_eq!(snapshots(1000, 4), [0, 10, 100, 1000]);
        assert_eq!(snapshots(3, 6), [0, 1, 2, 3]);
        assert_eq!(snapshots(7, 1), [0]);
        assert!(snapshots(7, 0).is_empty());
    }
}
