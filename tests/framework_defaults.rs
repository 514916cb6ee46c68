//! `torch-default`, `keras-default` and `flax-default` against what the modules of PyTorch, Keras and Flax themselves draw: statistics of
//! every parameter as it is exported, beside those that `tests/torch/defaults.py` has taken (PyTorch 2.15, Keras 3.15, Flax 0.12).

use initdiag::activation::Activation;
use initdiag::frontend::toml::Architecture;
use initdiag::graph::{Laws, export};
use initdiag::initializer::Initializer;
use initdiag::numeric::product::Threads;
use initdiag::numeric::stream::Key;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The classes that work on images.
const IMAGES: &str = r#"
    input = { shape = [3, 12, 12] }
    layer = [
        { type = "conv2d", out = 64, kernel = 5 },
        { type = "conv2d", name = "depthwise", out = 64, kernel = 5, groups = 64 },
        { type = "prelu" },
        { type = "batchnorm" },
        { type = "conv-transpose2d", out = 32, kernel = 3 },
        { type = "avgpool" },
        { type = "flatten" },
        { type = "linear", name = "head", out = 40 },
    ]"#;

/// Those that work on sequences; Keras draws its gates together.
fn sequences(packed: bool) -> String {
    format!(
        r#"
    input = {{ tokens = 500, length = 3 }}
    layer = [
        {{ type = "embedding", out = 96 }},
        {{ type = "layernorm" }},
        {{ type = "attention", heads = 4 }},
        {{ type = "rnn", out = 96 }},
        {{ type = "lstm", out = 96, packed = {packed} }},
        {{ type = "gru", out = 96, packed = {packed} }},
    ]"#
    )
}

/// Statistics of a parameter's entries.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Statistics {
    count: usize,
    mean: f64,
    variance: f64,
    low: f64,
    high: f64,
}

impl Statistics {
    fn of(values: &[f32]) -> Self {
        let all = || values.iter().map(|x| f64::from(*x));
        let count = values.len();
        let mean = all().sum::<f64>() / count as f64;
        let variance = all().map(|x| (x - mean).powi(2)).sum::<f64>() / count as f64;
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        Self { count, mean, variance, low, high }
    }

    /// How far two samples of one law lie apart: their variances, means and extremes, in units of what chance allows.
    ///
    /// A law without heavy tails has a fourth moment of at most three squared variances, so the variance of n entries scatters by no
    /// more than √(2/n) of itself; the mean by √(variance/n). An end of a uniform law is missed by more than 2ε of its half-width
    /// with probability (1 − ε)ⁿ; one of a normal law cut at two standard deviations has 0.11 of that density at its ends. Normal laws
    /// have no ends, and wander as far as 6 std.
    fn apart(&self, other: &Self) -> f64 {
        if self.variance == 0.0 || other.variance == 0.0 {
            let equal = self.variance == other.variance && (self.mean - other.mean).abs() < 1e-7;
            return if equal { 0.0 } else { f64::INFINITY };
        }
        let inverse = 1.0 / self.count as f64 + 1.0 / other.count as f64;
        let variance = (self.variance / other.variance).ln().abs() / (2.0 * inverse).sqrt();
        let mean = (self.mean - other.mean).abs() / (self.variance.max(other.variance) * inverse).sqrt();
        let std = other.variance.sqrt();
        let reach = |of: &Self| of.high.max(-of.low) / std;
        let (ours, theirs) = (reach(self), reach(other));
        // Uniform: √3; cut at two and widened: 2.27; beyond that, none that counts.
        let ends = if ours.max(theirs) < 2.4 { (ours - theirs).abs() / (130.0 * inverse) } else { 0.0 };
        // As many units as a standard deviation of the others.
        (variance / CHANCE).max(mean / CHANCE).max(ends)
    }
}

/// Standard deviations between two samples of one law. Another seed would pass it in one of the four hundred comparisons here by chance
/// once in some four thousand.
const CHANCE: f64 = 5.0;

fn drawn(text: &str, init: &str) -> BTreeMap<String, Statistics> {
    let architecture = Architecture::parse(text).unwrap();
    let init = Initializer::parse_for_net(init).unwrap();
    let act = Arc::new(Activation::parse("tanh").unwrap());
    let graph = architecture.with_laws(&Laws { init: &init, bias: None, act: &act, overrides: &[] }).unwrap();
    let context = graph.context::<f32>(Key { seed: 7, trial: 0, layer: 0 }, 1, Threads::One);
    let all = export::named(&graph, &graph.arrays(&context));
    all.into_iter().map(|array| (array.name, Statistics::of(&array.values))).collect()
}

fn golden() -> BTreeMap<String, BTreeMap<String, Statistics>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/defaults.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ours(framework: &str) -> BTreeMap<String, Statistics> {
    let mut all = drawn(IMAGES, framework);
    all.append(&mut drawn(&sequences(framework == "keras-default"), framework));
    all
}

/// Parameters of one framework drawn by the default of another, or by its own, that lie apart.
fn differing(ours: &BTreeMap<String, Statistics>, theirs: &BTreeMap<String, Statistics>) -> Vec<String> {
    assert!(ours.keys().eq(theirs.keys()), "{:?}\n{:?}", ours.keys(), theirs.keys());
    let apart = |(name, ours): (&String, &Statistics)| {
        let theirs = &theirs[name];
        // Keras has a slope for each channel, the others one.
        assert!(ours.count == theirs.count || name.starts_with("prelu"), "{name}: {ours:?} {theirs:?}");
        (ours.apart(theirs) > 1.0).then(|| format!("{name}: {ours:?} {theirs:?}"))
    };
    ours.iter().filter_map(apart).collect()
}

#[test]
fn every_class_is_drawn_as_its_framework_draws_it() {
    for (framework, theirs) in golden() {
        let differing = differing(&ours(&framework), &theirs);
        assert!(differing.is_empty(), "{framework}: {differing:#?}");
    }
}

#[test]
fn another_framework_is_told_apart() {
    let golden = golden();
    for framework in golden.keys() {
        let ours = ours(framework);
        for (other, theirs) in golden.iter().filter(|(other, _)| *other != framework) {
            let count = differing(&ours, theirs).len();
            // All weights but a few that two share, and the biases of PyTorch's.
            assert!(count >= 10, "{framework} and {other}: {count} differ");
        }
    }
}

/// A factor of √1.1 on the std of every law is found in nearly every weight.
#[test]
fn a_tenth_of_the_variance_is_found() {
    for (framework, theirs) in golden() {
        let scaled = ours(&framework).into_iter().map(|(name, s)| {
            let root = 1.1f64.sqrt();
            let (mean, variance) = (s.mean * root, s.variance * 1.1);
            (name, Statistics { mean, variance, low: s.low * root, high: s.high * root, ..s })
        });
        let scaled: BTreeMap<_, _> = scaled.collect();
        let weights = scaled.keys().filter(|name| name.contains("weight") && !name.contains("norm")).count();
        let found = differing(&scaled, &theirs).iter().filter(|row| row.contains("weight")).count();
        assert!(found + 2 >= weights, "{framework}: {found} of {weights} weights");
    }
}
