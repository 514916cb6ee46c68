//! Every activation that has a name. To add one: its [`Function`](super::functions::Function), and an entry here.

use super::functions::{
    Clipped, Elu, Erf, Gelu, GeluTanh, HardSigmoid, HardSwish, HardTanh, Mish, Sigmoid, Silu, Sine, Softplus,
    Softsign, Tanh, TwoSlopes,
};
use super::{Activation, Kernel, Properties};
use crate::law::call::{Call, CatalogError};
use crate::law::expression::Formula;
use crate::law::short;
use std::f64::consts::{LN_2, SQRT_2};

/// An activation of the catalog.
pub struct Entry {
    /// As on the command line.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// φ(x) in words that a reader can compute.
    pub formula: &'static str,
    /// Name and default of each parameter.
    pub parameters: &'static [(&'static str, f64)],
    /// Paper and section.
    pub source: &'static str,
    build: fn(&[f64]) -> Parts,
}

struct Parts {
    kernel: Box<dyn Kernel>,
    homogeneous: bool,
    bounded: bool,
    at_zero: f64,
    kinks: &'static [f64],
    torch_gain: Option<f64>,
}

/// A smooth, unbounded activation with φ(0) = 0.
fn smooth(kernel: impl Kernel + 'static) -> Parts {
    Parts {
        kernel: Box::new(kernel),
        homogeneous: false,
        bounded: false,
        at_zero: 0.0,
        kinks: &[],
        torch_gain: None,
    }
}

fn bounded(kernel: impl Kernel + 'static) -> Parts {
    Parts { bounded: true, ..smooth(kernel) }
}

fn two_slopes(negative: f64, torch_gain: f64) -> Parts {
    let kinks: &[f64] = if negative == 1.0 { &[] } else { &[0.0] };
    let kernel = TwoSlopes { negative, positive: 1.0 };
    Parts { homogeneous: true, kinks, torch_gain: Some(torch_gain), ..smooth(kernel) }
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

/// The catalog, in the order in which it is printed.
pub fn entries() -> &'static [Entry] {
    ENTRIES
}

const ENTRIES: &[Entry] = &[
    Entry {
        name: "relu",
        aliases: &[],
        formula: "max(x, 0)",
        parameters: &[],
        source: "Nair & Hinton 2010",
        build: |_| two_slopes(0.0, SQRT_2),
    },
    Entry {
        name: "leaky-relu",
        aliases: &["lrelu"],
        formula: "max(x, a·x)",
        parameters: &[("a", 0.01)],
        source: "Maas et al. 2013",
        build: |p| two_slopes(p[0], leaky_gain(p[0])),
    },
    Entry {
        name: "prelu",
        aliases: &[],
        formula: "max(x, a·x), a as it starts",
        parameters: &[("a", 0.25)],
        source: "He et al. 2015",
        build: |p| two_slopes(p[0], leaky_gain(p[0])),
    },
    Entry {
        name: "relu6",
        aliases: &[],
        formula: "min(max(x, 0), 6)",
        parameters: &[],
        source: "Krizhevsky 2010; Sandler et al. 2018",
        build: |_| Parts { kinks: &[0.0, 6.0], ..bounded(Clipped { top: 6.0 }) },
    },
    Entry {
        name: "elu",
        aliases: &[],
        formula: "x for x > 0, alpha·(e^x − 1) else",
        parameters: &[("alpha", 1.0)],
        source: "Clevert et al. 2016",
        build: |p| Parts { kinks: &[0.0], ..smooth(Elu { scale: 1.0, alpha: p[0] }) },
    },
    Entry {
        name: "selu",
        aliases: &[],
        formula: "1.0507·elu(x, 1.6733)",
        parameters: &[],
        source: "Klambauer et al. 2017",
        build: |_| Parts {
            kinks: &[0.0],
            torch_gain: Some(0.75),
            ..smooth(Elu { scale: SELU_SCALE, alpha: SELU_ALPHA })
        },
    },
    Entry {
        name: "gelu",
        aliases: &[],
        formula: "x·Φ(x)",
        parameters: &[],
        source: "Hendrycks & Gimpel 2016",
        build: |_| smooth(Gelu),
    },
    Entry {
        name: "gelu-tanh",
        aliases: &["gelu-new"],
        formula: "x/2·(1 + tanh(√(2/π)(x + 0.044715x³)))",
        parameters: &[],
        source: "Hendrycks & Gimpel 2016",
        build: |_| smooth(GeluTanh),
    },
    Entry {
        name: "silu",
        aliases: &["swish"],
        formula: "x·sigmoid(x)",
        parameters: &[],
        source: "Elfwing et al. 2018",
        build: |_| smooth(Silu),
    },
    Entry {
        name: "mish",
        aliases: &[],
        formula: "x·tanh(ln(1 + e^x))",
        parameters: &[],
        source: "Misra 2019",
        build: |_| smooth(Mish),
    },
    Entry {
        name: "softplus",
        aliases: &[],
        formula: "ln(1 + e^x)",
        parameters: &[],
        source: "Dugas et al. 2001",
        build: |_| Parts { at_zero: LN_2, ..smooth(Softplus) },
    },
    Entry {
        name: "tanh",
        aliases: &[],
        formula: "tanh(x)",
        parameters: &[],
        source: "LeCun et al. 1998",
        build: |_| Parts { torch_gain: Some(5.0 / 3.0), ..bounded(Tanh) },
    },
    Entry {
        name: "sigmoid",
        aliases: &["logistic"],
        formula: "1/(1 + e^−x)",
        parameters: &[],
        source: "Rumelhart et al. 1986",
        build: |_| Parts { at_zero: 0.5, torch_gain: Some(1.0), ..bounded(Sigmoid) },
    },
    Entry {
        name: "hard-tanh",
        aliases: &["hardtanh"],
        formula: "clamp(x, −1, 1)",
        parameters: &[],
        source: "Collobert 2004",
        build: |_| Parts { kinks: &[-1.0, 1.0], ..bounded(HardTanh) },
    },
    Entry {
        name: "hard-sigmoid",
        aliases: &["hardsigmoid"],
        formula: "clamp(x + 3, 0, 6)/6",
        parameters: &[],
        source: "Howard et al. 2019 (PyTorch, Keras 3)",
        build: |_| Parts { at_zero: 0.5, kinks: &[-3.0, 3.0], ..bounded(HardSigmoid) },
    },
    Entry {
        name: "hard-swish",
        aliases: &["hardswish"],
        formula: "x·clamp(x + 3, 0, 6)/6",
        parameters: &[],
        source: "Howard et al. 2019",
        build: |_| Parts { kinks: &[-3.0, 3.0], ..smooth(HardSwish) },
    },
    Entry {
        name: "softsign",
        aliases: &[],
        formula: "x/(1 + |x|)",
        parameters: &[],
        source: "Bergstra et al. 2009; Glorot & Bengio 2010",
        build: |_| Parts { kinks: &[0.0], ..bounded(Softsign) },
    },
    Entry {
        name: "erf",
        aliases: &[],
        formula: "erf(x)",
        parameters: &[],
        source: "Williams 1997",
        build: |_| bounded(Erf),
    },
    Entry {
        name: "sine",
        aliases: &["sin", "siren"],
        formula: "sin(omega·x)",
        parameters: &[("omega", 1.0)],
        source: "Sitzmann et al. 2020",
        build: |p| bounded(Sine { omega: p[0] }),
    },
    Entry {
        name: "linear",
        aliases: &["identity", "none"],
        formula: "x",
        parameters: &[],
        source: "Saxe et al. 2014",
        build: |_| two_slopes(1.0, 1.0),
    },
];

/// PyTorch `calculate_gain("leaky_relu", a)`.
fn leaky_gain(a: f64) -> f64 {
    (2.0 / (1.0 + a * a)).sqrt()
}

/// Largest magnitude of a parameter: keeps every entry within single precision.
const LARGEST: f64 = 1e6;

/// The activation that a call names.
pub fn build(call: &Call) -> Result<Activation, CatalogError> {
    // As frameworks write them: `nn.LeakyReLU`.
    let name = call.name.rsplit('.').next().unwrap_or(&call.name);
    let plain = |name: &str| name.replace('-', "");
    let entry = ENTRIES
        .iter()
        .find(|e| std::iter::once(&e.name).chain(e.aliases).any(|known| plain(known) == plain(name)))
        .ok_or_else(|| {
            let known = ENTRIES.iter().flat_map(|e| std::iter::once(e.name).chain(e.aliases.iter().copied()));
            CatalogError::unknown("activation", name, known)
        })?;
    let names: Vec<&str> = entry.parameters.iter().map(|p| p.0).collect();
    let mut values = Vec::new();
    let mut shown = Vec::new();
    for ((name, default), given) in entry.parameters.iter().zip(call.bind(&names)?) {
        let value = match given {
            None => *default,
            Some(text) => Formula::parse(text, &[])
                .map_err(|fault| CatalogError::argument(entry.name, format!("{name} = `{text}`: {fault}")))?
                .value(&[]),
        };
        if value.is_nan() || value.abs() > LARGEST {
            let reason = format!("{name} = {value} is not between −{} and {0}", short(LARGEST));
            return Err(CatalogError::argument(entry.name, reason));
        }
        if value != *default {
            shown.push(format!("{name}={value}"));
        }
        values.push(value);
    }
    let name =
        if shown.is_empty() { entry.name.into() } else { format!("{}({})", entry.name, shown.join(", ")) };
    let parts = (entry.build)(&values);
    let slope = |z| parts.kernel.at(z).1;
    let shape = Properties {
        homogeneous: parts.homogeneous,
        at_zero: parts.at_zero,
        slopes_at_zero: (slope(-f64::MIN_POSITIVE), slope(f64::MIN_POSITIVE)),
        // Parameters are at most 10⁶: the second term is out of single precision's reach.
        tangent_below: Some(-40),
        max_slope: Some((-10_000..=10_000).map(|k| slope(f64::from(k) * 1e-3).abs()).fold(0.0, f64::max)),
        bounded: parts.bounded,
        kinks: parts.kinks.to_vec(),
    };
    Ok(Activation { name, shape, torch_gain: parts.torch_gain, kernel: parts.kernel })
}
