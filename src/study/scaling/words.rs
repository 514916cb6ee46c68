//! A sweep in words.

use super::{Exponent, ScalingCell};
use crate::result::Recorded;

/// One sentence for the cell, and one for each end of it at which something scales.
pub fn say(cell: &ScalingCell) -> Vec<String> {
    let (Some(first), Some(last)) = (cell.layers.first(), cell.layers.last()) else { return Vec::new() };
    let mut words = vec![match cell.stable {
        Some(true) => {
            "width-stable: no mean square scales with width at the first and the last layer".to_string()
        }
        Some(false) => "not width-stable".to_string(),
        None => {
            "unclear: an interval reaches beyond the tolerance; more trials or wider layers tell".to_string()
        }
    }];
    let ends = if cell.layers.len() > 1 { vec![first, last] } else { vec![first] };
    for layer in ends {
        let scaling = |(name, e): (Recorded, &Exponent)| {
            let exponent = e.exponent.filter(|_| e.stable == Some(false))?;
            Some(format!("{} ∝ n^{exponent:+.2}", called(name)))
        };
        let found: Vec<String> = layer.quantities().into_iter().filter_map(scaling).collect();
        if !found.is_empty() {
            words.push(format!("at layer {}: mean square of {}", layer.layer, found.join(", ")));
        }
        let zero = layer.quantities().into_iter().filter(|(_, e)| e.exponent.is_none());
        let zero: Vec<&str> = zero.map(|(name, _)| called(name)).collect();
        if !zero.is_empty() {
            words.push(format!("at layer {}: {} exactly zero at some width", layer.layer, zero.join(", ")));
        }
    }
    words
}

/// A quantity's name for people.
pub(crate) fn called(quantity: Recorded) -> &'static str {
    match quantity {
        Recorded::Preactivation => "pre-activation",
        Recorded::WeightGradient => "weight gradient",
        other => other.name(),
    }
}
