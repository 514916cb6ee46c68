//! Everything that mean-field theory says of one activation at (σ_w², σ_b²): what `initdiag theory` prints in every format
//! (schema `initdiag-theory/1`).

use super::meanfield::{Answer, Length, MeanField, Phase};
use crate::activation::Activation;
use crate::expectation::critical::{self, CriticalPoint};
use crate::law::named::named;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "initdiag-theory/1";

/// Points of a curve.
const POINTS: usize = 101;
/// Steps of a cobweb at most.
const STEPS: usize = 60;

named! {
    /// Where the variance of pre-activations goes, layer by layer.
    #[non_exhaustive]
    pub enum Limit {
        /// To a stable fixed point.
        Point = "point",
        /// To zero, by a factor a layer.
        Zero = "zero",
        /// To zero, as a power of the depth.
        PowerLaw = "power-law",
        /// Beyond all bounds.
        Diverges = "diverges",
        /// Nowhere: every variance is kept.
        Every = "every",
        /// Round a cycle.
        Cycle = "cycle",
        /// Quadrature cannot tell.
        Unknown = "unknown",
    }
}

/// The survey. All numbers are finite; `why` says in words why one is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Survey {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of initdiag that wrote it.
    pub version: String,
    /// The activation by its full name, or the expression as the user wrote it.
    pub act: String,
    /// The initializer that brings σ_w² and σ_b², and the width of its layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Width of the initializer's layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// n·Var(W).
    pub sigma_w2: f64,
    /// Var(b).
    pub sigma_b2: f64,
    /// Where the variance of pre-activations goes, layer by layer.
    pub limit: Limit,
    /// Stable fixed point of the length map.
    pub q_star: Option<f64>,
    /// Factor on the gradient's mean square a layer, at q* or in the limit.
    pub chi1: Option<f64>,
    /// Depth scale of lengths, in layers.
    pub xi_q: Option<f64>,
    /// Depth scale of correlations, in layers.
    pub xi_c: Option<f64>,
    /// Stable fixed point of the correlation map.
    pub c_star: Option<f64>,
    /// What happens to small differences between samples.
    pub phase: Option<Phase>,
    /// For each of the above that is absent, why.
    pub why: BTreeMap<String, String>,
    /// The edge of chaos with this σ_b².
    pub edge: Option<Edge>,
    /// Curves.
    pub maps: Maps,
}

/// A point at which χ₁ = 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Edge {
    /// n·Var(W).
    pub sigma_w2: f64,
    /// Var(b).
    pub sigma_b2: f64,
    /// The variance that they keep; absent where it is every one.
    pub q_star: Option<f64>,
}

/// The two maps as curves, and how iteration walks along them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Maps {
    /// (q, q′); empty where quadrature does not reach it.
    pub length: Vec<[f64; 2]>,
    /// q layer by layer, from σ_w² + σ_b², which inputs of unit variance bring.
    pub length_walk: Vec<f64>,
    /// The variance at which the correlation map is taken; absent for a limit.
    pub correlation_at: Option<f64>,
    /// (c, c′); empty where lengths have no limit that has one.
    pub correlation: Vec<[f64; 2]>,
    /// c layer by layer, from 0.
    pub correlation_walk: Vec<f64>,
}

impl Survey {
    /// Surveys an activation at (σ_w², σ_b²).
    pub fn new(act: &Activation, sigma_w2: f64, sigma_b2: f64) -> Self {
        let field = MeanField { act, sigma_w2, sigma_b2 };
        let s = field.summary();
        let mut why = BTreeMap::new();
        let mut known = |name: &str, answer: Answer| match answer {
            Ok(value) if value.is_finite() => Some(value),
            Ok(_) => None,
            Err(missing) => {
                why.insert(name.to_string(), missing.words().to_string());
                None
            }
        };
        let q_star = known("q_star", s.q_star);
        let chi1 = known("chi1", s.chi1);
        let xi_q = known("xi_q", s.xi_q);
        let xi_c = known("xi_c", s.xi_c);
        let c_star = known("c_star", s.c_star);
        if s.phase.is_none() {
            let words = why.get("chi1").cloned().unwrap_or_default();
            why.insert("phase".into(), words);
        }
        let edge = edge(act, sigma_b2);
        if edge.is_none() {
            why.insert("edge".into(), "χ₁ = 1 nowhere with this bias variance".into());
        }
        Self {
            schema: SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            act: act.name.clone(),
            init: None,
            width: None,
            sigma_w2,
            sigma_b2,
            limit: limit(s.length),
            q_star,
            chi1,
            xi_q,
            xi_c,
            c_star,
            phase: s.phase,
            why,
            edge,
            maps: maps(&field, s.length),
        }
    }
}

fn limit(length: Length) -> Limit {
    match length {
        Length::Point { .. } => Limit::Point,
        Length::Zero { factor } if (factor - 1.0).abs() < 1e-12 => Limit::PowerLaw,
        Length::Zero { .. } => Limit::Zero,
        Length::Diverges { .. } => Limit::Diverges,
        Length::Every => Limit::Every,
        Length::Cycle => Limit::Cycle,
        Length::Unknown => Limit::Unknown,
    }
}

fn edge(act: &Activation, sigma_b2: f64) -> Option<Edge> {
    let CriticalPoint { sigma_w2, q, .. } = critical::at_bias(act, sigma_b2)?;
    let q_star = (!act.shape.homogeneous).then_some(q);
    // A homogeneous activation is critical without biases only, and then at every q.
    (sigma_w2.is_finite() && (q_star.is_some() || sigma_b2 == 0.0)).then_some(Edge {
        sigma_w2,
        sigma_b2,
        q_star,
    })
}

fn maps(field: &MeanField, length: Length) -> Maps {
    let start = field.sigma_w2 + field.sigma_b2;
    let mut walk = vec![start];
    if length == Length::Unknown {
        return Maps {
            length: Vec::new(),
            length_walk: walk,
            correlation_at: None,
            correlation: Vec::new(),
            correlation_walk: Vec::new(),
        };
    }
    while walk.len() <= STEPS {
        let here = walk[walk.len() - 1];
        let next = field.length(here).value;
        if !next.is_finite() || next > 1e6 * start.max(1.0) {
            break;
        }
        walk.push(next);
        if (next - here).abs() <= 1e-4 * start.max(next) {
            break;
        }
    }
    let top = match length {
        Length::Point { q, .. } => 1.25 * q.max(start),
        Length::Diverges { .. } => 4.0 * start,
        _ => 1.25 * start,
    };
    let top = if top > 0.0 { top } else { 1.0 };
    let share = |k: usize| k as f64 / (POINTS - 1) as f64;
    let curve = (0..POINTS)
        .map(|k| top * share(k))
        .map(|q| [q, field.length(q).value])
        .filter(|p| p[1].is_finite())
        .collect();
    let (mut correlation, mut correlation_walk) = (Vec::new(), Vec::new());
    if let Ok(mut map) = field.map_at(length) {
        correlation =
            (0..POINTS).map(|k| [share(k), map.at(share(k)).value]).filter(|p| p[1].is_finite()).collect();
        let mut c = 0.0f64;
        while c.is_finite() && correlation_walk.len() <= STEPS {
            correlation_walk.push(c);
            let next = map.at(c).value.clamp(-1.0, 1.0);
            if (next - c).abs() < 1e-3 {
                break;
            }
            c = next;
        }
    }
    Maps {
        length: curve,
        length_walk: walk,
        correlation_at: match length {
            Length::Point { q, .. } => Some(q),
            _ => None,
        },
        correlation,
        correlation_walk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, sigma_w2: f64, sigma_b2: f64) -> Survey {
        Survey::new(&Activation::parse(text).unwrap(), sigma_w2, sigma_b2)
    }

    #[test]
    fn a_fixed_point_has_every_number() {
        let survey = of("tanh", 1.5, 0.05);
        assert!(survey.why.is_empty() && survey.limit == Limit::Point, "{survey:?}");
        assert!((survey.edge.unwrap().sigma_w2 - 1.760_955).abs() < 1e-6);
        let last = survey.maps.length_walk[survey.maps.length_walk.len() - 1];
        assert!((last - survey.q_star.unwrap()).abs() < 1e-3);
        assert_eq!(survey.maps.correlation[100][0], 1.0);
        assert!((survey.maps.correlation[100][1] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_absent_is_explained_and_numbers_are_finite() {
        let places = [(0.0, 0.0), (1.0, 0.0), (2.0, 0.5), (1e6, 0.0), (1e-6, 1e-6)];
        for (act, places) in [
            ("relu", &places[..]),
            ("linear", &places),
            ("tanh", &places),
            ("sigmoid", &places),
            ("x*x", &places[..2]),
            ("max(x, 0.3)", &places[2..3]),
            ("sine(omega=30)", &places[3..]),
        ] {
            for &(sigma_w2, sigma_b2) in places {
                let s = of(act, sigma_w2, sigma_b2);
                for (name, value) in [
                    ("q_star", s.q_star),
                    ("chi1", s.chi1),
                    ("xi_q", s.xi_q),
                    ("xi_c", s.xi_c),
                    ("c_star", s.c_star),
                ] {
                    assert_eq!(
                        value.is_none(),
                        s.why.contains_key(name),
                        "{act} {sigma_w2} {sigma_b2} {name}: {s:?}"
                    );
                }
                let text = serde_json::to_string(&s).unwrap();
                let again: Survey = serde_json::from_str(&text).unwrap();
                assert_eq!(again.maps.length.len(), s.maps.length.len());
            }
        }
    }
}
