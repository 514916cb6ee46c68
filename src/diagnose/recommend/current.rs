//! What the user has now, against the depth of the network.

use super::{Change, Question};
use crate::expectation::field::WeightMoments;
use crate::initializer::Site;
use crate::law::call::CatalogError;
use crate::theory::meanfield::{MeanField, Phase};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The user's initializer in theory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Current {
    /// As `--init` takes it.
    pub init: String,
    /// fan_in·Var(W), its geometric mean over the layers; absent where weights have a mean or are no independent draws.
    pub sigma_w2: Option<f64>,
    /// Var(b), its mean over the layers.
    pub sigma_b2: Option<f64>,
    /// What happens to small differences between samples.
    pub phase: Option<Phase>,
    /// Variance that lengths settle at.
    pub q_star: Option<f64>,
    /// Factor on squared gradients a layer.
    pub chi1: Option<f64>,
    /// log₁₀ of it: decades a layer.
    pub decades: Option<f64>,
    /// Depth scale of lengths, in layers.
    pub xi_q: Option<f64>,
    /// Depth scale of correlations, in layers.
    pub xi_c: Option<f64>,
    /// Layers over ξ_c: beyond some six of them a gradient is below 10^−2.6 of itself, or samples have met or parted.
    pub depths: Option<f64>,
    /// Change of the signal over the network, as in the ranking.
    #[serde(default)]
    pub forward: Change,
    /// Change of the gradient over the network, as in the ranking.
    #[serde(default)]
    pub backward: Change,
    /// For what is absent, why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub why: BTreeMap<String, String>,
}

/// Mean-field numbers of the user's initializer in a plain stack.
///
/// # Errors
/// Where it has no law at some layer.
pub fn current(question: &Question) -> Result<Current, CatalogError> {
    let (act, init) = (question.act, question.init);
    let depth = question.widths.len() - 1;
    let mut laws = Vec::new();
    let mut shapes: Vec<(usize, usize)> = Vec::new();
    for (index, pair) in question.widths.windows(2).enumerate() {
        let (fan_in, fan_out) = (pair[0], pair[1]);
        if !init.depends_on_layer() && shapes.contains(&(fan_in, fan_out)) && shapes.len() == 1 {
            continue;
        }
        shapes.push((fan_in, fan_out));
        let site = Site::dense(fan_in, fan_out, index + 1, depth, act);
        let law = WeightMoments::of(fan_in, fan_out, &init.weights(&site)?, &init.bias(&site)?);
        laws.push(law.filter(|_| init.procedure().is_none()));
    }
    Ok(of(question, depth, &laws))
}

/// Nothing but the name, and why there is no more.
pub fn unknown(question: &Question, why: &str) -> Current {
    Current {
        init: question.init.name.clone(),
        sigma_w2: None,
        sigma_b2: None,
        phase: None,
        q_star: None,
        chi1: None,
        decades: None,
        xi_q: None,
        xi_c: None,
        depths: None,
        forward: Change::default(),
        backward: Change::default(),
        why: BTreeMap::from([("sigma_w2".into(), why.into())]),
    }
}

/// Mean-field numbers of a stack with these laws.
pub fn of(question: &Question, depth: usize, laws: &[Option<WeightMoments>]) -> Current {
    let mut logs = Vec::new();
    let mut biases = Vec::new();
    let mut fault = None;
    for law in laws {
        match law.map(|law| law.gains()) {
            None => fault = Some("its layers have no n·Var(W)"),
            Some(None) => fault = Some("its weights or biases have a mean"),
            Some(Some((sigma_w2, sigma_b2))) => {
                logs.push(sigma_w2.ln());
                biases.push(sigma_b2);
            }
        }
    }
    if let Some(fault) = fault {
        return unknown(question, fault);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (sigma_w2, sigma_b2) = (mean(&logs).exp(), mean(&biases));
    if !(sigma_w2 <= 1e12 && sigma_b2 <= 1e12) {
        return unknown(question, "beyond what theory follows");
    }
    let mut why = BTreeMap::new();
    let s = MeanField { act: question.act, sigma_w2, sigma_b2 }.summary();
    let mut known = |name: &str, answer: crate::theory::meanfield::Answer| match answer {
        Ok(value) => Some(value).filter(|x| x.is_finite()),
        Err(missing) => {
            why.insert(name.into(), missing.words().into());
            None
        }
    };
    let (q_star, chi1) = (known("q_star", s.q_star), known("chi1", s.chi1));
    let (xi_q, xi_c) = (known("xi_q", s.xi_q), known("xi_c", s.xi_c));
    Current {
        sigma_w2: Some(sigma_w2),
        sigma_b2: Some(sigma_b2),
        phase: s.phase,
        q_star,
        chi1,
        decades: chi1.map(f64::log10).filter(|x| x.is_finite()),
        xi_q,
        xi_c,
        depths: xi_c.map(|xi| depth as f64 / xi).filter(|x| x.is_finite()),
        why,
        ..unknown(question, "")
    }
}
