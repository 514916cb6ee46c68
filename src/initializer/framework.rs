//! What a framework's layer gets when its user says nothing, and what the frameworks' own initializers draw.

use super::catalog::{Entry, Group, Parameter};
use super::classic::{
    fan, low_and_high, mean_and_std, n_squared_std, n_variance_between, normal, number, symmetric, truncated,
    uniform, word, xavier_nominal, xavier_variance,
};
use super::{Site, Values};
use crate::law::Law;

/// U(±1/√fan_in): the bias of most linear layers.
pub fn inverse_root(_: &Values, site: &Site) -> Result<Law, String> {
    symmetric(1.0 / (site.fan_in as f64).sqrt())
}

/// The layer with the fans that Keras counts: the kernel of its DepthwiseConv2D is (height, width, channels, multiplier), so the
/// channels are fan-in though no output sees more than one (Keras initializers/random_initializers.py, compute_fans).
pub fn in_keras<'a>(site: &Site<'a>) -> Site<'a> {
    let groups = site.place.groups;
    if groups < 2 || site.place.width != Some(groups) {
        return *site;
    }
    Site { fan_in: site.fan_in.saturating_mul(groups), fan_out: site.fan_out / groups, ..*site }
}

/// n·Var with n the fan-in, of a variance that Keras makes of its own.
fn of_keras(site: &Site, n_variance: f64) -> f64 {
    n_variance * site.fan_in as f64 / in_keras(site).fan_in as f64
}

/// In the order of kaiming_normal_ and kaiming_uniform_.
const KAIMING: &[Parameter] = &[
    number("a", "0"),
    word("mode", &["fan_in", "fan_out"]),
    word(
        "nonlinearity",
        &["leaky_relu", "relu", "tanh", "sigmoid", "selu", "linear", "conv1d", "conv2d", "conv3d"],
    ),
];

/// gain²/fan with PyTorch's calculate_gain(nonlinearity, a).
fn kaiming_variance(values: &Values, site: &Site) -> f64 {
    let a = values.number(0);
    let squared_gain = match values.word(2) {
        "leaky_relu" => 2.0 / (1.0 + a * a),
        "relu" => 2.0,
        "tanh" => 25.0 / 9.0,
        "selu" => 9.0 / 16.0,
        _ => 1.0,
    };
    squared_gain / fan(values.word(1), site)
}

const BASE: Entry = Entry { group: Group::Framework, ..Entry::BASE };

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "torch-linear",
        aliases: &["torch", "pytorch"],
        law: "kaiming-uniform with a = √5, which is U(±1/√fan_in); bias U(±1/√fan_in)",
        source: "PyTorch nn/modules/linear.py, Linear.reset_parameters",
        weights: inverse_root,
        bias: Some(inverse_root),
        nominal: Some(|_, _| 1.0 / 3.0),
        ..BASE
    },
    Entry {
        name: "torch-conv",
        law: "kaiming-uniform with a = √5, which is U(±1/√fan_in); bias U(±1/√fan_in)",
        source: "PyTorch nn/modules/conv.py, _ConvNd.reset_parameters",
        weights: inverse_root,
        bias: Some(inverse_root),
        nominal: Some(|_, _| 1.0 / 3.0),
        ..BASE
    },
    Entry {
        name: "torch-normal",
        parameters: &[number("mean", "0"), number("std", "1")],
        law: "N(mean, std²)",
        source: "PyTorch nn/init.py, normal_",
        weights: mean_and_std,
        nominal: Some(n_squared_std),
        ..BASE
    },
    Entry {
        name: "torch-uniform",
        parameters: &[number("a", "0"), number("b", "1")],
        law: "U[a, b)",
        source: "PyTorch nn/init.py, uniform_",
        weights: low_and_high,
        nominal: Some(n_variance_between),
        ..BASE
    },
    Entry {
        name: "torch-kaiming-normal",
        parameters: KAIMING,
        law: "N(0, gain²/fan), the gain that of the nonlinearity",
        source: "PyTorch nn/init.py, kaiming_normal_ and calculate_gain",
        weights: |v, s| normal(kaiming_variance(v, s)),
        nominal: Some(|v, s| s.fan_in as f64 * kaiming_variance(v, s)),
        ..BASE
    },
    Entry {
        name: "torch-kaiming-uniform",
        parameters: KAIMING,
        law: "U(±gain·√(3/fan)), the gain that of the nonlinearity",
        source: "PyTorch nn/init.py, kaiming_uniform_ and calculate_gain",
        weights: |v, s| uniform(kaiming_variance(v, s)),
        nominal: Some(|v, s| s.fan_in as f64 * kaiming_variance(v, s)),
        ..BASE
    },
    Entry {
        name: "torch-xavier-normal",
        parameters: &[number("gain", "1")],
        law: "N(0, gain²·2/(fan_in + fan_out))",
        source: "PyTorch nn/init.py, xavier_normal_",
        weights: |v, s| normal(v.number(0).powi(2) * xavier_variance(s)),
        nominal: Some(|v, s| v.number(0).powi(2) * s.fan_in as f64 * xavier_variance(s)),
        ..BASE
    },
    Entry {
        name: "torch-trunc-normal",
        parameters: &[number("mean", "0"), number("std", "1"), number("a", "-2"), number("b", "2")],
        law: "N(mean, std²) cut to [a, b]: absolute bounds, so std = 0.02 is not cut at all",
        source: "PyTorch nn/init.py, trunc_normal_",
        weights: |v, _| {
            Ok(Law::TruncatedNormal {
                mean: v.number(0),
                std: v.number(1),
                low: v.number(2),
                high: v.number(3),
            })
        },
        nominal: Some(n_squared_std),
        ..BASE
    },
    Entry {
        name: "keras-dense",
        aliases: &["keras", "tensorflow-dense"],
        law: "U(±√(6/(fan_in + fan_out))); bias 0",
        source: "Keras layers/core/dense.py, GlorotUniform",
        weights: |_, s| uniform(xavier_variance(&in_keras(s))),
        nominal: Some(|v, s| of_keras(s, xavier_nominal(v, &in_keras(s)))),
        ..BASE
    },
    Entry {
        name: "keras-glorot-normal",
        law: "N cut at ±2 std, widened to variance 2/(fan_in + fan_out)",
        source: "Keras initializers/random_initializers.py, GlorotNormal",
        weights: |_, s| truncated(xavier_variance(&in_keras(s))),
        nominal: Some(|v, s| of_keras(s, xavier_nominal(v, &in_keras(s)))),
        ..BASE
    },
    Entry {
        name: "keras-he-normal",
        law: "N cut at ±2 std, widened to variance 2/fan_in",
        source: "Keras initializers/random_initializers.py, HeNormal",
        weights: |_, s| truncated(2.0 / in_keras(s).fan_in as f64),
        nominal: Some(|_, s| of_keras(s, 2.0)),
        ..BASE
    },
    Entry {
        name: "keras-lecun-normal",
        law: "N cut at ±2 std, widened to variance 1/fan_in",
        source: "Keras initializers/random_initializers.py, LecunNormal",
        weights: |_, s| truncated(1.0 / in_keras(s).fan_in as f64),
        nominal: Some(|_, s| of_keras(s, 1.0)),
        ..BASE
    },
    Entry {
        name: "keras-random-normal",
        parameters: &[number("mean", "0"), number("stddev", "0.05")],
        law: "N(mean, stddev²)",
        source: "Keras initializers/random_initializers.py, RandomNormal",
        weights: mean_and_std,
        nominal: Some(n_squared_std),
        ..BASE
    },
    Entry {
        name: "keras-truncated-normal",
        parameters: &[number("mean", "0"), number("stddev", "0.05")],
        law: "N(mean, stddev²) cut at ±2 stddev and not widened: the real std is 0.8796·stddev",
        source: "Keras initializers/random_initializers.py, TruncatedNormal",
        weights: |v, _| {
            let (mean, std) = (v.number(0), v.number(1));
            Ok(Law::TruncatedNormal { mean, std, low: mean - 2.0 * std.abs(), high: mean + 2.0 * std.abs() })
        },
        nominal: Some(n_squared_std),
        ..BASE
    },
    Entry {
        name: "jax-lecun-normal",
        aliases: &["flax-dense"],
        law: "N cut at ±2 std, widened to variance 1/fan_in",
        source: "JAX nn/initializers.py, lecun_normal (Flax Dense's default)",
        weights: |_, s| truncated(1.0 / s.fan_in as f64),
        nominal: Some(|_, _| 1.0),
        ..BASE
    },
    Entry {
        name: "jax-uniform",
        parameters: &[number("scale", "0.01")],
        law: "U[0, scale): one-sided, its mean scale/2 outweighs its variance",
        source: "JAX nn/initializers.py, uniform",
        weights: |v, _| Ok(Law::Uniform { low: 0.0, high: v.number(0) }),
        nominal: Some(|v, s| s.fan_in as f64 * v.number(0).powi(2) / 12.0),
        ..BASE
    },
    Entry {
        name: "candle-linear",
        law: "N(0, 2/fan_in); bias U(±1/√fan_in)",
        source: "candle-nn src/linear.rs, DEFAULT_KAIMING_NORMAL",
        weights: |_, s| normal(2.0 / s.fan_in as f64),
        bias: Some(inverse_root),
        nominal: Some(|_, _| 2.0),
        ..BASE
    },
    Entry {
        name: "tch-linear",
        law: "U(±√(6/fan_in)); bias U(±1/√fan_in)",
        source: "tch src/nn/linear.rs, DEFAULT_KAIMING_UNIFORM",
        weights: |_, s| uniform(2.0 / s.fan_in as f64),
        bias: Some(inverse_root),
        nominal: Some(|_, _| 2.0),
        ..BASE
    },
    Entry {
        name: "burn-linear",
        law: "kaiming-uniform with gain 1/√3, which is U(±1/√fan_in); bias U(±1/√fan_in)",
        source: "burn-nn linear.rs, LinearConfig",
        weights: inverse_root,
        bias: Some(inverse_root),
        nominal: Some(|_, _| 1.0 / 3.0),
        ..BASE
    },
    Entry {
        name: "dfdx-linear",
        law: "U(±1/√fan_in); bias U(±1/√fan_in)",
        source: "dfdx nn/linear.rs, ResetParams",
        weights: inverse_root,
        bias: Some(inverse_root),
        nominal: Some(|_, _| 1.0 / 3.0),
        ..BASE
    },
    Entry {
        name: "gpt2",
        aliases: &["gpt-2"],
        law: "N(0, 0.02²); the last layer of each residual branch divided by √branches, which is √(2·blocks)",
        source: "Radford et al. 2019, § 2.3",
        weights: |_, s| {
            let branches = if s.place.is_projection() { s.place.branches.max(1) } else { 1 };
            Ok(Law::Normal { mean: 0.0, std: 0.02 / (branches as f64).sqrt() })
        },
        nominal: Some(|_, s| s.fan_in as f64 * 4e-4),
        ..BASE
    },
];
