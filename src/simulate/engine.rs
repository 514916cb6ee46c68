//! How products with each weight matrix are drawn: exactness first, then the least predicted cost.

use super::cost::Cost;
use super::plan::LayerPlan;
use super::streamed::can_draw;
use crate::graph::{Graph, Node};
use crate::law::Law;
use crate::op::loss::Loss;
use crate::op::{Parameter, Role, Source};
use crate::spec::Engine as Wanted;
use crate::weights::{Method, is_exact};

/// How the trials of a cell are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Every weight is drawn.
    Dense,
    /// Products with the weights are drawn from their joint law; what a layer computed is stored.
    Implicit,
    /// Some matrices are drawn, others are not.
    Mixed,
    /// As implicit, unit by unit in blocks: nothing of the size of a layer is stored.
    Streamed,
}

/// How one matrix is drawn, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Every weight, or products alone.
    pub method: Method,
    /// Products have the law that was asked for, not its limit of large fan-in.
    pub exact: bool,
    /// In words.
    pub reason: String,
}

/// An engine, and why it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// What runs.
    pub engine: Engine,
    /// All products have the law that was asked for.
    pub exact: bool,
    /// In words.
    pub reason: String,
    /// Predicted cost of a trial.
    pub cost: Cost,
    /// How each parameter is drawn.
    pub drawings: Vec<Drawing>,
}

/// Of a made entry's time, that of one copied with its neighbors.
const COPY: f64 = 0.05;
/// What a node costs whatever its size, in made entries (measured).
const NODE: f64 = 2000.0;
/// Passes over entries take so much longer where layers leave the cache between one pass and the next, and where blocks are drawn
/// more than once.
const UNCACHED: f64 = 2.0;
const STREAMED: f64 = 1.5;
/// More entries a layer than this are streamed: they would leave the cache between one pass over them and the next.
const LARGE: f64 = (1 << 17) as f64;
/// Bytes that a trial's stored layers may take before they are streamed. Not a matter of threads or of free memory: the same
/// experiment takes the same engine everywhere.
const STORED: f64 = (1 << 28) as f64;

/// Chooses for a cell, and tells its parameters. `stack` are the layers of a plain stack, which may be streamed; it is `true` of a
/// part of a large one.
pub fn choose(
    graph: &mut Graph,
    stack: Option<(&[LayerPlan], bool)>,
    batch: usize,
    loss: Loss,
    wanted: Wanted,
) -> Choice {
    if let Some(choice) = stack.and_then(|stack| streamed(stack, batch, loss, wanted)) {
        return choice;
    }
    let columns = columns(graph, batch);
    let mut drawings = Vec::with_capacity(graph.parameters.len());
    let mut cost = Cost::default();
    for place in 0..graph.parameters.len() {
        let (drawing, own) = drawing(graph, place, &columns, wanted);
        cost += own;
        cost.products += weight_gradient(&graph.parameters[place], columns[place]);
        drawings.push(drawing);
    }
    for (parameter, drawing) in graph.parameters.iter_mut().zip(&drawings) {
        parameter.method = drawing.method;
    }
    let entries = |node: &Node| {
        let shapes = graph.shapes(node);
        shapes.output_size() as f64 + COPY * node.operator.copied(&shapes)
    };
    let entries: f64 = graph.nodes.iter().map(entries).sum();
    let widest = graph.widest() as f64 * batch as f64;
    let stored = if widest > LARGE { UNCACHED } else { 1.0 };
    let products: f64 = graph.parameters.iter().map(|p| products(p, &columns)).sum();
    cost.products += (graph.operations() * batch as f64 - products).max(0.0);
    cost.entries += stored * entries * batch as f64 + NODE * graph.nodes.len() as f64;
    let count = |method: Method| drawings.iter().filter(|d| d.method == method).count();
    let (implicit, all) = (count(Method::Implicit), drawings.len());
    let engine = match implicit {
        0 => Engine::Dense,
        n if n == all => Engine::Implicit,
        _ => Engine::Mixed,
    };
    let reason = match (engine, drawings.first()) {
        (Engine::Mixed, _) => {
            format!("products of {implicit} of {all} matrices are drawn; each layer says why")
        }
        (_, Some(first)) if drawings.iter().all(|d| d.reason == first.reason) => first.reason.clone(),
        _ => "each layer says why".into(),
    };
    let exact = drawings.iter().all(|d| d.exact);
    Choice { engine, exact, reason, cost, drawings }
}

/// The operations of `graph.operations` that are products with this parameter.
fn products(parameter: &Parameter, columns: &[f64]) -> f64 {
    let place = parameter.stream as usize - 1;
    if matches!(parameter.role, Role::Embedding | Role::Position) {
        return 0.0;
    }
    6.0 * parameter.shape.0 as f64 * parameter.shape.1 as f64 * columns[place]
}

/// Columns that each parameter's matrix is multiplied with in a forward pass.
fn columns(graph: &Graph, batch: usize) -> Vec<f64> {
    let mut columns = vec![0.0; graph.parameters.len()];
    for node in graph.nodes.iter() {
        let own = node.operator.columns(&graph.shapes(node)) as f64 * batch as f64;
        node.parameters.iter().for_each(|place| columns[*place] += own);
    }
    columns
}

/// How a parameter is drawn, and the predicted cost of its draws and products.
fn drawing(graph: &Graph, place: usize, all_columns: &[f64], wanted: Wanted) -> (Drawing, Cost) {
    let (parameter, columns) = (&graph.parameters[place], all_columns[place]);
    let (rows, drawn) = (parameter.rows() as f64, parameter.drawn_columns() as f64);
    let dense = |reason: &str, cost: Cost| {
        (Drawing { method: Method::Dense, exact: true, reason: reason.into() }, cost)
    };
    if let Source::Transposed(table) = parameter.source {
        // The table's own entry has the cost, for the choice is the table's.
        return (tied(&graph.parameters[table], columns, wanted).0, Cost::default());
    }
    if matches!(parameter.role, Role::Embedding | Role::Position) {
        let looked_up = Cost { normals: columns * rows, ..Cost::default() };
        let head = graph.parameters.iter().position(|p| p.source == Source::Transposed(place));
        return match head {
            None => dense("only the rows that occur are drawn", looked_up),
            Some(head) => {
                let (drawing, cost) = tied(parameter, all_columns[head], wanted);
                (drawing, cost + looked_up)
            }
        };
    }
    if parameter.kernel.is_some() {
        let taps = parameter.shape.1 as f64 / drawn.max(1.0);
        let mut cost = Cost::dense(parameter.law, drawn, rows, columns);
        cost.products += 4.0 * (taps - 1.0) * drawn * rows * columns;
        return dense("a convolution draws every weight", cost);
    }
    let costs = (
        Cost::dense(parameter.law, drawn, rows, columns),
        Cost::implicit(parameter.law, drawn, rows, columns),
    );
    weigh(parameter.law, costs, wanted, "")
}

/// The table that a linear layer shares, multiplied with so many columns: its rows that occur are drawn either way.
fn tied(table: &Parameter, columns: f64, wanted: Wanted) -> (Drawing, Cost) {
    let (features, rows) = (table.shape.0 as f64, table.shape.1 as f64);
    let costs =
        (Cost::dense(table.law, features, rows, columns), Cost::implicit(table.law, features, rows, columns));
    weigh(table.law, costs, wanted, ", beside its rows that occur")
}

/// ∂C/∂W, from Gram matrices of both sides where that is cheaper.
fn weight_gradient(parameter: &Parameter, columns: f64) -> f64 {
    if matches!(parameter.role, Role::Embedding | Role::Position) {
        return 0.0;
    }
    let (m, n) = (parameter.shape.0 as f64, parameter.shape.1 as f64);
    let product = 2.0 * m * n * columns;
    if parameter.kernel.is_some() { product } else { product.min(columns * columns * (m + n)) }
}

/// Dense or implicit, by what was asked for, exactness and cost.
fn weigh(law: Law, (dense, implicit): (Cost, Cost), wanted: Wanted, how: &str) -> (Drawing, Cost) {
    let exact = is_exact(law);
    let of = |method, exact, reason: String| Drawing { method, exact, reason };
    match wanted {
        Wanted::Dense => (of(Method::Dense, true, "asked for".into()), dense),
        _ if matches!(law, Law::Mirrored { .. }) => {
            (of(Method::Dense, true, "only drawn weights mirror each other".into()), dense)
        }
        Wanted::Implicit if exact => (of(Method::Implicit, true, format!("asked for{how}")), implicit),
        Wanted::Implicit => (of(Method::Implicit, false, format!("{ASYMPTOTIC}{how}")), implicit),
        Wanted::Auto if !exact => {
            (of(Method::Dense, true, "only drawn weights have this law exactly".into()), dense)
        }
        Wanted::Auto if implicit.total() < dense.total() => {
            let share = share(implicit.total() / dense.total());
            let reason = format!("exact for this law at {share} of the predicted cost of drawn weights{how}");
            (of(Method::Implicit, true, reason), implicit)
        }
        Wanted::Auto => {
            let reason = format!(
                "implicit sampling is predicted to cost {:.1} times as much",
                implicit.total() / dense.total().max(1.0)
            );
            (of(Method::Dense, true, reason), dense)
        }
    }
}

const ASYMPTOTIC: &str = "asked for; the law is neither Gaussian nor orthogonal, so products follow the Gaussian law of its mean and \
                          variance, with an error of order 1/fan-in";

/// A plain stack unit by unit: `None` where that is not possible, not needed, or dearer than drawn weights.
fn streamed(
    (layers, large): (&[LayerPlan], bool),
    batch: usize,
    loss: Loss,
    wanted: Wanted,
) -> Option<Choice> {
    let columns = batch as f64;
    let total = |cost: &dyn Fn(&LayerPlan) -> Cost| layers.iter().map(cost).sum::<Cost>();
    let widest = layers.iter().map(|l| l.fan_in.max(l.fan_out)).max().unwrap_or(0) as f64 * columns;
    let tape = 16.0 * layers.iter().map(|l| l.fan_out as f64 * columns).sum::<f64>();
    let possible = layers.iter().all(|l| can_draw(l, batch)) && loss != Loss::CrossEntropy;
    let exact = layers.iter().all(|layer| is_exact(layer.weights));
    // Stored layers are asked about no more directions than a layer has units, streamed ones about every sample.
    let asked = |rank: &dyn Fn(usize) -> f64| {
        layers
            .iter()
            .map(|l| l.fan_out as f64 * rank(l.fan_in) + l.fan_in as f64 * rank(l.fan_out))
            .sum::<f64>()
    };
    let few = asked(&|units| columns.min(units as f64)) <= 0.5 * asked(&|_| columns);
    let large = large || (widest > LARGE && !few) || tape > STORED;
    if !(possible && large) || wanted == Wanted::Dense || (wanted == Wanted::Auto && !exact) {
        return None;
    }
    // Both layers and their activations.
    let entries = |layer: &LayerPlan, passes: f64| {
        let entries = passes * (layer.fan_in + layer.fan_out) as f64 * columns;
        Cost { entries, ..Cost::default() }
    };
    let sizes = |l: &LayerPlan| (l.fan_in as f64, l.fan_out as f64);
    let stored = if widest > LARGE { UNCACHED } else { 1.0 };
    let dense = total(&|l| Cost::dense(l.weights, sizes(l).0, sizes(l).1, columns) + entries(l, stored));
    let cost = total(&|l| Cost::streamed(l.weights, sizes(l).0, sizes(l).1, columns) + entries(l, STREAMED));
    if wanted == Wanted::Auto && cost.total() >= dense.total() {
        return None;
    }
    let how = match widest > LARGE {
        true => ", unit by unit because whole layers would not fit the cache",
        false => ", unit by unit because so many layers would take much memory",
    };
    let reason = match wanted {
        Wanted::Auto => {
            format!(
                "exact for this law at {} of the predicted cost of drawn weights{how}",
                share(cost.total() / dense.total())
            )
        }
        _ if exact => format!("asked for{how}"),
        _ => format!("{ASYMPTOTIC}{how}"),
    };
    let drawings = layers
        .iter()
        .map(|layer| Drawing {
            method: Method::Implicit,
            exact: is_exact(layer.weights),
            reason: reason.clone(),
        })
        .collect();
    Some(Choice { engine: Engine::Streamed, exact, reason, cost, drawings })
}

fn share(part: f64) -> String {
    if part > 0.01 { format!("{:.0} %", 100.0 * part) } else { format!("1/{:.0}", 1.0 / part) }
}

/// Operations of a matrix product in the time of drawing every weight once.
pub fn draws(graph: &Graph) -> f64 {
    let one = |p: &Parameter| Cost::drawing(p.law, p.drawn_columns() as f64, p.rows() as f64);
    graph.own_parameters().map(one).sum::<Cost>().total()
}
