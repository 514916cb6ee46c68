//! Lines that give every weight the scale of its place, by patterns of names.

use super::{Code, literal};
use crate::diagnose::recommend::position::Scaled;

/// N(0, scale/fan_in) where a name matches, N(0, 1/fan_in) elsewhere, biases 0; names as a framework has them.
pub fn code(scales: &[Scaled]) -> Code {
    Code {
        pytorch: pytorch(scales),
        keras: keras(scales),
        jax: jax(scales),
        burn: rust(scales, BURN),
        candle: rust(scales, CANDLE),
    }
}

const BURN: &str = "use burn::nn::Initializer;\n\n";
const CANDLE: &str = "use candle_nn::Init;\n\n";

/// The pattern of a layer's name: the path without the kind of the weights.
fn layer(scaled: &Scaled, separator: &str) -> String {
    scaled.pattern.trim_end_matches("/weight").replace('/', separator)
}

fn table(scales: &[Scaled], separator: &str) -> String {
    let row = |scaled: &Scaled| format!("    \"{}\": {},\n", layer(scaled, separator), literal(scaled.scale));
    format!(
        "# fan_in * Var(W) of the layers whose names match; 1 of all others. Names are those of the network's file: yours may differ.\n\
         SCALES = {{\n{}}}\n\n\ndef scale_of(name):\n    \
         return next((scale for pattern, scale in SCALES.items() if fnmatch(name, pattern)), 1.0)\n",
        scales.iter().map(row).collect::<String>()
    )
}

fn pytorch(scales: &[Scaled]) -> String {
    format!(
        "import math\nfrom fnmatch import fnmatch\n\nimport torch\n\n{}\n\n\
         def initialize(network):\n    for name, layer in network.named_modules():\n        \
         if isinstance(layer, (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)):\n            \
         fan_in = layer.weight[0].numel()\n            \
         torch.nn.init.normal_(layer.weight, mean=0.0, std=math.sqrt(scale_of(name) / fan_in))\n            \
         if layer.bias is not None:\n                torch.nn.init.zeros_(layer.bias)\n",
        table(scales, ".")
    )
}

fn keras(scales: &[Scaled]) -> String {
    format!(
        "from fnmatch import fnmatch\n\nimport keras\n\n{}\n\n\
         # For every layer by its name: keras.layers.Dense(10, name=\"head\", **initializers(\"head\")).\n\
         def initializers(name):\n    return {{\n        \
         \"kernel_initializer\": keras.initializers.VarianceScaling(\n            \
         scale=scale_of(name), mode=\"fan_in\", distribution=\"untruncated_normal\"\n        ),\n        \
         \"bias_initializer\": keras.initializers.Zeros(),\n    }}\n",
        table(scales, "_")
    )
}

fn jax(scales: &[Scaled]) -> String {
    format!(
        "from fnmatch import fnmatch\n\nimport jax\n\n{}\n\n\
         # flax: nn.Dense(10, name=\"head\", kernel_init=kernel_init(\"head\")); biases are zero by default.\n\
         def kernel_init(name):\n    \
         return jax.nn.initializers.variance_scaling(scale_of(name), \"fan_in\", \"normal\")\n",
        table(scales, "_")
    )
}

/// What a name must have that a pattern matches: the literals between its stars.
fn condition(pattern: &str) -> String {
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return format!("name == \"{pattern}\"") };
    let ends = [("starts_with", first)].into_iter().chain([("ends_with", last)]);
    let all = ends.chain(middle.iter().map(|part| ("contains", part)));
    let one = |(method, part): (&str, &&str)| format!("name.{method}(\"{part}\")");
    all.filter(|(_, part)| !part.is_empty()).map(one).collect::<Vec<_>>().join(" && ")
}

fn rust(scales: &[Scaled], framework: &str) -> String {
    let arm = |scaled: &Scaled| {
        format!(
            "    if {} {{\n        return {};\n    }}\n",
            condition(&layer(scaled, ".")),
            literal(scaled.scale)
        )
    };
    let weights = if framework == BURN {
        "pub fn weights(name: &str, fan_in: usize) -> Initializer {\n    \
         Initializer::Normal { mean: 0.0, std: (scale(name) / fan_in as f64).sqrt() }\n}\n"
    } else {
        "pub fn weights(name: &str, fan_in: usize) -> Init {\n    \
         Init::Randn { mean: 0.0, stdev: (scale(name) / fan_in as f64).sqrt() }\n}\n"
    };
    format!(
        "{framework}/// fan_in·Var(W) of a layer by its name; biases are 0. Names are those of the network's file: yours may differ.\n\
         fn scale(name: &str) -> f64 {{\n{}    1.0\n}}\n\n{weights}",
        scales.iter().map(arm).collect::<String>()
    )
}
