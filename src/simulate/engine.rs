//! Which engine a cell runs on: exactness first, then the least predicted cost.

use super::plan::LayerPlan;
use super::streamed::can_draw;
use crate::law::Law;
use crate::spec::{Engine as Wanted, Loss};
use crate::weights::is_exact;

/// How the trials of a cell are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Every weight is drawn.
    Dense,
    /// Products with the weights are drawn from their joint law; what a layer computed is stored.
    Lazy,
    /// As lazy, unit by unit in blocks: nothing of the size of a layer is stored.
    Streamed,
}

/// An engine, and why it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// What runs.
    pub engine: Engine,
    /// The products have the law that was asked for, not its limit of large fan-in.
    pub exact: bool,
    /// In words.
    pub reason: String,
    /// Predicted cost of a trial, in operations of a matrix product.
    pub cost: f64,
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

/// Chooses for a cell.
pub fn choose(layers: &[LayerPlan], batch: usize, loss: Loss, wanted: Wanted) -> Choice {
    let total = |cost: &dyn Fn(&LayerPlan) -> f64| layers.iter().map(cost).sum::<f64>();
    let batch = batch as f64;
    let widest = layers.iter().map(|l| l.fan_in.max(l.fan_out)).max().unwrap_or(0) as f64 * batch;
    let entries = |layer: &LayerPlan| (layer.fan_in + layer.fan_out) as f64 * batch * ENTRY;
    let stored = if widest > LARGE { UNCACHED } else { 1.0 };
    let dense = total(&|layer| dense_cost(layer, batch) + stored * entries(layer));
    let lazy = total(&|layer| lazy_cost(layer, batch) + stored * entries(layer));
    let streamed = total(&|layer| streamed_cost(layer, batch) + STREAMED * entries(layer));
    let exact = layers.iter().all(|layer| is_exact(layer.weights));
    let tape = 16.0 * total(&|l| l.fan_out as f64 * batch);
    let streams = layers.iter().all(|l| can_draw(l, batch as usize)) && loss != Loss::CrossEntropy;
    let large = streams && (widest > LARGE || tape > STORED);
    let (engine, cost) = if large { (Engine::Streamed, streamed) } else { (Engine::Lazy, lazy) };
    let how = match engine {
        Engine::Streamed if widest > LARGE => ", unit by unit because whole layers would not fit the cache",
        Engine::Streamed => ", unit by unit because so many layers would take much memory",
        _ => "",
    };
    let choice = |engine, exact, cost, reason: String| Choice { engine, exact, reason, cost };
    match wanted {
        Wanted::Dense => choice(Engine::Dense, true, dense, "asked for".into()),
        Wanted::Lazy if exact => choice(engine, true, cost, format!("asked for{how}")),
        Wanted::Lazy => {
            let reason = "asked for; the law is neither Gaussian nor orthogonal, so products follow the Gaussian law of its \
                          mean and variance, with an error of order 1/fan-in";
            choice(engine, false, cost, format!("{reason}{how}"))
        }
        Wanted::Auto if !exact => {
            let reason = "only drawn weights have this law exactly";
            choice(Engine::Dense, true, dense, reason.into())
        }
        Wanted::Auto if cost < dense => {
            let reason = format!(
                "exact for this law at {} of the dense engine's predicted cost{how}",
                share(cost / dense)
            );
            choice(engine, true, cost, reason)
        }
        Wanted::Auto => {
            let reason = format!("the lazy engine is predicted to cost {:.1} times as much", cost / dense);
            choice(Engine::Dense, true, dense, reason)
        }
    }
}

fn share(part: f64) -> String {
    if part > 0.01 { format!("{:.0} %", 100.0 * part) } else { format!("1/{:.0}", 1.0 / part) }
}

fn sizes(layer: &LayerPlan) -> (f64, f64) {
    (layer.fan_in as f64, layer.fan_out as f64)
}

fn dense_cost(layer: &LayerPlan, batch: f64) -> f64 {
    let (n, m) = sizes(layer);
    if layer.weights.is_fixed() {
        return 4.0 * (n + m) * batch;
    }
    let draws = match layer.weights {
        Law::Normal { .. } => NORMAL * n * m,
        Law::Haar { .. } | Law::UnitVarianceHaar => n.min(m) * n * m * 3.0 + OTHER * n * m,
        _ => OTHER * n * m,
    };
    4.0 * n * m * batch + draws
}

/// ξRᵀ, ξᵀD; Hᵀη, HC, ηSᵀ; a factor and its inverse for each side.
fn lazy_cost(layer: &LayerPlan, batch: f64) -> f64 {
    let (n, m) = sizes(layer);
    if layer.weights.is_fixed() {
        return 4.0 * (n + m) * batch;
    }
    let (r, s) = (batch.min(n), batch.min(m));
    let haar = if layer.weights.is_orthogonal() { 1.6 } else { 1.0 };
    let products = 4.0 * m * batch * r + 6.0 * n * batch * s;
    haar * (THIN * products + NORMAL * (m * r + n * s)) + 40.0 * batch.powi(3)
}

/// The same, with Z once more for each of the two passes back, and the Gram matrix of Z.
fn streamed_cost(layer: &LayerPlan, batch: f64) -> f64 {
    let (n, m) = sizes(layer);
    if layer.weights.is_fixed() {
        return 4.0 * (n + m) * batch;
    }
    let haar = if layer.weights.is_orthogonal() { 1.3 } else { 1.0 };
    let products = haar * (9.0 * m * batch * batch + 8.0 * n * batch * batch);
    THIN * products + NORMAL * (3.0 * m + 2.0 * n) * batch + 40.0 * batch.powi(3)
}
