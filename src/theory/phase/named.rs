//! Where the named initializers lie on the plane.

use super::Curves;
use crate::activation::Activation;
use crate::expectation::field::WeightMoments;
use crate::initializer::{Entry, Initializer, Site, entries};
use crate::theory::meanfield::{Length, Missing, Phase};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A point of the plane and the initializers there; without one, `why` says why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Place {
    /// Names in the catalog, in its order.
    pub names: Vec<String>,
    /// fan_in·Var(W) at the diagram's width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_w2: Option<f64>,
    /// Var(b) that the initializer brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_b2: Option<f64>,
    /// What happens to small differences between samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Factor on the gradient's mean square a layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chi1: Option<f64>,
    /// Depth scale of correlations, in layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xi_c: Option<f64>,
    /// Variance that lengths settle at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q_star: Option<f64>,
    /// Why numbers are absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// σ_w² and σ_b² of an initializer in square layers, or why it has none.
pub type Spot = Result<(f64, f64), String>;

/// Every entry of the catalog with its spot, at its default arguments.
pub fn points(act: &Activation, width: usize) -> Vec<(&'static Entry, Spot)> {
    entries().map(|entry| (entry, spot(entry, act, width))).collect()
}

fn spot(entry: &Entry, act: &Activation, width: usize) -> Spot {
    if entry.not_dense.is_some() {
        return Err("not defined for dense layers of a plain stack".into());
    }
    let init = Initializer::parse(entry.name).map_err(|fault| fault.to_string())?;
    let site = Site::dense(width, width, 1, 50, act);
    let none = |_| format!("no law for {}", act.name);
    let (weights, bias) = (init.weights(&site).map_err(none)?, init.bias(&site).map_err(none)?);
    if weights.is_point_mass() {
        return Err("equal weights: all units stay the same".into());
    }
    let law = WeightMoments::of(width, width, &weights, &bias).filter(|_| entry.procedure.is_none());
    let law = law.ok_or("no n·Var(W)")?;
    if init.depends_on_layer() {
        return Err("changes from layer to layer".into());
    }
    law.gains().ok_or_else(|| "weights with a mean".into())
}

/// Those with a point, ascending in σ_w², not judged yet; and those without.
pub fn places(act: &Activation, width: usize) -> (Vec<Place>, Vec<Place>) {
    let (mut here, mut none): (Vec<Place>, Vec<Place>) = (Vec::new(), Vec::new());
    for (entry, spot) in points(act, width) {
        let like = |a: f64, b: Option<f64>| b.is_some_and(|b| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()));
        let (list, place) = match spot {
            Ok((w, b)) => {
                if let Some(known) = here.iter_mut().find(|p| like(w, p.sigma_w2) && like(b, p.sigma_b2)) {
                    known.names.push(entry.name.into());
                    continue;
                }
                (&mut here, Place { sigma_w2: Some(w), sigma_b2: Some(b), ..Place::default() })
            }
            Err(why) => {
                if let Some(known) = none.iter_mut().find(|p| p.why.as_ref() == Some(&why)) {
                    known.names.push(entry.name.into());
                    continue;
                }
                (&mut none, Place { why: Some(why), ..Place::default() })
            }
        };
        list.push(Place { names: vec![entry.name.into()], ..place });
    }
    here.sort_by(|a, b| a.sigma_w2.unwrap_or(0.0).total_cmp(&b.sigma_w2.unwrap_or(0.0)));
    (here, none)
}

/// The length that a stack begins with at the furthest point.
pub fn largest(places: &[Place]) -> f64 {
    places.iter().filter_map(|p| Some(p.sigma_w2? + p.sigma_b2?)).fold(0.0, f64::max).min(1e12)
}

/// Adds what theory has at each point.
pub fn judge_all(act: &Activation, curves: &Curves, places: &mut [Place]) {
    places.par_iter_mut().for_each(|place| judge(act, curves, place));
}

fn judge(act: &Activation, curves: &Curves, place: &mut Place) {
    let (Some(sigma_w2), Some(sigma_b2)) = (place.sigma_w2, place.sigma_b2) else { return };
    let (length, numbers) = super::lengths(act, curves, sigma_w2, sigma_b2);
    // Those that stand on the line by their law stand on it to rounding, not to the interpolation's digits.
    let chi1 = numbers.chi1.filter(|x| x.is_finite());
    let chi1 = chi1.map(|x| if (x - 1.0).abs() < 1e-6 { 1.0 } else { x });
    place.chi1 = chi1;
    place.q_star = numbers.q_star.filter(|x| x.is_finite());
    place.phase = chi1.map(Phase::of);
    let slope = match (place.q_star, chi1) {
        (Some(q), Some(chi)) if chi > 1.0 => {
            curves.fixed_point(q, sigma_w2, sigma_b2).map(|(_, slope)| slope)
        }
        (Some(_), chi) => chi,
        _ => None,
    };
    place.xi_c = slope.filter(|s| *s > 0.0 && *s < 1.0).map(|s| -1.0 / s.ln());
    if place.xi_c.is_none() {
        let why = match length {
            Length::Point { .. } if chi1 == Some(1.0) => Missing::Critical.words(),
            Length::Point { .. } if slope.is_none() => {
                "two samples are not resolved: the activation turns too fast"
            }
            Length::Point { .. } => Missing::AtOnce.words(),
            Length::Zero { .. } => Missing::GoesToZero.words(),
            Length::Diverges { .. } => Missing::Diverges.words(),
            Length::Every => Missing::EveryQ.words(),
            Length::Cycle => Missing::Cycle.words(),
            Length::Unknown => Missing::Unknown.words(),
        };
        place.why = Some(why.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::meanfield::MeanField;

    #[test]
    fn every_entry_is_placed_once() {
        let act = Activation::parse("tanh").unwrap();
        let (mut here, none) = places(&act, 512);
        judge_all(&act, &Curves::new(&act, largest(&here)), &mut here);
        let count: usize = here.iter().chain(&none).map(|p| p.names.len()).sum();
        assert_eq!(count, entries().count());
        let of = |name: &str| here.iter().find(|p| p.names.iter().any(|n| n == name)).unwrap();
        assert_eq!(of("he-normal").sigma_w2, of("keras-he-normal").sigma_w2);
        assert_eq!(of("he-normal").phase, Some(Phase::Chaotic));
        assert_eq!(of("critical").phase, Some(Phase::Critical));
        assert!((of("torch-linear").sigma_b2.unwrap() - 1.0 / 1536.0).abs() < 1e-12);
        // As the maps have them, by double integrals.
        let he = MeanField { act: &act, sigma_w2: 2.0, sigma_b2: 0.0 }.summary();
        let place = of("he-normal");
        assert!((place.xi_c.unwrap() / he.xi_c.unwrap() - 1.0).abs() < 1e-4, "{place:?}");
        assert!((place.q_star.unwrap() / he.q_star.unwrap() - 1.0).abs() < 1e-6);
        assert!(none.iter().any(|p| p.names.contains(&"zeros".to_string())));
    }
}
