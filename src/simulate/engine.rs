//! How products with each weight matrix are drawn: exactness first, then the least predicted cost.

use super::plan::LayerPlan;
use super::streamed::can_draw;
use crate::graph::Graph;
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
    /// Predicted cost of a trial, in operations of a matrix product.
    pub cost: f64,
    /// How each parameter is drawn.
    pub drawings: Vec<Drawing>,
}

/// Operations of a matrix product in the time of one draw, as measured: a normal from the lanes, any other entry.
const NORMAL: f64 = 60.0;
const OTHER: f64 = 300.0;
/// Thin products and small factors run at a part of the rate of large ones.
const THIN: f64 = 1.6;
/// Operations in the time of everything that is done to an entry beside products and draws.
const ENTRY: f64 = 150.0;
/// The same where layers leave the cache between one pass over them and the next, and where blocks are drawn more than once.
const UNCACHED: f64 = 2.0;
const STREAMED: f64 = 1.5;
/// Operations of a predicted cost that a thread does in a second: within a factor of two on processors with AVX2.
pub const RATE: f64 = 5.5e10;
/// More entries a layer than this are streamed: they would leave the cache between one pass over them and the next.
const LARGE: f64 = (1 << 17) as f64;
/// Bytes that a trial's stored layers may take before they are streamed. Not a matter of threads or of free memory: the same
/// experiment takes the same engine everywhere.
const STORED: f64 = (1 << 28) as f64;

/// Chooses for a cell, and tells its parameters. `stack` are the layers of a plain stack, which may be streamed.
pub fn choose(
    graph: &mut Graph,
    stack: Option<&[LayerPlan]>,
    batch: usize,
    loss: Loss,
    wanted: Wanted,
) -> Choice {
    if let Some(choice) = stack.and_then(|layers| streamed(layers, batch, loss, wanted)) {
        return choice;
    }
    let columns = columns(graph, batch);
    let mut drawings = Vec::with_capacity(graph.parameters.len());
    let mut drawn = 0.0;
    for place in 0..graph.parameters.len() {
        let (drawing, cost) = drawing(graph, place, &columns, wanted);
        drawn += cost + weight_gradient_cost(&graph.parameters[place], columns[place]);
        drawings.push(drawing);
    }
    for (parameter, drawing) in graph.parameters.iter_mut().zip(&drawings) {
        parameter.method = drawing.method;
    }
    let entries: f64 =
        graph.nodes.iter().map(|node| graph.shapes(node).output_size() as f64 * batch as f64 * ENTRY).sum();
    let widest = graph.widest() as f64 * batch as f64;
    let stored = if widest > LARGE { UNCACHED } else { 1.0 };
    let products: f64 = graph.parameters.iter().map(|p| products(p, &columns)).sum();
    let other = (graph.operations() * batch as f64 - products).max(0.0);
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
    Choice { engine, exact, reason, cost: drawn + stored * entries + other, drawings }
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
    for node in &graph.nodes {
        let shapes = graph.shapes(node);
        let positions = match node.operator.records_steps() {
            true => shapes.inputs.first().map_or(1, |shape| shape.positions()),
            false => shapes.positions(),
        };
        node.parameters.iter().for_each(|place| columns[*place] = positions as f64 * batch as f64);
    }
    columns
}

/// How a parameter is drawn, and the predicted cost of its draws and products.
fn drawing(graph: &Graph, place: usize, all_columns: &[f64], wanted: Wanted) -> (Drawing, f64) {
    let (parameter, columns) = (&graph.parameters[place], all_columns[place]);
    let (rows, drawn) = (parameter.rows() as f64, parameter.drawn_columns() as f64);
    let dense = |reason: &str, cost: f64| {
        (Drawing { method: Method::Dense, exact: true, reason: reason.into() }, cost)
    };
    if let Source::Transposed(table) = parameter.source {
        // The table's own entry has the cost, for the choice is the table's.
        return (tied(&graph.parameters[table], columns, wanted).0, 0.0);
    }
    if matches!(parameter.role, Role::Embedding | Role::Position) {
        let looked_up = OTHER.min(NORMAL) * columns * rows;
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
        let cost =
            dense_cost(parameter.law, drawn, rows, columns) + 6.0 * (taps - 1.0) * drawn * rows * columns;
        return dense("a convolution draws every weight", cost);
    }
    let costs =
        (dense_cost(parameter.law, drawn, rows, columns), implicit_cost(parameter.law, drawn, rows, columns));
    weigh(parameter.law, costs, wanted, "")
}

/// The table that a linear layer shares, multiplied with so many columns: its rows that occur are drawn either way.
fn tied(table: &Parameter, columns: f64, wanted: Wanted) -> (Drawing, f64) {
    let (features, rows) = (table.shape.0 as f64, table.shape.1 as f64);
    let costs =
        (dense_cost(table.law, features, rows, columns), implicit_cost(table.law, features, rows, columns));
    weigh(table.law, costs, wanted, ", beside its rows that occur")
}

/// ∂C/∂W, from Gram matrices of both sides where that is cheaper.
fn weight_gradient_cost(parameter: &Parameter, columns: f64) -> f64 {
    if matches!(parameter.role, Role::Embedding | Role::Position) {
        return 0.0;
    }
    let (m, n) = (parameter.shape.0 as f64, parameter.shape.1 as f64);
    let product = 2.0 * m * n * columns;
    if parameter.kernel.is_some() { product } else { product.min(columns * columns * (m + n)) }
}

/// Dense or implicit, by what was asked for, exactness and cost.
fn weigh(law: Law, (dense, implicit): (f64, f64), wanted: Wanted, how: &str) -> (Drawing, f64) {
    let exact = is_exact(law);
    let of = |method, exact, reason: String| Drawing { method, exact, reason };
    match wanted {
        Wanted::Dense => (of(Method::Dense, true, "asked for".into()), dense),
        Wanted::Implicit if exact => (of(Method::Implicit, true, format!("asked for{how}")), implicit),
        Wanted::Implicit => (of(Method::Implicit, false, format!("{ASYMPTOTIC}{how}")), implicit),
        Wanted::Auto if !exact => {
            (of(Method::Dense, true, "only drawn weights have this law exactly".into()), dense)
        }
        Wanted::Auto if implicit < dense => {
            let share = share(implicit / dense);
            let reason = format!("exact for this law at {share} of the predicted cost of drawn weights{how}");
            (of(Method::Implicit, true, reason), implicit)
        }
        Wanted::Auto => {
            let reason = format!(
                "implicit sampling is predicted to cost {:.1} times as much",
                implicit / dense.max(1.0)
            );
            (of(Method::Dense, true, reason), dense)
        }
    }
}

const ASYMPTOTIC: &str = "asked for; the law is neither Gaussian nor orthogonal, so products follow the Gaussian law of its mean and \
                          variance, with an error of order 1/fan-in";

/// A plain stack unit by unit: `None` where that is not possible, not needed, or dearer than drawn weights.
fn streamed(layers: &[LayerPlan], batch: usize, loss: Loss, wanted: Wanted) -> Option<Choice> {
    let columns = batch as f64;
    let total = |cost: &dyn Fn(&LayerPlan) -> f64| layers.iter().map(cost).sum::<f64>();
    let widest = layers.iter().map(|l| l.fan_in.max(l.fan_out)).max().unwrap_or(0) as f64 * columns;
    let tape = 16.0 * total(&|l| l.fan_out as f64 * columns);
    let possible = layers.iter().all(|l| can_draw(l, batch)) && loss != Loss::CrossEntropy;
    let exact = layers.iter().all(|layer| is_exact(layer.weights));
    let large = possible && (widest > LARGE || tape > STORED);
    if !large || wanted == Wanted::Dense || (wanted == Wanted::Auto && !exact) {
        return None;
    }
    let entries = |layer: &LayerPlan| (layer.fan_in + layer.fan_out) as f64 * columns * ENTRY;
    let sizes = |l: &LayerPlan| (l.fan_in as f64, l.fan_out as f64);
    let stored = if widest > LARGE { UNCACHED } else { 1.0 };
    let dense = total(&|l| dense_cost(l.weights, sizes(l).0, sizes(l).1, columns) + stored * entries(l));
    let cost = total(&|l| streamed_cost(l.weights, sizes(l).0, sizes(l).1, columns) + STREAMED * entries(l));
    if wanted == Wanted::Auto && cost >= dense {
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
                share(cost / dense)
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
    let one = |p: &Parameter| draw_cost(p.law, p.drawn_columns() as f64, p.rows() as f64);
    graph.own_parameters().map(one).sum()
}

fn draw_cost(law: Law, n: f64, m: f64) -> f64 {
    match law {
        law if law.is_fixed() => 0.0,
        Law::Normal { .. } => NORMAL * n * m,
        Law::Haar { .. } => n.min(m) * n * m * 3.0 + OTHER * n * m,
        _ => OTHER * n * m,
    }
}

/// Two products of the passes, that of the weight gradient aside, and the draws: n columns, m rows.
fn dense_cost(law: Law, n: f64, m: f64, columns: f64) -> f64 {
    if law.is_fixed() {
        return 4.0 * (n + m) * columns;
    }
    4.0 * n * m * columns + draw_cost(law, n, m)
}

/// ξRᵀ, ξᵀD; Hᵀη, HC, ηSᵀ; a factor and its inverse for each side.
fn implicit_cost(law: Law, n: f64, m: f64, columns: f64) -> f64 {
    if law.is_fixed() {
        return 4.0 * (n + m) * columns;
    }
    let (r, s) = (columns.min(n), columns.min(m));
    let haar = if law.is_orthogonal() { 1.6 } else { 1.0 };
    let products = 4.0 * m * columns * r + 6.0 * n * columns * s;
    haar * (THIN * products + NORMAL * (m * r + n * s)) + 40.0 * columns.powi(3)
}

/// The same, with Z once more for each of the two passes back, and the Gram matrix of Z.
fn streamed_cost(law: Law, n: f64, m: f64, columns: f64) -> f64 {
    if law.is_fixed() {
        return 4.0 * (n + m) * columns;
    }
    let haar = if law.is_orthogonal() { 1.3 } else { 1.0 };
    let products = haar * (9.0 * m * columns * columns + 8.0 * n * columns * columns);
    THIN * products + NORMAL * (3.0 * m + 2.0 * n) * columns + 40.0 * columns.powi(3)
}
