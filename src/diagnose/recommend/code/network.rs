//! Lines for all layers of a network, linear ones and convolutions.

use super::{Code, Family, Fan, Recipe, literal, scaling};

/// Functions that set a recipe in whatever layer they are given; fans of a convolution count its taps.
pub fn code(recipe: &Recipe) -> Code {
    Code {
        pytorch: pytorch(recipe),
        keras: keras(recipe),
        jax: jax(recipe),
        burn: burn(recipe),
        candle: candle(recipe),
    }
}

/// What is different at the end of residual branches, as a comment of one line.
fn remark(recipe: &Recipe, mark: &str, what: &str) -> String {
    match recipe.branches {
        0 | 1 => String::new(),
        n => format!("{mark} At the last layer of each residual branch divide {what} by {n}.\n"),
    }
}

fn pytorch(recipe: &Recipe) -> String {
    let variance = recipe.variance("fan_in", "fan_out");
    let weights = match recipe.shape {
        Family::Normal => {
            format!("            torch.nn.init.normal_(layer.weight, mean=0.0, std=math.sqrt({variance}))\n")
        }
        Family::Uniform => format!(
            "            bound = math.sqrt(3.0 * {variance})\n            torch.nn.init.uniform_(layer.weight, -bound, bound)\n"
        ),
    };
    let biases = match recipe.sigma_b2 {
        0.0 => "torch.nn.init.zeros_(layer.bias)".to_string(),
        b => format!("torch.nn.init.normal_(layer.bias, mean=0.0, std=math.sqrt({}))", literal(b)),
    };
    format!(
        "import math\nimport torch\n\n\n{}def initialize(network):\n    for layer in network.modules():\n        \
         if isinstance(layer, (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)):\n            \
         fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()\n{weights}            \
         if layer.bias is not None:\n                {biases}\n",
        remark(recipe, "#", "the variance")
    )
}

fn keras(recipe: &Recipe) -> String {
    let (mode, scale) = scaling(recipe);
    let distribution = match recipe.shape {
        Family::Normal => "untruncated_normal",
        Family::Uniform => "uniform",
    };
    let biases = match recipe.sigma_b2 {
        0.0 => "keras.initializers.Zeros()".to_string(),
        b => format!("keras.initializers.RandomNormal(mean=0.0, stddev={})", literal(b.sqrt())),
    };
    format!(
        "import keras\n\n\n# For every layer anew: keras.layers.Dense(10, **initializers()), keras.layers.Conv2D(6, 3, **initializers()).\n\
         {}def initializers():\n    return {{\n        \
         \"kernel_initializer\": keras.initializers.VarianceScaling(\n            \
         scale={scale}, mode=\"{mode}\", distribution=\"{distribution}\"\n        ),\n        \
         \"bias_initializer\": {biases},\n    }}\n",
        remark(recipe, "#", "the scale")
    )
}

fn jax(recipe: &Recipe) -> String {
    let (mode, scale) = scaling(recipe);
    let distribution = match recipe.shape {
        Family::Normal => "normal",
        Family::Uniform => "uniform",
    };
    let biases = match recipe.sigma_b2 {
        0.0 => "jax.numpy.zeros((units,))".to_string(),
        b => format!("{} * jax.random.normal(key, (units,))", literal(b.sqrt())),
    };
    format!(
        "import jax\n\n\n# Shapes (fan_in, fan_out), and (height, width, channels in, channels out) of a convolution.\n{}\
         def weights(key, shape):\n    \
         draw = jax.nn.initializers.variance_scaling({scale}, \"{mode}\", \"{distribution}\")\n    \
         return draw(key, shape)\n\n\ndef biases(key, units):\n    return {biases}\n",
        remark(recipe, "#", "the scale")
    )
}

fn burn(recipe: &Recipe) -> String {
    let variance = recipe.variance("fan_in as f64", "fan_out as f64");
    let weights = match recipe.shape {
        Family::Normal => format!("Initializer::Normal {{ mean: 0.0, std: ({variance}).sqrt() }}"),
        Family::Uniform => {
            format!(
                "Initializer::Uniform {{ min: -(3.0 * {variance}).sqrt(), max: (3.0 * {variance}).sqrt() }}"
            )
        }
    };
    let biases = match recipe.sigma_b2 {
        0.0 => "Initializer::Zeros".to_string(),
        b => format!("Initializer::Normal {{ mean: 0.0, std: {} }}", literal(b.sqrt())),
    };
    // He's law has one fan alone.
    let fan_out = if recipe.fan == Fan::In { "_fan_out" } else { "fan_out" };
    format!(
        "use burn::module::Param;\nuse burn::nn::conv::{{Conv2d, Conv2dConfig}};\n\
         use burn::nn::{{Initializer, Linear, LinearConfig}};\n\
         use burn::tensor::{{Tensor, backend::Backend}};\n\n{}\
         fn weights(fan_in: usize, {fan_out}: usize) -> Initializer {{\n    {weights}\n}}\n\n\
         /// The configuration's initializer would draw the biases too.\n\
         fn biases<B: Backend>(units: usize, device: &B::Device) -> Param<Tensor<B, 1>> {{\n    \
         {biases}.init([units], device)\n}}\n\n\
         pub fn linear<B: Backend>(device: &B::Device, fan_in: usize, fan_out: usize) -> Linear<B> {{\n    \
         let config = LinearConfig::new(fan_in, fan_out).with_initializer(weights(fan_in, fan_out));\n    \
         let mut layer = config.init(device);\n    layer.bias = Some(biases(fan_out, device));\n    layer\n}}\n\n\
         pub fn conv2d<B: Backend>(device: &B::Device, channels: [usize; 2], kernel: [usize; 2]) -> Conv2d<B> {{\n    \
         let taps = kernel[0] * kernel[1];\n    \
         let initializer = weights(channels[0] * taps, channels[1] * taps);\n    \
         let mut layer = Conv2dConfig::new(channels, kernel).with_initializer(initializer).init(device);\n    \
         layer.bias = Some(biases(channels[1], device));\n    layer\n}}\n",
        remark(recipe, "//", "the variance")
    )
}

fn candle(recipe: &Recipe) -> String {
    let variance = recipe.variance("fan_in as f64", "fan_out as f64");
    let weights = match recipe.shape {
        Family::Normal => format!("Init::Randn {{ mean: 0.0, stdev: ({variance}).sqrt() }}"),
        Family::Uniform => {
            format!("Init::Uniform {{ lo: -(3.0 * {variance}).sqrt(), up: (3.0 * {variance}).sqrt() }}")
        }
    };
    let biases = match recipe.sigma_b2 {
        0.0 => "Init::Const(0.0)".to_string(),
        b => format!("Init::Randn {{ mean: 0.0, stdev: {} }}", literal(b.sqrt())),
    };
    let fan_out = if recipe.fan == Fan::In { "_fan_out" } else { "fan_out" };
    format!(
        "use candle_core::Result;\nuse candle_nn::{{Conv2d, Conv2dConfig, Init, Linear, VarBuilder}};\n\n{}\
         fn weights(fan_in: usize, {fan_out}: usize) -> Init {{\n    {weights}\n}}\n\n\
         const BIASES: Init = {biases};\n\n\
         pub fn linear(vb: VarBuilder, fan_in: usize, fan_out: usize) -> Result<Linear> {{\n    \
         let weight = vb.get_with_hints((fan_out, fan_in), \"weight\", weights(fan_in, fan_out))?;\n    \
         Ok(Linear::new(weight, Some(vb.get_with_hints(fan_out, \"bias\", BIASES)?)))\n}}\n\n\
         /// `channels`: in, of a group where there are groups, and out.\n\
         pub fn conv2d(vb: VarBuilder, channels: [usize; 2], kernel: [usize; 2], config: Conv2dConfig) -> Result<Conv2d> {{\n    \
         let taps = kernel[0] * kernel[1];\n    let shape = (channels[1], channels[0], kernel[0], kernel[1]);\n    \
         let weight = vb.get_with_hints(shape, \"weight\", weights(channels[0] * taps, channels[1] * taps))?;\n    \
         Ok(Conv2d::new(weight, Some(vb.get_with_hints(channels[1], \"bias\", BIASES)?), config))\n}}\n",
        remark(recipe, "//", "the variance")
    )
}
