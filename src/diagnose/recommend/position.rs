//! A law for each parameter of a network from its place: what follows it decides how large it must be.
//!
//! A layer whose output goes into an activation has to make up for what the activation takes of the signal and of the gradient (He et al.
//! 2015, § 2.2); one without has not; the last of a residual branch is divided by the number of branches, so that all of them together add
//! what one would (Hayou et al. 2021, arXiv:2010.12859).

use crate::activation::Activation;
use crate::expectation::{second_moment, squared_slope};
use crate::graph::Graph;
use crate::law::short;
use crate::op::{Nature, Parameter, Role};
use wildmatch::WildMatch;

/// The law of what no pattern names.
pub const BASE: &str = "lecun-normal";
/// Scales of activations outside of this are no scales.
const SCALES: std::ops::Range<f64> = 1e-3..1e3;

/// Weights of one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaled {
    /// Of their names: `block*/conv1/weight`.
    pub pattern: String,
    /// fan_in·Var(W).
    pub scale: f64,
}

impl Scaled {
    /// As `--set` takes it.
    pub fn option(&self) -> String {
        format!("{}=normal(0, sqrt({}/fan_in))", self.pattern, short(self.scale))
    }
}

/// fan_in·Var(W) before an activation: the mean, of equal errors both ways, of what keeps the signal and what keeps the gradient at unit
/// variance.
fn before(act: &Activation) -> f64 {
    let scale = (second_moment(act, 1.0) * squared_slope(act, 1.0)).sqrt().recip();
    let rounded = (scale * 1e4).round() / 1e4;
    if SCALES.contains(&rounded) { rounded } else { 1.0 }
}

/// The activation that takes a parameter's product, if one does; a norm behind it makes its scale no matter.
fn behind(graph: &Graph, place: usize) -> Option<&Activation> {
    let node = graph.nodes.iter().find(|node| node.parameters.contains(&place))?;
    let mut value = *node.outputs.first()?;
    loop {
        let mut users = graph.nodes.iter().filter(|node| node.inputs.contains(&value));
        let user = users.next().filter(|_| users.next().is_none())?;
        match user.operator.nature() {
            Nature::Pointwise(act) => return Some(act),
            Nature::Passing | Nature::Flatten => value = *user.outputs.first()?,
            _ => return None,
        }
    }
}

/// fan_in·Var(W) of a parameter at its place.
fn scale(graph: &Graph, place: usize, parameter: &Parameter) -> f64 {
    let act = behind(graph, place).map_or(1.0, before);
    let branches = graph.residual_branches();
    let ends = parameter
        .branch
        .is_some_and(|(branch, layers)| graph.branches.get(branch).is_some_and(|all| layers + 1 == *all));
    if ends { act / branches.max(1) as f64 } else { act }
}

/// Weights that a choice of the initializer reaches: no table of tokens, no gates, nothing that the file gives a law.
fn is_free(parameter: &Parameter) -> bool {
    let fed = !matches!(parameter.role, Role::Embedding | Role::Position | Role::Gate | Role::Recurrent);
    fed && parameter.is_own() && parameter.init.is_none()
}

/// The scales of all weights that are not those of [`BASE`], like names together.
pub fn scales(graph: &Graph) -> Vec<Scaled> {
    let all: Vec<(String, f64)> = graph
        .parameters
        .iter()
        .enumerate()
        .filter(|(_, parameter)| is_free(parameter))
        .map(|(place, parameter)| (parameter.name(), scale(graph, place, parameter)))
        .collect();
    let mut found: Vec<Scaled> = Vec::new();
    for (name, scale) in all.iter().filter(|(_, scale)| *scale != 1.0) {
        let general = pattern(name);
        if found.iter().any(|scaled| scaled.pattern == general) {
            continue;
        }
        // A pattern that reaches a name of another scale is none: `*` stands for slashes too.
        let reach = WildMatch::new(&general);
        let alike = all.iter().filter(|(other, _)| reach.matches(other)).all(|(_, other)| other == scale);
        found.push(Scaled { pattern: if alike { general } else { name.clone() }, scale: *scale });
    }
    found
}

/// A name with `*` in place of each number.
fn pattern(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '0'..='9' if pattern.ends_with('*') => {}
            '0'..='9' => pattern.push('*'),
            c => pattern.push(c),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::toml::{Architecture, graph};
    use std::sync::Arc;

    fn of(layers: &str) -> Vec<(String, f64)> {
        let text = format!("input = {{ shape = [16] }}\nlayer = [{layers}]");
        let relu = Arc::new(Activation::parse("relu").unwrap());
        let net = graph(&Architecture::parse(&text).unwrap(), &relu).unwrap();
        scales(&net).into_iter().map(|scaled| (scaled.pattern, scaled.scale)).collect()
    }

    #[test]
    fn what_follows_decides() {
        let pairs = r#"{ type = "repeat", times = 3, layers = [
            { type = "linear", name = "one", out = 16 }, { type = "linear", name = "two", out = 16 }, { type = "act" },
        ] }, { type = "linear", name = "head", out = 4 }"#;
        assert_eq!(of(pairs), [("two*/weight".to_string(), 2.0)]);
        let residual = r#"{ type = "repeat", times = 8, layers = [{ type = "residual", layers = [
            { type = "act" }, { type = "linear", name = "one", out = 16 }, { type = "act" }, { type = "linear", name = "two", out = 16 },
        ] }] }"#;
        assert_eq!(
            of(residual),
            [("block*/one/weight".to_string(), 2.0), ("block*/two/weight".to_string(), 0.125)]
        );
        // A norm behind a layer makes its scale no matter, and a table of tokens is left alone.
        let normed = r#"{ type = "linear", out = 16 }, { type = "layernorm" }, { type = "act", fn = "tanh" }, { type = "linear", out = 4 }"#;
        assert_eq!(of(normed), []);
        // One place of several like names is told apart.
        // So it is where a pattern would reach into a shortcut, whose layer nothing follows.
        let conv = r#"{ type = "linear", name = "conv1", out = 16 }"#;
        let shortcut = format!(
            r#"{{ type = "residual", layers = [{conv}, {{ type = "act" }}, {{ type = "linear", name = "last", out = 16 }}], shortcut = [{conv}] }}"#
        );
        assert_eq!(of(&shortcut), [("block1/conv1/weight".to_string(), 2.0)]);
        let mixed = r#"{ type = "linear", out = 16 }, { type = "act" }, { type = "linear", out = 16 }, { type = "linear", out = 4 }"#;
        assert_eq!(of(mixed), [("linear1/weight".to_string(), 2.0)]);
    }

    #[test]
    fn an_activation_takes_as_much_both_ways() {
        let scale = |act: &str| before(&Activation::parse(act).unwrap());
        assert_eq!([scale("relu"), scale("linear")], [2.0, 1.0]);
        // 1/√(E tanh²·E tanh′²) at unit variance, 0.394294 and 0.464404 (SCIENCE, mean field).
        assert!((scale("tanh") - 2.3369).abs() < 2e-4, "{}", scale("tanh"));
    }
}
