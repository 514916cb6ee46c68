//! An experiment that has been checked: every law of every layer can be drawn.

use super::cost::Cost;
use super::engine::{Choice, Engine, choose};
use super::input::{Input, Inputs};
use super::memory;
use super::rates::Rates;
use super::streamed;
use crate::activation::Activation;
use crate::data::Tokens;
use crate::expectation::field::WeightMoments;
use crate::frontend::stack;
use crate::graph::{Graph, GraphError, Laws, Origin, Override, assign};
use crate::initializer::Initializer;
use crate::law::Law;
use crate::law::call::CatalogError;
use crate::law::draw::Affine;
use crate::op::{Shape, Space};
use crate::result::{LeftOut, Recorded, StackSize, Trace};
use crate::spec::Experiment;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a layer's judgement and its lines in the result cost, in made entries (measured).
const JUDGED: f64 = 5000.0;
const WRITTEN: f64 = 5000.0;

/// A line of the result with its laws: of a plain stack, a linear layer with its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerPlan {
    /// Columns of W.
    pub fan_in: usize,
    /// Rows of W; units.
    pub fan_out: usize,
    /// Law of the weights.
    pub weights: Law,
    /// Law of the biases.
    pub bias: Law,
    /// W is scaled so that its output has unit variance on the batch.
    pub rescaled: bool,
}

impl LayerPlan {
    /// The laws as theory takes them; `None` where it has no say, as of a layer that is rescaled on the batch.
    pub fn moments(&self) -> Option<WeightMoments> {
        let weights = WeightMoments::of(self.fan_in, self.fan_out, &self.weights, &self.bias);
        weights.filter(|_| !self.rescaled)
    }
}

/// One initializer with one activation in one network.
#[derive(Clone, Debug)]
pub struct CellPlan {
    /// The initializer's name, as reports show it.
    pub init: String,
    /// Place among the plan's activations.
    pub act: usize,
    /// One for each entry of the graph.
    pub layers: Vec<LayerPlan>,
    /// What its trials run on.
    pub choice: Choice,
    /// Of a grid over several stacks: the size of this one.
    pub stack: Option<StackSize>,
    /// The network.
    pub graph: Arc<Graph>,
    /// Nothing but linear layers with the cell's activation behind each, which theory knows.
    pub is_stack: bool,
}

impl CellPlan {
    /// The initializer as tables and figures name it, see [`crate::result::Cell::label`].
    pub fn label(&self) -> String {
        match self.stack {
            None => self.init.clone(),
            Some(StackSize { depth, width }) => format!("{} {depth}×{width}", self.init),
        }
    }
}

/// A checked experiment.
#[derive(Debug)]
pub struct Plan {
    /// As it was asked for.
    pub experiment: Experiment,
    /// In the order of the experiment.
    pub acts: Vec<Arc<Activation>>,
    /// In the order of the grid: stacks, initializers within each, and activations within those.
    pub cells: Vec<CellPlan>,
    /// Combinations without a cell.
    pub left_out: Vec<LeftOut>,
    /// What the batches are made of.
    pub inputs: Inputs,
    /// A part of a run that draws its weights twice does so too, though it would have room for them.
    redraws: bool,
}

/// Why an experiment cannot be run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum PlanError {
    #[error("activation: {0}")]
    Activation(CatalogError),
    #[error("initializer: {0}")]
    Initializer(CatalogError),
    #[error("biases: {0}")]
    Bias(CatalogError),
    #[error("the law of biases `{0}` does not draw its entries independently")]
    DependentBias(String),
    #[error("{0}")]
    Override(CatalogError),
    #[error("{0}")]
    Net(GraphError),
    #[error("{0}")]
    Law(String),
    #[error("an experiment needs at least one layer, unit, row and trial")]
    Nothing,
    #[error("{widths} widths for {depth} layers: a width for the input and one for each layer are needed")]
    Widths { widths: usize, depth: usize },
    #[error("the data has {features} features a sample, but the first width is {width}")]
    Features { features: usize, width: usize },
    #[error("the data has {features} features a sample, but the network takes {shape}, which are {size}")]
    Entries { features: usize, shape: String, size: usize },
    #[error(
        "the network takes tokens: without an input it draws its own, and a file of tokens fits, not a law of numbers"
    )]
    Tokens,
    #[error("the input holds tokens, and the network takes {0}")]
    NoTokens(String),
    #[error("the input has token {token}, and the network knows {tokens}, numbered from 0")]
    Vocabulary { token: u32, tokens: usize },
    #[error("the input has {tokens} tokens, and a sample of the network is {length}")]
    Short { tokens: usize, length: usize },
    #[error("the input's samples have {row} tokens, and the network takes {length}")]
    Row { row: usize, length: usize },
    #[error("the network has no input `{name}`; there are {names}")]
    UnknownInput { name: String, names: String },
    #[error("the network has several inputs, {0}: say whose the file is, as in NAME=FILE")]
    WhichInput(String),
    #[error("input `{name}`: {fault}")]
    Input { name: String, fault: Box<PlanError> },
    #[error(
        "`{}` is given {} samples and `{}` {}: files of several inputs tell of the same samples, each in its place",
        names[0], counts[0], names[1], counts[1]
    )]
    Counts { names: [String; 2], counts: [usize; 2] },
    #[error("the data has {samples} samples, fewer than a batch of {batch}")]
    Samples { samples: usize, batch: usize },
}

impl Plan {
    /// Checks an experiment: `widths` holds `depth + 1` entries, the input's first.
    ///
    /// # Errors
    /// Names that are not in the catalogs, laws that cannot be drawn at some layer, data that does not fit.
    pub fn new(experiment: &Experiment, input: impl Into<Inputs>) -> Result<Self, PlanError> {
        Self::made(experiment, input.into(), false)
    }

    /// A part of this plan's experiment, fewer layers or samples of it, on the engines of the whole; it draws its own batches, and its
    /// weights twice where the whole does on so many threads.
    pub(super) fn part(&self, experiment: &Experiment, threads: usize) -> Result<Self, PlanError> {
        let streamed = self.cells.iter().any(|cell| cell.choice.engine == Engine::Streamed);
        let redraws = self.cells.iter().any(|cell| !self.keeps_weights(cell, threads));
        let part = Experiment { input: "normal".into(), inputs: BTreeMap::new(), ..experiment.clone() };
        Ok(Self { redraws, ..Self::made(&part, Input::Normal.into(), streamed)? })
    }

    /// The weights of a cell stay in memory between the passes, with so many trials side by side.
    pub(super) fn keeps_weights(&self, cell: &CellPlan, threads: usize) -> bool {
        !self.redraws && memory::keeps_weights(&cell.graph, self.experiment.batch, threads)
    }

    /// `large` stacks are streamed where that can be, whatever their size.
    fn made(experiment: &Experiment, inputs: Inputs, large: bool) -> Result<Self, PlanError> {
        let e = experiment;
        if e.batch == 0 || e.trials == 0 || e.act.is_empty() || e.init.is_empty() {
            return Err(PlanError::Nothing);
        }
        if e.net.is_none() {
            check_widths(e)?;
        }
        let parse = |text: &String| match e.net {
            Some(_) => Initializer::parse_for_net(text),
            None => Initializer::parse(text),
        };
        let acts =
            e.act.iter().map(|text| Activation::parse(text).map(Arc::new)).collect::<Result<Vec<_>, _>>();
        let acts = acts.map_err(PlanError::Activation)?;
        let inits = e.init.iter().map(parse).collect::<Result<Vec<_>, _>>();
        let inits = inits.map_err(PlanError::Initializer)?;
        let bias = e.bias.as_ref().map(parse).transpose().map_err(PlanError::Bias)?;
        if let Some(bias) = &bias
            && e.net.is_none()
        {
            independent(bias, &acts[0])?;
        }
        let overrides = Override::parse_all(&e.set).map_err(PlanError::Override)?;
        let mut plan = Self {
            experiment: e.clone(),
            acts,
            cells: Vec::new(),
            left_out: Vec::new(),
            inputs,
            redraws: false,
        };
        let mut first = None;
        for widths in e.stacks() {
            let graphs = plan.acts.iter().map(|act| match &e.net {
                Some(net) => crate::frontend::toml::graph(net, act),
                None => stack::graph(widths, act),
            });
            let graphs = graphs.collect::<Result<Vec<_>, _>>().map_err(PlanError::Net)?;
            for (init, text) in inits.iter().zip(&e.init) {
                for (index, graph) in graphs.iter().enumerate() {
                    let act = &plan.acts[index];
                    let laws = Laws { init, bias: bias.as_ref(), act, overrides: &overrides };
                    match cell(e, &laws, index, (graph, large)) {
                        Ok(cell) => plan.cells.push(CellPlan { stack: size(e, widths), ..cell }),
                        Err(fault) => {
                            let new = LeftOut::new(&init.name, &plan.acts[index].name, &fault.reason);
                            // The reason may name a size, but a combination fails for all stacks alike.
                            if !plan.left_out.iter().any(|old| (&old.init, &old.act) == (&new.init, &new.act))
                            {
                                plan.left_out.push(new);
                            }
                            first.get_or_insert((fault, text));
                        }
                    }
                }
            }
        }
        if plan.cells.is_empty() {
            return Err(first.map_or(PlanError::Nothing, |(fault, init)| match &e.net {
                None if fault.origin != Origin::Override => PlanError::Law(fault.reason),
                None => PlanError::Net(fault),
                Some(net) => PlanError::Net(fault.beside(net.init.as_ref(), init)),
            }));
        }
        // An only input may be called by its name as well.
        if let Some([sole]) = plan.cells.first().map(|cell| cell.graph.inputs.as_slice())
            && let Some(own) = plan.inputs.named.remove(sole)
        {
            plan.inputs.common = own;
        }
        plan.check_inputs()?;
        if e.net.is_some() {
            let depth = plan.cells.first().map_or(0, |c| c.layers.len());
            plan.experiment = Experiment { depth, widths: Vec::new(), ..e.clone() };
        }
        Ok(plan)
    }

    /// The inputs fit the network.
    fn check_inputs(&self) -> Result<(), PlanError> {
        let Some(cell) = self.cells.first() else { return Ok(()) };
        let (names, is_sole) = (&cell.graph.inputs, cell.graph.inputs.len() == 1);
        if let Some(name) = self.inputs.named.keys().find(|name| !names.contains(name)) {
            return Err(PlanError::UnknownInput { name: name.clone(), names: names.join(", ") });
        }
        if !is_sole && matches!(self.inputs.common, Input::Data(_) | Input::Tokens(_)) {
            return Err(PlanError::WhichInput(names.join(", ")));
        }
        if cell.graph.features() == 0 && self.inputs.common != Input::Normal && !is_sole {
            return Err(PlanError::Tokens);
        }
        let mut counted: Option<(&String, usize)> = None;
        for (name, shape) in names.iter().zip(cell.graph.inputs()) {
            let fault = |fault| match is_sole {
                true => fault,
                false => PlanError::Input { name: name.clone(), fault: Box::new(fault) },
            };
            let own = self.inputs.named.contains_key(name) || is_sole;
            let Some(samples) = self.check_input(self.inputs.of(name), shape, own).map_err(fault)? else {
                continue;
            };
            match counted {
                Some((first, count)) if count != samples => {
                    return Err(PlanError::Counts {
                        names: [first.clone(), name.clone()],
                        counts: [count, samples],
                    });
                }
                _ => counted = Some((name, samples)),
            }
        }
        Ok(())
    }

    /// What is given fits an input of this shape, which is `own` where it is meant for this input alone; samples of a file.
    fn check_input(&self, input: &Input, shape: Shape, own: bool) -> Result<Option<usize>, PlanError> {
        let e = &self.experiment;
        match input {
            Input::Tokens(tokens) => self.check_tokens(tokens, shape).map(Some),
            Input::Data(_) if shape.features() == 0 => Err(PlanError::Tokens),
            Input::Data(data) => {
                let (features, samples) = data.shape();
                if features != shape.features() {
                    return Err(match shape.space {
                        Space::Flat if e.net.is_none() => {
                            PlanError::Features { features, width: shape.channels }
                        }
                        _ => PlanError::Entries { features, shape: shape.to_string(), size: shape.size() },
                    });
                }
                if samples < e.batch {
                    return Err(PlanError::Samples { samples, batch: e.batch });
                }
                Ok(Some(samples))
            }
            law if shape.features() == 0 && own && *law != Input::Normal => Err(PlanError::Tokens),
            _ => Ok(None),
        }
    }

    /// Tokens fit an input of this shape; the samples that can be taken from them.
    fn check_tokens(&self, tokens: &Tokens, input: Shape) -> Result<usize, PlanError> {
        let Space::Tokens(length) = input.space else { return Err(PlanError::NoTokens(input.to_string())) };
        match (tokens.row, tokens.largest(), tokens.samples(length)) {
            (Some(row), ..) if row != length => Err(PlanError::Row { row, length }),
            (_, token, _) if token as usize >= input.channels => {
                Err(PlanError::Vocabulary { token, tokens: input.channels })
            }
            (None, ..) if tokens.numbers.len() < length => {
                Err(PlanError::Short { tokens: tokens.numbers.len(), length })
            }
            (.., samples) if samples < self.experiment.batch => {
                Err(PlanError::Samples { samples, batch: self.experiment.batch })
            }
            (.., samples) => Ok(samples),
        }
    }

    /// The activation of a cell of this plan.
    pub fn act(&self, cell: &CellPlan) -> &Activation {
        &self.acts[cell.act]
    }

    /// Predicted cost of the whole run and its result, in operations of a matrix product.
    pub fn cost(&self) -> f64 {
        (self.work(self.experiment.trials) + self.behind(1)).total()
    }

    /// Predicted work of so many trials of each cell.
    fn work(&self, trials: usize) -> Cost {
        let (trials, ranked) = (trials as f64, self.ranked_trials().min(trials) as f64);
        let spectra = |cell: &CellPlan| Cost {
            factors: cell.layers.len() as f64 * ranked * self.spectrum_cost(),
            ..Cost::default()
        };
        self.cells.iter().map(|cell| cell.choice.cost * trials + spectra(cell)).sum()
    }

    /// Predicted work behind the trials: layers are judged on so many cores, and written by one of them.
    fn behind(&self, cores: usize) -> Cost {
        let layers: usize = self.cells.iter().map(|cell| cell.layers.len()).sum();
        let cores = cores.clamp(1, self.cells.len().max(1)) as f64;
        Cost { entries: layers as f64 * (JUDGED / cores + WRITTEN), ..Cost::default() }
    }

    /// Predicted seconds behind the trials on so many cores at the rates of this machine, without the integrals of theory.
    pub fn seconds_behind(&self, cores: usize, rates: Rates) -> f64 {
        rates.seconds(self.behind(cores))
    }

    /// Predicted seconds of so many trials of each cell on so many cores at the rates of this machine.
    pub fn seconds(&self, trials: usize, cores: usize, rates: Rates) -> f64 {
        self.shared(self.work_with_draws(trials, cores), trials, cores, rates)
    }

    /// The same of as many trials behind these, which have fewer spectra.
    pub fn seconds_further(&self, trials: usize, cores: usize, rates: Rates) -> f64 {
        let [one, both] = [1, 2].map(|times| self.work_with_draws(times * trials, cores));
        self.shared(both + one * -1.0, trials, cores, rates)
    }

    /// Seconds of the work of so many trials of each cell.
    fn shared(&self, work: Cost, trials: usize, cores: usize, rates: Rates) -> f64 {
        let jobs = self.cells.len() * trials;
        // Trials side by side; what is left of the last round waits. Fewer than cores share products, but no factors.
        let rounds = jobs.div_ceil(cores.max(1)) as f64;
        let share = rounds / jobs.max(1) as f64;
        let shared = if jobs < cores { 1.0 / cores as f64 } else { share };
        let factors = Cost { factors: work.factors, ..Cost::default() };
        rates.seconds(Cost { factors: 0.0, ..work }) * shared + rates.seconds(factors) * share
    }

    /// Predicted work of so many trials of each cell, with what is drawn twice.
    fn work_with_draws(&self, trials: usize, cores: usize) -> Cost {
        // Weights that are not kept are drawn once more on the way back.
        let all = trials as f64;
        let again = |cell: &CellPlan| match self.keeps_weights(cell, cores) {
            true => Cost::default(),
            false => {
                let cost = cell.choice.cost;
                Cost { normals: cost.normals, others: cost.others, ..Cost::default() } * all
            }
        };
        self.work(trials) + self.cells.iter().map(again).sum()
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
            _ => 2 * cell.graph.steps(),
        }
    }

    /// Progress of one step: its predicted cost in millions of operations.
    pub fn units_a_step(&self, cell: &CellPlan) -> u64 {
        ((cell.choice.cost.total() / self.steps(cell) as f64 / 1e6) as u64).max(1)
    }

    /// Trials whose effective rank is computed: its eigenvalues cost O(B³), so fewer for larger batches.
    pub fn ranked_trials(&self) -> usize {
        ((20.0 * (64.0 / self.spectrum_side()).powi(3)) as usize).clamp(1, self.experiment.trials)
    }

    /// Operations of a spectrum; a matrix that leaves the cache is passed over at half the rate.
    fn spectrum_cost(&self) -> f64 {
        const CACHED: f64 = 1500.0;
        let side = self.spectrum_side();
        side.powi(3) * if side > CACHED { 2.0 } else { 1.0 }
    }

    /// Rows of the Gram matrix whose eigenvalues give the effective rank.
    fn spectrum_side(&self) -> f64 {
        let batch = self.experiment.batch;
        let widest = self.experiment.widths.iter().skip(1).max();
        widest.map_or(batch, |width| (*width).min(batch)).max(1) as f64
    }

    /// Bytes that the trials leave behind, and their result.
    pub fn left_bytes(&self) -> u128 {
        memory::left_bytes(self, self.experiment.trials)
    }

    /// Bytes of every trial's values, where they are kept in the result.
    pub fn trace_bytes(&self) -> u128 {
        let layers: u128 = self.cells.iter().map(|cell| cell.layers.len() as u128).sum();
        layers * self.experiment.trials as u128 * (Recorded::ALL.len() * size_of::<Trace>()) as u128
    }

    /// Most bytes of a run at once, with this many trials side by side.
    pub fn bytes(&self, threads: usize) -> u128 {
        memory::bytes(self, threads)
    }
}

fn check_widths(e: &Experiment) -> Result<(), PlanError> {
    if e.depth == 0 || e.stacks().any(|widths| widths.contains(&0)) {
        return Err(PlanError::Nothing);
    }
    if e.widths.len() != e.depth + 1 {
        return Err(PlanError::Widths { widths: e.widths.len(), depth: e.depth });
    }
    Ok(())
}

/// A law of biases draws each of them by itself.
fn independent(bias: &Initializer, act: &Activation) -> Result<(), PlanError> {
    let site = crate::initializer::Site::dense(1, 1, 1, 1, act);
    match bias.weights(&site).map(|law| (law, Affine::of(law))) {
        Ok((_, None)) => Err(PlanError::DependentBias(bias.name.clone())),
        _ => Ok(()),
    }
}

fn cell(
    e: &Experiment,
    laws: &Laws,
    index: usize,
    (graph, large): (&Graph, bool),
) -> Result<CellPlan, GraphError> {
    let mut graph = graph.clone();
    assign(&mut graph, laws)?;
    let is_stack = graph.is_stack(laws.act);
    let layers: Vec<LayerPlan> = graph.entries.iter().map(|entry| layer(&graph, entry)).collect();
    let stack = e.net.is_none().then_some((layers.as_slice(), large));
    let choice = choose(&mut graph, stack, e.batch, e.loss, e.engine);
    let (init, graph) = (laws.init.name.clone(), Arc::new(graph));
    Ok(CellPlan { init, act: index, layers, choice, stack: None, graph, is_stack })
}

/// The size of a stack where there are several.
fn size(e: &Experiment, widths: &[usize]) -> Option<StackSize> {
    let width = widths.last().copied().filter(|_| !e.more_widths.is_empty())?;
    Some(StackSize { depth: widths.len() - 1, width })
}

fn layer(graph: &Graph, entry: &crate::graph::Entry) -> LayerPlan {
    LayerPlan {
        fan_in: entry.fan_in,
        fan_out: entry.units,
        weights: entry.weights,
        bias: entry.bias,
        rescaled: entry.parameter.is_some_and(|place| graph.parameters[place].rescaled),
    }
}
