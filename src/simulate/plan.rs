//! An experiment that has been checked: every law of every layer can be drawn.

use super::engine::{Choice, Engine, RATE, choose};
use super::input::Input;
use super::streamed;
use crate::activation::Activation;
use crate::frontend::toml::NetError;
use crate::graph::Net;
use crate::initializer::{Initializer, Site};
use crate::law::Law;
use crate::law::call::CatalogError;
use crate::law::draw::Affine;
use crate::op::record::LayerRecord;
use crate::spec::Experiment;
use std::collections::HashMap;
use std::sync::Arc;

/// One linear + activation layer of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerPlan {
    /// Columns of W.
    pub fan_in: usize,
    /// Rows of W; units.
    pub fan_out: usize,
    /// Of W.
    pub weights: Law,
    /// Of b.
    pub bias: Law,
}

/// One initialiser with one activation.
#[derive(Clone, Debug)]
pub struct CellPlan {
    /// The initialiser's name, as reports show it.
    pub init: String,
    /// Place among the plan's activations.
    pub act: usize,
    /// First to last.
    pub layers: Vec<LayerPlan>,
    /// What its trials run on.
    pub choice: Choice,
    /// The network, where it is no plain stack; `layers` are then its entries.
    pub net: Option<Arc<Net>>,
}

impl CellPlan {
    /// Linear layers with this activation behind each, which theory knows: a plain stack, or a network that is one.
    pub fn is_stack(&self, act: &Activation) -> bool {
        self.net.as_ref().is_none_or(|net| net.is_stack(act))
    }
}

/// A checked experiment.
#[derive(Debug)]
pub struct Plan {
    /// As it was asked for.
    pub experiment: Experiment,
    /// In the order of the experiment.
    pub acts: Vec<Activation>,
    /// In the order of the grid: initialisers, and activations within each.
    pub cells: Vec<CellPlan>,
    /// What the batches are made of.
    pub input: Input,
}

/// Why an experiment cannot be run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PlanError {
    #[error("activation: {0}")]
    Activation(CatalogError),
    #[error("initialiser: {0}")]
    Initializer(CatalogError),
    #[error("biases: {0}")]
    Bias(CatalogError),
    #[error("the law of biases `{0}` does not draw its entries independently")]
    DependentBias(String),
    #[error("{0}")]
    Net(NetError),
    #[error(
        "a network of an architecture file runs on the dense engine only: lazy products are for plain stacks"
    )]
    LazyNet,
    #[error("an experiment needs at least one layer, unit, row and trial")]
    Nothing,
    #[error("{widths} widths for {depth} layers: a width for the input and one for each layer are needed")]
    Widths { widths: usize, depth: usize },
    #[error("the data has {features} features a sample, but the first width is {width}")]
    Features { features: usize, width: usize },
    #[error("the data has {features} features a sample, but the network takes {shape}, which are {size}")]
    Entries { features: usize, shape: String, size: usize },
    #[error("the network draws its own tokens, so the input is `normal`, its default, and nothing else")]
    Tokens,
    #[error("the data has {samples} samples, fewer than a batch of {batch}")]
    Samples { samples: usize, batch: usize },
}

impl Plan {
    /// Checks an experiment: `widths` holds `depth + 1` entries, the input's first.
    ///
    /// # Errors
    /// Names that are not in the catalogues, laws that cannot be drawn at some layer, data that does not fit.
    pub fn new(experiment: &Experiment, input: Input) -> Result<Self, PlanError> {
        let e = experiment;
        if let Some(architecture) = &e.net {
            return super::network::plan(experiment, architecture, input);
        }
        if e.depth == 0
            || e.batch == 0
            || e.trials == 0
            || e.act.is_empty()
            || e.init.is_empty()
            || e.widths.contains(&0)
        {
            return Err(PlanError::Nothing);
        }
        if e.widths.len() != e.depth + 1 {
            return Err(PlanError::Widths { widths: e.widths.len(), depth: e.depth });
        }
        if let Input::Data(samples) = &input {
            let (features, count) = samples.shape();
            if features != e.widths[0] {
                return Err(PlanError::Features { features, width: e.widths[0] });
            }
            if count < e.batch {
                return Err(PlanError::Samples { samples: count, batch: e.batch });
            }
        }
        let acts = e.act.iter().map(|text| Activation::parse(text)).collect::<Result<Vec<_>, _>>();
        let acts = acts.map_err(PlanError::Activation)?;
        let inits = e.init.iter().map(|text| Initializer::parse(text)).collect::<Result<Vec<_>, _>>();
        let inits = inits.map_err(PlanError::Initializer)?;
        let bias = e.bias.as_deref().map(Initializer::parse).transpose().map_err(PlanError::Bias)?;
        let mut cells = Vec::new();
        for init in &inits {
            for (act, activation) in acts.iter().enumerate() {
                let layers = layers(&e.widths, init, bias.as_ref(), activation)?;
                let choice = choose(&layers, e.batch, e.loss, e.engine);
                cells.push(CellPlan { init: init.name.clone(), act, layers, choice, net: None });
            }
        }
        Ok(Self { experiment: experiment.clone(), acts, cells, input })
    }

    /// The activation of a cell of this plan.
    pub fn act(&self, cell: &CellPlan) -> &Activation {
        &self.acts[cell.act]
    }

    /// Predicted cost of the whole run, in operations of a matrix product.
    pub fn cost(&self) -> f64 {
        self.cells.iter().map(|c| c.choice.cost).sum::<f64>() * self.experiment.trials as f64
    }

    /// Predicted seconds of the whole run.
    pub fn seconds(&self, threads: usize) -> f64 {
        self.cost() / (RATE * threads.max(1) as f64)
    }

    /// Units of progress in a whole run.
    pub fn units(&self) -> u64 {
        let one = |cell: &CellPlan| self.steps(cell) * self.units_a_step(cell);
        self.cells.iter().map(one).sum::<u64>() * self.experiment.trials as u64
    }

    /// Parts of a trial after which progress is reported.
    fn steps(&self, cell: &CellPlan) -> u64 {
        match cell.choice.engine {
            Engine::Streamed => streamed::steps(&cell.layers, self.experiment.batch),
            _ if cell.net.is_some() => 2 * cell.net.as_ref().map_or(0, |net| net.steps()),
            _ => 2 * cell.layers.len() as u64,
        }
    }

    /// Progress of one step: its predicted cost in millions of operations.
    pub fn units_a_step(&self, cell: &CellPlan) -> u64 {
        ((cell.choice.cost / self.steps(cell) as f64 / 1e6) as u64).max(1)
    }

    /// Trials whose effective rank is computed: its eigenvalues cost O(B³), so fewer for larger batches.
    pub fn ranked_trials(&self) -> usize {
        if self.experiment.net.is_some() {
            return ((20.0 * (64.0 / self.experiment.batch as f64).powi(3)) as usize)
                .clamp(1, self.experiment.trials);
        }
        let smaller =
            self.experiment.widths.iter().skip(1).max().map_or(1, |w| (*w).min(self.experiment.batch));
        ((20.0 * (64.0 / smaller as f64).powi(3)) as usize).clamp(1, self.experiment.trials)
    }
}

fn layers(
    widths: &[usize],
    init: &Initializer,
    bias: Option<&Initializer>,
    act: &Activation,
) -> Result<Vec<LayerPlan>, PlanError> {
    let depth = widths.len() - 1;
    // A law that does not look at the layer's number is the same for all layers of one shape.
    let fixed = !init.depends_on_layer() && bias.is_none_or(|b| !b.depends_on_layer());
    let mut known: HashMap<(usize, usize), LayerPlan> = HashMap::new();
    let mut layers = Vec::with_capacity(depth);
    for (index, pair) in widths.windows(2).enumerate() {
        let (fan_in, fan_out) = (pair[0], pair[1]);
        if fixed && let Some(layer) = known.get(&(fan_in, fan_out)) {
            layers.push(*layer);
            continue;
        }
        let site = Site::dense(fan_in, fan_out, index + 1, depth, act);
        let bias = match bias {
            None => init.bias(&site).map_err(PlanError::Initializer)?,
            Some(bias) => {
                let law = bias.weights(&site).map_err(PlanError::Bias)?;
                if Affine::of(law).is_none() {
                    return Err(PlanError::DependentBias(bias.name.clone()));
                }
                law
            }
        };
        let layer = LayerPlan {
            fan_in,
            fan_out,
            weights: init.weights(&site).map_err(PlanError::Initializer)?,
            bias,
        };
        known.insert((fan_in, fan_out), layer);
        layers.push(layer);
    }
    Ok(layers)
}

impl Plan {
    /// Most bytes of a run at once, with this many trials side by side: what a trial in work holds, times the threads, and
    /// the numbers that every trial leaves behind, which quantiles are taken of.
    pub fn bytes(&self, threads: usize) -> u128 {
        let e = &self.experiment;
        let trials = e.trials as u128 * self.cells.len() as u128;
        let side_by_side = (threads as u128).min(trials);
        let in_work = self.cells.iter().map(|cell| self.trial_bytes(cell, threads)).max().unwrap_or(0);
        let data = match &self.input {
            Input::Data(samples) => samples.len() as u128 * 4,
            _ => 0,
        };
        /// What a layer takes in the plan, in the result and as text, beside the numbers of each trial.
        const RESULT: u128 = 24 << 10;
        let record = size_of::<LayerRecord>() as u128;
        let left = e.depth as u128 * (trials * record + self.cells.len() as u128 * RESULT);
        data + side_by_side * in_work + left + trials * 64
    }

    /// Bytes of a trial's matrices.
    fn trial_bytes(&self, cell: &CellPlan, threads: usize) -> u128 {
        let e = &self.experiment;
        if let Some(net) = &cell.net {
            return super::network::bytes(net, e.batch, threads);
        }
        let batch = e.batch as u128;
        let widest = e.widths.iter().copied().max().unwrap_or(0) as u128;
        if cell.choice.engine == Engine::Streamed {
            // Gram matrices and factors of each layer; a wave of partial sums; blocks.
            let small = e.depth as u128 * 8 * 5 * batch * batch;
            return small + 64 * 8 * 4 * batch * batch + (16 << 20);
        }
        let tape: u128 = e.widths.windows(2).map(|w| tape_bytes(w[0], w[1], e.batch)).sum();
        let working = 8 * 4 * widest * batch;
        if cell.choice.engine == Engine::Lazy {
            // A layer's input and draws, for the operator, beside its tape.
            let drawn: u128 = e.widths.windows(2).map(|w| 8 * (w[0] + w[1]) as u128 * batch).sum();
            return tape + drawn + working;
        }
        let largest = cell.layers.iter().map(weight_bytes).max().unwrap_or(0);
        let orthogonal = cell.layers.iter().any(|l| l.weights.is_orthogonal());
        let weights = self.kept_weights(cell, threads).max(if orthogonal { 3 * largest } else { largest });
        tape + weights + working
    }

    /// Bytes of weights that a trial keeps for the backward pass: all of them, or none where they would need more than
    /// the rest of the trial and a fair share of a fixed allowance; then they are drawn again.
    fn kept_weights(&self, cell: &CellPlan, threads: usize) -> u128 {
        let e = &self.experiment;
        let all: u128 = cell.layers.iter().map(weight_bytes).sum();
        let tape: u128 = e.widths.windows(2).map(|w| tape_bytes(w[0], w[1], e.batch)).sum();
        const ALLOWANCE: u128 = 256 << 20;
        if all <= (ALLOWANCE / threads.max(1) as u128).max(tape) { all } else { 0 }
    }

    /// Whether draws stay in memory between the passes; those of the lazy engine are no larger than its signals.
    pub fn keeps_weights(&self, cell: &CellPlan, threads: usize) -> bool {
        cell.choice.engine != Engine::Dense || self.kept_weights(cell, threads) > 0
    }
}

/// Drawn entries of a layer; equal weights and a diagonal need none.
fn weight_bytes(layer: &LayerPlan) -> u128 {
    if layer.weights.is_fixed() { 0 } else { layer.fan_in as u128 * layer.fan_out as u128 * 4 }
}

/// Slopes, and the trace of the layer's input.
fn tape_bytes(fan_in: usize, fan_out: usize, batch: usize) -> u128 {
    let (n, m, b) = (fan_in as u128, fan_out as u128, batch as u128);
    let trace = if crate::op::record::InputTrace::<f32>::keeps_gram(fan_in, fan_out, batch) {
        8 * b * b
    } else {
        4 * n * b
    };
    4 * m * b + trace
}
