//! What is judged of a cell, and where: a plain stack from end to end, a network along its trunk.
//!
//! A norm divides the scale of what comes in away. What a signal gains before one does not reach the output, and a gradient that comes back
//! through one is divided by what the signal had gained. So the signal is judged between norms, strictly only behind the last one, and the
//! gradient of a network with norms by what the loss answers to a change in proportion to the signal, E z²·‖∂C/∂z‖², which no norm changes.
//! Of residual networks before the first step this holds within a decade where signal and gradient alone change by three.

use super::direction::Grades;
use crate::graph::TrunkPlace;
use crate::result::Quantity;
use crate::simulate::{CellPlan, LayerPlan};

/// Decades from which on a change is none of chance, is severe, and is fatal.
///
/// Of what reaches the output: 50 SELU layers change a variance by 1.2 decades and train to 95 %; LeNet-5 as it was drawn in 1998 loses 7.9
/// and trains; 22 layers of ReLU under Xavier lose 6.6 and train, 30 lose 8.7 and do not (He et al. 2015, § 2.2 and figure 3).
const KEPT: Grades = Grades { threshold: 1.0, severe: 8.5, fatal: 12.0 };
/// Of what norms divide away, and of gradients behind them: the optimizer's step shrinks with a weight that grows (Arora et al. 2019,
/// arXiv:1812.03981). ResNet-101 as it begins has 5.9 decades, MobileNetV2 3.9; plain layers with batch norm gain 1.467 each (Yang et al.
/// 2019), so 50 of them have 8.3, and 100, which do not train, 16.6.
const DIVIDED: Grades = Grades { threshold: 8.0, severe: 11.0, fatal: 18.0 };

/// A stretch along which a quantity is followed.
pub struct Course {
    /// Entries, in the direction of the signal.
    pub places: Vec<usize>,
    /// What enters the network is its first point.
    pub from_input: bool,
    /// What is followed, where it has a variance at all.
    pub quantity: Quantity,
    /// What a change of it means.
    pub grades: Grades,
    /// What norms do to it, in words.
    pub remark: &'static str,
}

/// The courses of the signal, of which the worst counts; each with its alternatives, of which the best does: a network may begin at its
/// input or behind its first layer, for what the first layer makes of the scale of the data is no matter of depth.
pub fn forward(cell: &CellPlan) -> Vec<Vec<Course>> {
    let single = cell.graph.inputs.len() == 1 && cell.graph.features() > 0;
    let course = |places: Vec<usize>, from_input: bool, divided: bool| {
        let quantity = if from_input { Quantity::SecondMoment } else { Quantity::Variance };
        let grades = if divided { DIVIDED } else { KEPT };
        let remark = if divided { "; a norm behind it divides it away" } else { "" };
        Course { places, from_input, quantity, grades, remark }
    };
    if cell.is_stack {
        let all: Vec<usize> = (0..cell.layers.len()).collect();
        let alone = all.len() == 1;
        return vec![vec![course(all, alone, false)]];
    }
    let mut found: Vec<Vec<Course>> = Vec::new();
    for trunk in &cell.graph.trunks {
        let body = body(cell, trunk);
        let pieces = body.chunk_by(|_, next| !next.renewed);
        for (index, piece) in pieces.enumerate() {
            let divided = piece.iter().all(|place| place.normalized);
            let first = index == 0 && single && !divided && !piece[0].renewed;
            let starts = [false, true].into_iter().filter(|from_input| match from_input {
                true => first,
                false => piece.len() > 1,
            });
            found.push(starts.map(|from_input| course(entries(piece), from_input, divided)).collect());
        }
        if found.iter().all(Vec::is_empty) {
            let places = if body.is_empty() { (0..cell.layers.len()).collect() } else { entries(body) };
            let from_input = places.len() == 1 && single;
            let remark = if body.len() > 1 { "; norms between its layers renew its scale" } else { "" };
            found.push(vec![Course { remark, ..course(places, from_input, !body.is_empty()) }]);
        }
    }
    found
}

/// The courses of the gradient, likewise.
pub fn backward(cell: &CellPlan) -> Vec<Vec<Course>> {
    let of = |places: Vec<usize>, divided: bool| {
        let sizes = sizes(cell, &places);
        let quantity = match divided {
            true => Quantity::RelativeGradient,
            false if sizes.iter().any(|size| *size != sizes[0]) => Quantity::SquaredNorm,
            false => Quantity::Variance,
        };
        let grades = if divided { DIVIDED } else { KEPT };
        Course { places, from_input: false, quantity, grades, remark: "" }
    };
    let all = || (0..cell.layers.len()).collect();
    if cell.is_stack {
        return vec![vec![of(all(), false)]];
    }
    let one = |trunk: &Vec<TrunkPlace>| match body(cell, trunk) {
        [] => vec![of(all(), false)],
        body => vec![of(entries(body), body.iter().any(|place| place.normalized || place.renewed))],
    };
    cell.graph.trunks.iter().map(one).collect()
}

fn entries(places: &[TrunkPlace]) -> Vec<usize> {
    places.iter().map(|place| place.entry).collect()
}

/// Entries of a sample at these places: a gradient that spreads over more of them is smaller in each, and no less in all.
pub fn sizes(cell: &CellPlan, places: &[usize]) -> Vec<f64> {
    let size = |place: &usize| {
        let entry = &cell.graph.entries[*place];
        entry.units as f64 * entry.positions as f64
    };
    places.iter().map(size).collect()
}

/// The last layer of a network that has others before it, if it has weights: its size is a choice, such as a small one for a policy or for
/// an even start, and is judged by the loss alone.
pub fn head(cell: &CellPlan) -> Option<usize> {
    let last = cell.graph.entries.len().checked_sub(1)?;
    let ends = |trunk: &Vec<TrunkPlace>| trunk.len() > 1 && trunk.last().is_some_and(|p| p.entry == last);
    let weighted = cell.graph.entries[last].weighted && cell.graph.entries[last].parameter.is_some();
    (!cell.is_stack && weighted && cell.graph.trunks.iter().any(ends)).then_some(last)
}

/// A trunk without the head.
fn body<'a>(cell: &CellPlan, trunk: &'a [TrunkPlace]) -> &'a [TrunkPlace] {
    match trunk.split_last() {
        Some((last, body)) if !body.is_empty() && head(cell) == Some(last.entry) => body,
        _ => trunk,
    }
}

/// The places where samples are last and first seen side by side: of a network the ends of its body.
pub fn ends(cell: &CellPlan) -> (usize, usize) {
    let bodies = cell.graph.trunks.iter().map(|trunk| body(cell, trunk));
    let longest = bodies.max_by_key(|body| body.len()).filter(|body| !cell.is_stack && !body.is_empty());
    match longest {
        Some([first, .., last]) => (first.entry, last.entry),
        Some([one]) => (one.entry, one.entry),
        _ => (0, cell.layers.len() - 1),
    }
}

/// The head begins at zero while other layers do not: it passes nothing back before its own first step, and that is meant.
pub fn is_closed(cell: &CellPlan) -> bool {
    let zero = |layer: &LayerPlan| layer.moments().is_some_and(|w| w.mean == 0.0 && w.variance == 0.0);
    let drawn = |layer: &LayerPlan| !layer.weights.is_fixed();
    head(cell).is_some_and(|head| zero(&cell.layers[head])) && cell.layers.iter().any(drawn)
}
