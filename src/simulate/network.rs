//! Experiments on a network of an architecture file: their plan, memory and trials.

use super::engine::{Choice, Engine};
use super::input::Input;
use super::plan::{CellPlan, LayerPlan, Plan, PlanError};
use crate::activation::Activation;
use crate::frontend::toml::Architecture;
use crate::frontend::toml::Builder;
use crate::graph::{Net, trial};
use crate::initializer::Initializer;
use crate::numeric::product::Threads;
use crate::numeric::stream::Key;
use crate::op::Pass;
use crate::op::record::LayerRecord;
use crate::spec::{Engine as Wanted, Experiment};
use std::sync::Arc;

/// Checks an experiment on a network.
pub fn plan(e: &Experiment, architecture: &Architecture, input: Input) -> Result<Plan, PlanError> {
    if e.batch == 0 || e.trials == 0 || e.act.is_empty() || e.init.is_empty() {
        return Err(PlanError::Nothing);
    }
    if e.engine == Wanted::Lazy {
        return Err(PlanError::LazyNet);
    }
    let parse = |text: &String| Activation::parse(text).map_err(PlanError::Activation);
    let acts = e.act.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let shared = e.act.iter().map(|text| parse(text).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let inits = e.init.iter().map(|text| Initializer::parse_for_net(text)).collect::<Result<Vec<_>, _>>();
    let inits = inits.map_err(PlanError::Initializer)?;
    let bias = e.bias.as_deref().map(Initializer::parse_for_net).transpose().map_err(PlanError::Bias)?;
    let mut cells = Vec::new();
    for init in &inits {
        for (index, act) in shared.iter().enumerate() {
            let builder = Builder { architecture, init, bias: bias.as_ref(), act };
            let net = builder.build().map_err(PlanError::Net)?;
            cells.push(cell(init, index, Arc::new(net), e.batch));
        }
    }
    let net = cells.first().and_then(|c| c.net.as_ref());
    if net.is_some_and(|net| net.features() == 0) && input != Input::Normal {
        return Err(PlanError::Tokens);
    }
    if let (Input::Data(samples), Some(net)) = (&input, net) {
        let (features, count) = samples.shape();
        if features != net.features() {
            return Err(PlanError::Entries { features, shape: net.input.to_string(), size: net.features() });
        }
        if count < e.batch {
            return Err(PlanError::Samples { samples: count, batch: e.batch });
        }
    }
    let depth = cells.first().map_or(0, |c| c.layers.len());
    let experiment = Experiment { depth, widths: Vec::new(), ..e.clone() };
    Ok(Plan { experiment, acts, cells, input })
}

fn cell(init: &Initializer, act: usize, net: Arc<Net>, batch: usize) -> CellPlan {
    let layer = |e: &crate::graph::Entry| LayerPlan {
        fan_in: e.fan_in,
        fan_out: e.units,
        weights: e.weights,
        bias: e.bias,
    };
    let reason = "the layers of an architecture file draw every weight".into();
    let cost = net.cost * batch as f64 + net.draws;
    let choice = Choice { engine: Engine::Dense, exact: true, reason, cost };
    CellPlan {
        init: init.name.clone(),
        act,
        layers: net.entries.iter().map(layer).collect(),
        choice,
        net: Some(net),
    }
}

/// Tapes of a trial may take so much before its way forward is computed twice instead. Not a matter of threads or of free
/// memory: the same experiment computes the same everywhere.
const TAPES: u128 = 1 << 30;

/// The way forward is computed twice, and only the square root of the tapes is kept.
fn checkpoints(net: &Net, batch: usize) -> bool {
    net.tape * batch as u128 > TAPES && net.nodes.len() >= 64
}

/// Weights of a trial that stay in memory between the passes: all, or none where they would outweigh the rest and a fair share
/// of a fixed allowance.
fn keeps_weights(net: &Net, batch: usize, threads: usize) -> bool {
    const ALLOWANCE: u128 = 1 << 30;
    let tape = net.tape * batch as u128;
    !checkpoints(net, batch) && net.weights.0 <= (ALLOWANCE / threads.max(1) as u128).max(tape)
}

/// Bytes of a trial's matrices.
pub fn bytes(net: &Net, batch: usize, threads: usize) -> u128 {
    let samples = batch as u128;
    let mut tape = net.tape * samples;
    if checkpoints(net, batch) {
        let parts = (net.nodes.len() as f64).sqrt() as u128;
        tape = 2 * tape / parts + parts * 4 * net.widest as u128 * samples;
    }
    let (all, largest) = net.weights;
    let weights = if keeps_weights(net, batch, threads) { all } else { 0 }.max(3 * largest);
    let working = 6 * 4 * net.widest as u128 * samples;
    // The block of a convolution's gathered input.
    tape + weights + working + (16 << 20)
}

/// The records of one trial in single precision; `None` when the run was stopped.
pub fn one(
    plan: &Plan,
    net: &Net,
    key: Key,
    (inner, threads): (Threads, usize),
    effective_rank: bool,
    step: &dyn Fn() -> bool,
) -> Option<Vec<LayerRecord>> {
    let e = &plan.experiment;
    let input = plan.input.draw::<f32>(net.features(), e.batch, key);
    let mut pass = Pass::new(key, e.batch, inner, net.entries.len());
    pass.keep_weights = keeps_weights(net, e.batch, threads);
    pass.effective_rank = effective_rank;
    let passed = trial(net, input, e.loss, pass, checkpoints(net, e.batch), step);
    passed.ok().map(|passed| passed.records)
}
