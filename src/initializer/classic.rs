//! Initializers of the literature, and the plain laws from which users write their own.

use super::catalog::{Entry, Parameter, ParameterKind};
use super::{Site, Values};
use crate::expectation::critical;
use crate::law::Law;

/// std of a standard normal cut at ±2 (Keras, JAX).
pub const CUT_AT_TWO: f64 = 0.879_625_661_034_239_8;

pub const fn number(name: &'static str, default: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Number(default) }
}

pub const fn word(name: &'static str, choices: &'static [&'static str]) -> Parameter {
    Parameter { name, kind: ParameterKind::Word(choices) }
}

pub const fn optional(name: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Optional }
}

/// N(0, variance).
pub fn normal(variance: f64) -> Result<Law, String> {
    Ok(Law::Normal { mean: 0.0, std: root(variance)? })
}

/// U[−r, r) with this variance, r²/3.
pub fn uniform(variance: f64) -> Result<Law, String> {
    symmetric(root(3.0 * variance)?)
}

/// U[−limit, limit).
pub fn symmetric(limit: f64) -> Result<Law, String> {
    Ok(Law::Uniform { low: -limit, high: limit })
}

/// N(mean, std²) of an entry's first two parameters.
pub fn mean_and_std(values: &Values, _: &Site) -> Result<Law, String> {
    Ok(Law::Normal { mean: values.number(0), std: values.number(1) })
}

/// Its n·Var.
pub fn n_squared_std(values: &Values, site: &Site) -> f64 {
    site.fan_in as f64 * values.number(1).powi(2)
}

/// U[low, high) of an entry's first two parameters.
pub fn low_and_high(values: &Values, _: &Site) -> Result<Law, String> {
    Ok(Law::Uniform { low: values.number(0), high: values.number(1) })
}

/// Its n·Var.
pub fn n_variance_between(values: &Values, site: &Site) -> f64 {
    site.fan_in as f64 * (values.number(1) - values.number(0)).powi(2) / 12.0
}

/// Truncated at ±2 std of the parent and widened so that the variance is right (Keras, JAX).
pub fn truncated(variance: f64) -> Result<Law, String> {
    let std = root(variance)? / CUT_AT_TWO;
    Ok(Law::TruncatedNormal { mean: 0.0, std, low: -2.0 * std, high: 2.0 * std })
}

fn root(variance: f64) -> Result<f64, String> {
    if variance < 0.0 { Err(format!("the variance {variance} is negative")) } else { Ok(variance.sqrt()) }
}

pub fn xavier_variance(site: &Site) -> f64 {
    2.0 / (site.fan_in as f64 + site.fan_out as f64)
}

/// n·Var of Xavier: 1 for a square layer.
pub fn xavier_nominal(_: &Values, site: &Site) -> f64 {
    site.fan_in as f64 * xavier_variance(site)
}

/// n·Var of He for ReLU.
pub fn he_nominal(_: &Values, _: &Site) -> f64 {
    2.0
}

/// The fan of a mode's name.
pub fn fan(mode: &str, site: &Site) -> f64 {
    let (i, o) = (site.fan_in as f64, site.fan_out as f64);
    match mode {
        "fan_out" => o,
        "fan_avg" => f64::midpoint(i, o),
        "fan_geo_avg" => (i * o).sqrt(),
        _ => i,
    }
}

const HE: &[Parameter] = &[word("mode", &["fan_in", "fan_out"]), number("a", "0"), optional("gain")];

/// gain²/fan; without a gain, 2/(1 + a²) for a leaky slope a.
fn he_variance(values: &Values, site: &Site) -> f64 {
    let a = values.number(1);
    let squared_gain = values.option(2).map_or(2.0 / (1.0 + a * a), |gain| gain * gain);
    squared_gain / fan(values.word(0), site)
}

const SCALING: &[Parameter] = &[
    number("scale", "1"),
    word("mode", &["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]),
    word("distribution", &["truncated_normal", "normal", "untruncated_normal", "uniform"]),
];

fn scaling_variance(values: &Values, site: &Site) -> f64 {
    values.number(0) / fan(values.word(1), site)
}

fn squared_gain_xavier(values: &Values, site: &Site) -> f64 {
    values.number(0).powi(2) * xavier_variance(site)
}

fn critical_point(values: &Values, site: &Site) -> Result<critical::CriticalPoint, String> {
    let (sigma_b2, q) = (values.option(0), values.option(1));
    if let Some(b) = sigma_b2.filter(|b| *b < 0.0) {
        return Err(format!("sigma_b2 = {b} is negative"));
    }
    if let Some(q) = q.filter(|q| *q <= 0.0) {
        return Err(format!("q = {q} is not positive"));
    }
    let point = match (sigma_b2, q) {
        (None, None) => critical::nearest_to_unit_variance(site.act),
        (Some(b), None) => critical::at_bias(site.act, b),
        (None, Some(q)) => critical::at_variance(site.act, q),
        (Some(sigma_b2), Some(q)) => critical::with_bias_at(site.act, sigma_b2, q),
    };
    point.ok_or_else(|| format!("{} has no critical point there", site.act.name))
}

/// Fixup's rules 1 and 2; the scalars of rule 3 start at 1 and 0.
fn fixup(_: &Values, site: &Site) -> Result<Law, String> {
    let he = 2.0 / site.fan_in as f64;
    match site.place.branch {
        _ if site.layer == site.depth => normal(0.0),
        None => normal(he),
        Some((place, of)) if place + 1 == of => normal(0.0),
        Some((_, of)) => {
            let power = -1.0 / (2.0 * of as f64 - 2.0);
            normal(he * (site.place.branches as f64).powf(2.0 * power))
        }
    }
}

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "zeros",
        aliases: &["zero"],
        law: "every weight 0",
        source: "PyTorch zeros_, Keras Zeros",
        weights: |_, _| Ok(Law::Constant(0.0)),
        nominal: Some(|_, _| 0.0),
        ..Entry::BASE
    },
    Entry {
        name: "ones",
        aliases: &["one"],
        law: "every weight 1",
        source: "PyTorch ones_, Keras Ones",
        weights: |_, _| Ok(Law::Constant(1.0)),
        nominal: Some(|_, _| 0.0),
        ..Entry::BASE
    },
    Entry {
        name: "constant",
        aliases: &["const"],
        parameters: &[number("v", "0.02")],
        law: "every weight v",
        source: "PyTorch constant_, Keras Constant",
        weights: |v, _| Ok(Law::Constant(v.number(0))),
        nominal: Some(|_, _| 0.0),
        ..Entry::BASE
    },
    Entry {
        name: "normal",
        aliases: &["gaussian", "random-normal"],
        parameters: &[number("mean", "0"), number("std", "0.05")],
        law: "N(mean, std²)",
        source: "Keras RandomNormal",
        weights: mean_and_std,
        nominal: Some(n_squared_std),
        ..Entry::BASE
    },
    Entry {
        name: "uniform",
        aliases: &["random-uniform"],
        parameters: &[number("lo", "-0.05"), number("hi", "0.05")],
        law: "U[lo, hi)",
        source: "Keras RandomUniform",
        weights: low_and_high,
        nominal: Some(n_variance_between),
        ..Entry::BASE
    },
    Entry {
        name: "mean-normal",
        parameters: &[number("mean", "1"), number("std", "0.01")],
        law: "N(mean, std²) about 1",
        source: "tutorials on initialization",
        weights: mean_and_std,
        nominal: Some(n_squared_std),
        ..Entry::BASE
    },
    Entry {
        name: "truncated-normal",
        aliases: &["trunc-normal"],
        parameters: &[number("mean", "0"), number("std", "0.05")],
        law: "N(mean, std²) cut at ±2 std of the parent",
        source: "Keras TruncatedNormal",
        weights: |v, _| {
            let (mean, std) = (v.number(0), v.number(1));
            Ok(Law::TruncatedNormal { mean, std, low: mean - 2.0 * std.abs(), high: mean + 2.0 * std.abs() })
        },
        nominal: Some(n_squared_std),
        ..Entry::BASE
    },
    Entry {
        name: "lecun-normal",
        aliases: &["lecun", "untruncated-normal"],
        law: "N(0, 1/fan_in)",
        source: "LeCun et al. 1998, eq. 16; Klambauer et al. 2017",
        weights: |_, s| normal(1.0 / s.fan_in as f64),
        nominal: Some(|_, _| 1.0),
        ..Entry::BASE
    },
    Entry {
        name: "lecun-uniform",
        law: "U(±√(3/fan_in))",
        source: "LeCun et al. 1998, eq. 16",
        weights: |_, s| uniform(1.0 / s.fan_in as f64),
        nominal: Some(|_, _| 1.0),
        ..Entry::BASE
    },
    Entry {
        name: "xavier-normal",
        aliases: &["xavier", "glorot-normal"],
        parameters: &[number("gain", "1")],
        law: "N(0, gain²·2/(fan_in + fan_out))",
        source: "Glorot & Bengio 2010, eq. 12",
        weights: |v, s| normal(squared_gain_xavier(v, s)),
        nominal: Some(|v, s| s.fan_in as f64 * squared_gain_xavier(v, s)),
        ..Entry::BASE
    },
    Entry {
        name: "xavier-uniform",
        aliases: &["glorot", "glorot-uniform"],
        parameters: &[number("gain", "1")],
        law: "U(±gain·√(6/(fan_in + fan_out)))",
        source: "Glorot & Bengio 2010, eq. 16",
        weights: |v, s| uniform(squared_gain_xavier(v, s)),
        nominal: Some(|v, s| s.fan_in as f64 * squared_gain_xavier(v, s)),
        ..Entry::BASE
    },
    Entry {
        name: "he-normal",
        aliases: &["he", "kaiming", "kaiming-normal"],
        parameters: HE,
        law: "N(0, 2/((1 + a²)·fan)), or gain²/fan",
        source: "He et al. 2015, eq. 10 and 15",
        weights: |v, s| normal(he_variance(v, s)),
        nominal: Some(|v, s| s.fan_in as f64 * he_variance(v, s)),
        ..Entry::BASE
    },
    Entry {
        name: "he-uniform",
        aliases: &["kaiming-uniform"],
        parameters: HE,
        law: "U(±√(6/((1 + a²)·fan))), or gain·√(3/fan)",
        source: "He et al. 2015; PyTorch kaiming_uniform_",
        weights: |v, s| uniform(he_variance(v, s)),
        nominal: Some(|v, s| s.fan_in as f64 * he_variance(v, s)),
        ..Entry::BASE
    },
    Entry {
        name: "glorot-standard",
        law: "U(±1/√fan_in)",
        source: "Glorot & Bengio 2010, eq. 1 (the heuristic before theirs)",
        weights: |_, s| uniform(1.0 / (3.0 * s.fan_in as f64)),
        nominal: Some(|_, _| 1.0 / 3.0),
        ..Entry::BASE
    },
    Entry {
        name: "variance-scaling",
        parameters: SCALING,
        law: "variance scale/fan; truncated normal, normal or uniform",
        source: "JAX variance_scaling; Keras VarianceScaling",
        weights: |v, s| {
            let variance = scaling_variance(v, s);
            match v.word(2) {
                "uniform" => uniform(variance),
                "normal" | "untruncated_normal" => normal(variance),
                _ => truncated(variance),
            }
        },
        nominal: Some(|v, s| s.fan_in as f64 * scaling_variance(v, s)),
        ..Entry::BASE
    },
    Entry {
        name: "critical",
        parameters: &[optional("sigma_b2"), optional("q")],
        law: "N(0, σ_w²/fan_in), biases N(0, σ_b²), where χ₁ = 1 for the activation in use",
        source: "Schoenholz et al. 2017, eq. 5",
        weights: |v, s| normal(critical_point(v, s)?.sigma_w2 / s.fan_in as f64),
        bias: Some(|v, s| normal(critical_point(v, s)?.sigma_b2)),
        nominal: Some(|v, s| critical_point(v, s).map_or(f64::NAN, |point| point.sigma_w2)),
        ..Entry::BASE
    },
    Entry {
        name: "mup",
        aliases: &["mu-p"],
        law: "N(0, 1/fan_in), last layer N(0, 1/fan_in²)",
        source: "Yang & Hu 2021; Yang et al. 2022, table 8",
        weights: |_, s| normal((s.fan_in as f64).powi(if s.layer == s.depth { -2 } else { -1 })),
        nominal: Some(|_, s| if s.layer == s.depth { 1.0 / s.fan_in as f64 } else { 1.0 }),
        depends_on_layer: true,
        ..Entry::BASE
    },
    Entry {
        name: "fixup",
        law: "He; in residual branches of m layers its std times branches^(−1/(2m−2)), their last layer and the network's 0",
        source: "Zhang et al. 2019, § 3",
        weights: fixup,
        not_dense: Some(
            "is defined for residual branches, which a plain stack has not; `he` is its law without them",
        ),
        ..Entry::BASE
    },
    Entry {
        name: "depth-scaled",
        parameters: &[number("scale", "2")],
        law: "N(0, scale/fan_in), the last layer of each residual branch divided by √branches",
        source: "Radford et al. 2019, § 2.3",
        weights: |v, s| {
            let branches = if s.place.is_projection() { s.place.branches.max(1) } else { 1 };
            normal(v.number(0) / (s.fan_in as f64 * branches as f64))
        },
        not_dense: Some(
            "is defined for residual branches, which a plain stack has not; write the law, such as `normal(0, 0.02/sqrt(2*depth))`",
        ),
        ..Entry::BASE
    },
];
