//! Lines of PyTorch, Keras, JAX, burn and candle that set an initializer, ready to run.

mod network;
mod position;

pub use network::code as for_network;
pub use position::code as by_position;

use crate::expectation::critical::CriticalPoint;
use crate::law::short;
use serde::{Deserialize, Serialize};

/// What a variance is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Columns of the weight matrix.
    In,
    /// The mean of both fans.
    Average,
}

/// The law of a weight about zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Gaussian.
    Normal,
    /// On a symmetric interval.
    Uniform,
}

/// A law that every framework can set: Var(W) = scale/fan, b ~ N(0, σ_b²).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// fan·Var(W).
    pub scale: f64,
    /// Which.
    pub fan: Fan,
    /// Family of the law of a weight.
    pub shape: Family,
    /// Var(b).
    pub sigma_b2: f64,
    /// The last layer of each residual branch has Var(W) divided by this.
    pub branches: usize,
}

const fn recipe(scale: f64, fan: Fan, shape: Family) -> Recipe {
    Recipe { scale, fan, shape, sigma_b2: 0.0, branches: 1 }
}

/// Named initializers that may be recommended, the more usual first.
pub const NAMED: [(&str, Recipe); 7] = [
    ("he-normal", recipe(2.0, Fan::In, Family::Normal)),
    ("lecun-normal", recipe(1.0, Fan::In, Family::Normal)),
    ("xavier-normal", recipe(1.0, Fan::Average, Family::Normal)),
    ("he-uniform", recipe(2.0, Fan::In, Family::Uniform)),
    ("lecun-uniform", recipe(1.0, Fan::In, Family::Uniform)),
    ("xavier-uniform", recipe(1.0, Fan::Average, Family::Uniform)),
    ("glorot-standard", recipe(1.0 / 3.0, Fan::In, Family::Uniform)),
];

impl Recipe {
    /// A critical point as a law.
    pub fn critical(point: CriticalPoint) -> Self {
        Self { sigma_b2: point.sigma_b2, ..recipe(point.sigma_w2, Fan::In, Family::Normal) }
    }

    /// N(0, scale/fan_in), smaller at the end of each of so many residual branches.
    pub fn depth_scaled(scale: f64, branches: usize) -> Self {
        Self { branches, ..recipe(scale, Fan::In, Family::Normal) }
    }

    /// In a line.
    pub fn law(&self) -> String {
        let variance = match self.fan {
            Fan::In => format!("{}/fan_in", short(self.scale)),
            Fan::Average => format!("{}/(fan_in + fan_out)", short(2.0 * self.scale)),
        };
        let weights = match self.shape {
            Family::Normal => format!("weights N(0, {variance})"),
            Family::Uniform => format!("weights uniform of mean 0 and variance {variance}"),
        };
        let biases = match self.sigma_b2 {
            0.0 => format!("{weights}, biases 0"),
            b => format!("{weights}, biases N(0, {})", short(b)),
        };
        match self.branches {
            0 | 1 => biases,
            n => format!("{biases}; at the last layer of each residual branch divided by √{n}"),
        }
    }

    /// The variance as an expression of two names for the fans.
    fn variance(&self, fan_in: &str, fan_out: &str) -> String {
        match self.fan {
            Fan::In => format!("{} / {fan_in}", literal(self.scale)),
            Fan::Average => format!("{} / ({fan_in} + {fan_out})", literal(2.0 * self.scale)),
        }
    }
}

/// Lines for each framework.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// PyTorch.
    pub pytorch: String,
    /// Keras 3.
    pub keras: String,
    /// JAX.
    pub jax: String,
    /// burn 0.21.
    pub burn: String,
    /// candle 0.11.
    pub candle: String,
}

impl Code {
    /// Where nothing needs to change.
    pub fn unchanged(init: &str) -> Self {
        let line = |comment: &str| format!("{comment} Nothing to change: keep {init}.\n");
        let (python, rust) = (line("#"), line("//"));
        Self { pytorch: python.clone(), keras: python.clone(), jax: python, burn: rust.clone(), candle: rust }
    }

    /// (name of the framework, file, lines).
    pub fn all(&self) -> [(&'static str, &'static str, &str); 5] {
        [
            ("PyTorch", "recommend_pytorch.py", &self.pytorch),
            ("Keras", "recommend_keras.py", &self.keras),
            ("JAX", "recommend_jax.py", &self.jax),
            ("burn", "recommend_burn.rs", &self.burn),
            ("candle", "recommend_candle.rs", &self.candle),
        ]
    }
}

/// Eight significant digits, a literal of Python and of Rust.
fn literal(x: f64) -> String {
    let rounded: f64 = format!("{x:.7e}").parse().unwrap_or(x);
    format!("{rounded:?}")
}

/// Widths beyond this many are not listed: the lines then stand for the first layer.
const LISTED: usize = 200;

/// For layers of these widths, the input's first.
pub fn code(recipe: &Recipe, widths: &[usize]) -> Code {
    let (n, m) = (widths[0], widths.get(1).copied().unwrap_or(widths[0]));
    let one = widths.iter().all(|w| *w == n) || widths.len() == 2 || widths.len() > LISTED;
    let list = widths.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    Code {
        pytorch: pytorch(recipe, (n, m), (!one).then_some(&list)),
        keras: keras(recipe, (n, m), (!one).then_some(&list)),
        jax: jax(recipe, (n, m), (!one).then_some(&list)),
        burn: burn(recipe, (n, m)),
        candle: candle(recipe, (n, m)),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn pytorch(recipe: &Recipe, (n, m): (usize, usize), list: Option<&String>) -> String {
    let variance = recipe.variance("layer.in_features", "layer.out_features");
    let weights = match recipe.shape {
        Family::Normal => {
            format!("torch.nn.init.normal_(layer.weight, mean=0.0, std=math.sqrt({variance}))\n")
        }
        Family::Uniform => format!(
            "bound = math.sqrt(3.0 * {variance})\ntorch.nn.init.uniform_(layer.weight, -bound, bound)\n"
        ),
    };
    let biases = match recipe.sigma_b2 {
        0.0 => "torch.nn.init.zeros_(layer.bias)\n".to_string(),
        b => format!("torch.nn.init.normal_(layer.bias, mean=0.0, std=math.sqrt({}))\n", literal(b)),
    };
    let set = format!("{weights}{biases}");
    match list {
        None => format!("import math\nimport torch\n\nlayer = torch.nn.Linear({n}, {m})\n{set}"),
        Some(list) => format!(
            "import math\nimport torch\n\nwidths = [{list}]\n\
             layers = [torch.nn.Linear(n, m) for n, m in zip(widths, widths[1:])]\n\
             for layer in layers:\n{}",
            indented(&set)
        ),
    }
}

/// Names that Keras and JAX share.
fn scaling(recipe: &Recipe) -> (&'static str, String) {
    let mode = match recipe.fan {
        Fan::In => "fan_in",
        Fan::Average => "fan_avg",
    };
    (mode, literal(recipe.scale))
}

fn keras(recipe: &Recipe, (n, m): (usize, usize), list: Option<&String>) -> String {
    let (mode, scale) = scaling(recipe);
    let distribution = match recipe.shape {
        // Keras's "normal" is truncated.
        Family::Normal => "untruncated_normal",
        Family::Uniform => "uniform",
    };
    let biases = match recipe.sigma_b2 {
        0.0 => "keras.initializers.Zeros()".to_string(),
        b => format!("keras.initializers.RandomNormal(mean=0.0, stddev={})", literal(b.sqrt())),
    };
    let layer = |units: &str| {
        format!(
            "layer = keras.layers.Dense(\n    {units},\n    kernel_initializer=keras.initializers.VarianceScaling(\n        \
             scale={scale}, mode=\"{mode}\", distribution=\"{distribution}\"\n    ),\n    bias_initializer={biases},\n)\n"
        )
    };
    match list {
        None => format!("import keras\n\n{}layer.build((None, {n}))\n", layer(&m.to_string())),
        Some(list) => format!(
            "import keras\n\nwidths = [{list}]\nlayers = []\nfor n, m in zip(widths, widths[1:]):\n{}",
            indented(&format!("{}layer.build((None, n))\nlayers.append(layer)\n", layer("m")))
        ),
    }
}

fn jax(recipe: &Recipe, (n, m): (usize, usize), list: Option<&String>) -> String {
    let (mode, scale) = scaling(recipe);
    let distribution = match recipe.shape {
        Family::Normal => "normal",
        Family::Uniform => "uniform",
    };
    let set = |n: &str, m: &str| {
        let biases = match recipe.sigma_b2 {
            0.0 => format!("bias = jax.numpy.zeros(({m},))\n"),
            b => format!("bias = {} * jax.random.normal(key_b, ({m},))\n", literal(b.sqrt())),
        };
        format!(
            "draw = jax.nn.initializers.variance_scaling({scale}, \"{mode}\", \"{distribution}\")\n\
             weight = draw(key_w, ({n}, {m}))\n{biases}"
        )
    };
    match list {
        None => format!(
            "import jax\n\nkey_w, key_b = jax.random.split(jax.random.key(0))\n{}",
            set(&n.to_string(), &m.to_string())
        ),
        Some(list) => format!(
            "import jax\n\nwidths = [{list}]\nlayers = []\nfor k, (n, m) in enumerate(zip(widths, widths[1:])):\n{}",
            indented(&format!(
                "key_w, key_b = jax.random.split(jax.random.fold_in(jax.random.key(0), k))\n{}layers.append((weight, bias))\n",
                set("n", "m")
            ))
        ),
    }
}

fn burn(recipe: &Recipe, (n, m): (usize, usize)) -> String {
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
    format!(
        "use burn::nn::{{Initializer, Linear, LinearConfig}};\nuse burn::tensor::backend::Backend;\n\n\
         /// Here linear(device, {n}, {m}).\n\
         pub fn linear<B: Backend>(device: &B::Device, fan_in: usize, fan_out: usize) -> Linear<B> {{\n    \
         let weights = {weights};\n    let biases = {biases};\n    \
         let mut layer = LinearConfig::new(fan_in, fan_out).with_initializer(weights).init(device);\n    \
         // The configuration's initializer would draw the biases too.\n    \
         layer.bias = Some(biases.init([fan_out], device));\n    layer\n}}\n"
    )
}

fn candle(recipe: &Recipe, (n, m): (usize, usize)) -> String {
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
    format!(
        "use candle_core::Result;\nuse candle_nn::{{Init, Linear, VarBuilder}};\n\n\
         /// Here linear(vb, {n}, {m}).\n\
         pub fn linear(vb: VarBuilder, fan_in: usize, fan_out: usize) -> Result<Linear> {{\n    \
         let weights = {weights};\n    let biases = {biases};\n    \
         let weight = vb.get_with_hints((fan_out, fan_in), \"weight\", weights)?;\n    \
         let bias = vb.get_with_hints(fan_out, \"bias\", biases)?;\n    Ok(Linear::new(weight, Some(bias)))\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::initializer::{Initializer, Site};

    #[test]
    fn recipes_are_the_catalogs_laws() {
        let act = Activation::parse("relu").unwrap();
        for (name, recipe) in NAMED {
            let init = Initializer::parse(name).unwrap();
            for (fan_in, fan_out) in [(512, 512), (784, 10)] {
                let site = Site::dense(fan_in, fan_out, 1, 5, &act);
                let exact = init.weights(&site).unwrap().moments(fan_in, fan_out).variance;
                let fan = match recipe.fan {
                    Fan::In => fan_in as f64,
                    Fan::Average => 0.5 * (fan_in + fan_out) as f64,
                };
                assert!((recipe.scale / fan / exact - 1.0).abs() < 1e-12, "{name}");
                let uniform = matches!(init.weights(&site).unwrap(), crate::law::Law::Uniform { .. });
                assert_eq!(uniform, recipe.shape == Family::Uniform);
            }
        }
        for (x, text) in [(2.0, "2.0"), (1.0 / 3.0, "0.33333333"), (103.007_6, "103.0076"), (1e-9, "1e-9")] {
            assert_eq!(literal(x), text);
        }
    }
}
