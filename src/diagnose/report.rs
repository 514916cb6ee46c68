//! From the records of a run to its report.

use super::verdict::judge;
use crate::graph::{Entry, Graph, RecordedNorm};
use crate::measure::spread::add_spread;
use crate::measure::summary::{median, summary};
use crate::op::record::{Floors, LayerRecord};
use crate::op::{self, Parameter};
use crate::result::{
    Cell, Drawing, EngineUsed, Exactness, InitialLoss, Layer, Report, Rounding, SCHEMA, WeightSize, role,
};
use crate::simulate::{
    CellPlan, Control, Engine, Expectation, InputStatistics, Plan, Recorded, RecordedCell, RunError,
    expectation, record,
};
use crate::weights::Method;
use rayon::prelude::*;

/// Runs all trials of all cells, and judges them.
///
/// # Errors
/// When the threads cannot be started.
pub fn run(plan: &Plan, control: &Control) -> Result<Report, RunError> {
    report(plan, &record(plan, control)?, &Control { progress: &|_| (), ..*control })
}

/// Judges what a run has recorded, with what theory expects beside it; the progress of `control` counts cells.
///
/// # Errors
/// When the threads cannot be started.
pub fn report(plan: &Plan, recorded: &Recorded, control: &Control) -> Result<Report, RunError> {
    compiled(plan, recorded, control, &|cell, entrance| expectation(plan, cell, entrance))
}

/// Runs all trials of all cells, and judges them without theory beside the measurements: by the threshold alone.
pub(crate) fn run_alone(plan: &Plan, control: &Control) -> Result<Report, RunError> {
    let recorded = record(plan, control)?;
    compiled(plan, &recorded, &Control { progress: &|_| (), ..*control }, &|_, _| None)
}

/// What theory expects of a cell, where it has a say.
type Expecting<'a> = &'a (dyn Fn(&CellPlan, &InputStatistics) -> Option<Expectation> + Sync);

fn compiled(
    plan: &Plan,
    recorded: &Recorded,
    control: &Control,
    expecting: Expecting,
) -> Result<Report, RunError> {
    let entrance = plan.inputs.common.entrance();
    let one = |(cell, records): (&CellPlan, &RecordedCell)| {
        let complete: Vec<&Vec<LayerRecord>> = records.trials.iter().collect();
        let found = (!complete.is_empty()).then(|| {
            let expected = expecting(cell, &entrance);
            let norms = norms(cell, records, control.trace);
            let initial_loss = initial_loss(cell, &records.losses);
            let found =
                assemble(plan, cell, (&complete, records.double), (&entrance, expected), control.trace);
            let said = initial_loss.map(|loss| loss.words());
            let words = found.words.into_iter().chain(said).collect();
            Cell { norms, initial_loss, words, ..found }
        });
        (control.progress)(1);
        found
    };
    // Theory of some activations takes seconds.
    let cells = match plan.cells.len() {
        1 => plan.cells.iter().zip(&recorded.cells).filter_map(one).collect(),
        _ => control
            .pool()?
            .install(|| plan.cells.par_iter().with_max_len(1).zip(&recorded.cells).filter_map(one).collect()),
    };
    Ok(Report {
        schema: SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        spec: plan.experiment.clone(),
        parameters: parameters(plan),
        cells,
        interrupted: recorded.interrupted,
        left_out: plan.left_out.clone(),
        baseline: None,
    })
}

/// The loss before the first step beside that of a guess.
fn initial_loss(cell: &CellPlan, losses: &[f64]) -> Option<InitialLoss> {
    let value = median(losses.iter().map(|loss| Some(*loss)))?;
    Some(InitialLoss { value, uniform: (cell.graph.output().channels as f64).ln() })
}

/// How many parameters the network has, where there is one.
fn parameters(plan: &Plan) -> Option<u64> {
    plan.experiment.net.as_ref()?;
    u64::try_from(plan.cells.first()?.graph.parameter_count()).ok()
}

/// What a layer's numbers were computed in, from its records over trials.
fn rounding(records: &[&LayerRecord], double: bool) -> Rounding {
    let below = |r: &LayerRecord| r.below != Floors::default();
    match double {
        false => Rounding::Single,
        true if 2 * records.iter().filter(|r| below(r)).count() > records.len() => Rounding::Below,
        true => Rounding::Double,
    }
}

/// How the weights that are recorded at an entry were drawn.
fn drawing(cell: &CellPlan, entry: usize) -> Option<Drawing> {
    let entries = &cell.graph.entries;
    // The later steps of a recurrent layer have the parameters of its first.
    let first =
        (0..=entry).rev().find(|index| entries[*index].parameter.is_some() || !entries[*index].weighted)?;
    let drawing = cell.choice.drawings.get(entries[first].parameter?)?;
    Some(Drawing {
        engine: match drawing.method {
            Method::Dense => EngineUsed::Dense,
            Method::Implicit => EngineUsed::Implicit,
        },
        law: if drawing.exact { Exactness::Exact } else { Exactness::Asymptotic },
        reason: drawing.reason.clone(),
    })
}

/// What the parameter is for that is recorded at each entry; the later steps of a recurrent layer have the parameters of its first.
fn purposes(graph: &Graph) -> Vec<Option<op::Role>> {
    let mut before = None;
    let of = |entry: &Entry| {
        if entry.parameter.is_some() || !entry.weighted {
            before = entry.parameter.and_then(|place| graph.parameters.get(place)).map(|p| p.role);
        }
        before
    };
    graph.entries.iter().map(of).collect()
}

/// A layer of this kind and these fans with what every record has; no more is known of it.
fn recorded(
    kind: &str,
    (fan_in, fan_out): (usize, usize),
    (records, double): (&[&LayerRecord], bool),
    trace: bool,
) -> Layer {
    Layer {
        layer: 1,
        path: None,
        kind: kind.into(),
        role: None,
        fan_in,
        fan_out,
        units: None,
        preactivation: summary(records, |r| r.preactivation, |r| r.below.preactivation, trace),
        activation: summary(records, |r| r.activation, |r| r.below.activation, trace),
        gradient: summary(records, |r| r.gradient, |r| r.below.gradient, trace),
        weight_gradient: summary(records, |r| r.weight_gradient, |r| r.below.weight_gradient, trace),
        weight: None,
        relative_gradient: None,
        branch: false,
        dead_fraction: 0.0,
        saturated_fraction: None,
        correlation: None,
        effective_rank: None,
        unit_symmetry: None,
        position_correlation: None,
        rounding: rounding(records, double),
        drawing: None,
        theory: None,
    }
}

/// The size of a parameter's weights, and how many entries its gradient has; `None` of what is another's, or has no scale before a batch.
fn size(parameter: &Parameter) -> Option<(WeightSize, f64)> {
    let (rows, drawn) = (parameter.rows(), parameter.drawn_columns());
    let moments = parameter.law.moments(drawn, rows);
    let square = moments.variance + moments.mean * moments.mean;
    let entries = rows as f64 * parameter.shape.1 as f64;
    let share = drawn as f64 / parameter.shape.1.max(1) as f64;
    let size = WeightSize {
        n_var: parameter.fans.0 as f64 * moments.variance * share,
        norm: (square * entries * share).sqrt(),
    };
    let known = parameter.is_own() && !parameter.rescaled && size.n_var.is_finite() && size.norm.is_finite();
    known.then_some((size, entries))
}

/// The norms of a cell, as layers of their own that nobody judges.
fn norms(cell: &CellPlan, recorded: &RecordedCell, trace: bool) -> Vec<Layer> {
    let one = |(index, norm): (usize, &RecordedNorm)| {
        let records: Vec<&LayerRecord> = recorded.norms.iter().map(|trial| &trial[index]).collect();
        Layer {
            layer: norm.behind.max(1),
            path: Some(norm.path.clone()),
            role: Some(role::NORM.into()),
            branch: !norm.trunk,
            ..self::recorded(norm.kind, (norm.channels, norm.channels), (&records, recorded.double), trace)
        }
    };
    cell.graph.recorded_norms.iter().enumerate().map(one).collect()
}

fn assemble(
    plan: &Plan,
    cell: &CellPlan,
    (trials, double): (&[&Vec<LayerRecord>], bool),
    (entrance, expected): (&InputStatistics, Option<Expectation>),
    trace: bool,
) -> Cell {
    let mut layers: Vec<Layer> = cell
        .layers
        .iter()
        .enumerate()
        .map(|(index, layer)| {
            let records: Vec<&LayerRecord> = trials.iter().map(|t| &t[index]).collect();
            let entry = &cell.graph.entries[index];
            let middle =
                |quantity: fn(&LayerRecord) -> Option<f64>| median(records.iter().map(|r| quantity(r)));
            Layer {
                layer: index + 1,
                path: (!entry.path.is_empty()).then(|| entry.path.clone()),
                units: (entry.units != entry.fan_out).then_some(entry.units),
                branch: !entry.trunk,
                dead_fraction: middle(|r| Some(r.dead_fraction)).unwrap_or(0.0),
                saturated_fraction: middle(|r| r.saturated_fraction),
                correlation: middle(|r| r.correlation),
                effective_rank: middle(|r| r.effective_rank),
                unit_symmetry: middle(|r| Some(r.unit_symmetry)),
                position_correlation: middle(|r| r.position_correlation),
                drawing: drawing(cell, index),
                ..recorded(entry.kind, (layer.fan_in, entry.fan_out), (&records, double), trace)
            }
        })
        .collect();
    for (layer, entry) in layers.iter_mut().zip(&cell.graph.entries) {
        let Some((size, entries)) = entry.parameter.and_then(|place| size(&cell.graph.parameters[place]))
        else {
            continue;
        };
        layer.weight = Some(size);
        layer.relative_gradient = size.relative(&layer.weight_gradient.log10_second_moment, entries);
    }
    role::assign(&mut layers, &purposes(&cell.graph));
    add_spread(&mut layers, trials);
    if let Some(expected) = &expected {
        let theory = expected.theory(&layers);
        layers.iter_mut().zip(theory).for_each(|(layer, theory)| layer.theory = Some(theory));
    }
    let judgment = judge(plan, cell, trials, &layers, entrance.moments, expected.as_ref());
    Cell {
        init: cell.init.clone(),
        act: plan.act(cell).name.clone(),
        stack: cell.stack,
        engine: match cell.choice.engine {
            Engine::Dense => EngineUsed::Dense,
            Engine::Implicit | Engine::Streamed => EngineUsed::Implicit,
            Engine::Mixed => EngineUsed::Mixed,
        },
        engine_reason: cell.choice.reason.clone(),
        law: if cell.choice.exact { Exactness::Exact } else { Exactness::Asymptotic },
        trials: trials.len(),
        layers,
        norms: Vec::new(),
        forward: judgment.forward,
        backward: judgment.backward,
        initial_loss: None,
        flags: judgment.flags,
        formats: judgment.formats,
        words: judgment.words,
        jacobian: None,
        baseline: None,
    }
}
