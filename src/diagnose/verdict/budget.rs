//! What a change along a network's trunk is made of: the steps between places, by the kind of block that makes them.

use super::direction::Found;
use crate::result::{Layer, Share};

/// Steps this much apart, in decades, are alike.
const ALIKE: f64 = 0.05;

/// Steps between the places of a course.
pub struct Budget {
    /// Sums by kind of block, the largest first.
    pub shares: Vec<Share>,
    /// The largest single step and what makes it.
    pub largest: Option<(String, f64)>,
    /// Most steps are so alike that their middle stands for all.
    pub alike: bool,
}

/// A path without the numbers of its outermost block: `block3/conv1` and `block12` are of one kind.
fn kind(path: &str) -> &str {
    let block = path.split('/').next().unwrap_or_default();
    let kind = block.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    if kind.is_empty() { block } else { kind }
}

/// The steps of what was found, each made by one of these layers; none where it is lost on its way.
pub fn budget(found: &Found, makers: &[&Layer]) -> Budget {
    let steps = found.medians.windows(2).map(|pair| pair[1] - pair[0]);
    let steps: Vec<(&Layer, f64)> =
        makers.iter().copied().zip(steps).filter(|(_, step)| step.is_finite()).collect();
    let mut shares: Vec<Share> = Vec::new();
    for (layer, step) in &steps {
        let path = kind(layer.path.as_deref().unwrap_or_default());
        let role = layer.role.clone();
        match shares.iter_mut().find(|share| share.path == path && share.role == role) {
            Some(share) => (share.log10, share.steps) = (share.log10 + step, share.steps + 1),
            None => shares.push(Share { path: path.into(), role, log10: *step, steps: 1 }),
        }
    }
    shares.sort_by(|a, b| b.log10.abs().total_cmp(&a.log10.abs()));
    let largest = steps.iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    let near = |slope: f64| steps.iter().filter(|(_, step)| (step - slope).abs() < ALIKE).count();
    let alike = found.direction.log10_per_layer.is_some_and(|slope| 2 * near(slope) > steps.len());
    Budget { shares, largest: largest.map(|(layer, step)| (layer.name(), *step)), alike }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::verdict::direction::{Grades, Series, direction};
    use crate::numeric::stream::Key;
    use crate::result::made::layer;

    #[test]
    fn steps_add_up_by_kind_of_block() {
        let names = ["embedding1", "attention1", "mlp1", "attention2", "mlp2"];
        let layers: Vec<Layer> =
            names.iter().map(|path| Layer { path: Some((*path).into()), ..layer(1) }).collect();
        let levels = vec![0.0, 0.1, 1.1, 1.2, 1.6];
        let series = Series { variance: vec![levels.clone()], second_moment: vec![levels] };
        let grades = Grades { threshold: 1.0, severe: 6.0, fatal: 12.0 };
        let found = direction(&series, grades, Key { seed: 0, trial: 0, layer: 0 });
        let budget = budget(&found, &layers[1..].iter().collect::<Vec<_>>());
        let of = |share: &Share| (share.path.clone(), (share.log10 * 10.0).round(), share.steps);
        let shares: Vec<_> = budget.shares.iter().map(of).collect();
        assert_eq!(shares, [("mlp".to_string(), 14.0, 2), ("attention".to_string(), 2.0, 2)]);
        assert_eq!(budget.largest.map(|(name, _)| name).as_deref(), Some("mlp1"));
        assert!(!budget.alike);
    }

    #[test]
    fn blocks_are_of_one_kind_whatever_their_number() {
        assert_eq!(
            ["block3/conv1", "conv1_2", "attention12", "7"].map(kind),
            ["block", "conv", "attention", "7"]
        );
    }
}
