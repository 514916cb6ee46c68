//! Numbers that carry their derivative, and the functions of a formula on them.

use crate::numeric::real::{gelu, sigmoid, softplus};
use std::f64::consts::{E, LN_2, LN_10, PI};

/// A value and its derivative (forward-mode differentiation).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dual {
    pub value: f64,
    pub slope: f64,
}

impl Dual {
    pub fn constant(value: f64) -> Self {
        Self { value, slope: 0.0 }
    }

    /// Chain rule. A constant stays constant where the outer derivative is infinite.
    fn then(self, value: f64, outer_slope: f64) -> Self {
        Self { value, slope: if self.slope == 0.0 { 0.0 } else { outer_slope * self.slope } }
    }
}

/// One step of a formula's program.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Puts a number.
    Constant(f64),
    /// Puts the variable at this place among the names.
    Variable(usize),
    /// Replaces a number.
    Unary(fn(Dual) -> Dual),
    /// Replaces a number by a whole power of it.
    Power(i32),
    /// Replaces two numbers.
    Binary(fn(Dual, Dual) -> Dual),
}

impl Step {
    /// Numbers that it takes from the stack; it puts one.
    pub fn takes(&self) -> usize {
        match self {
            Self::Constant(_) | Self::Variable(_) => 0,
            Self::Unary(_) | Self::Power(_) => 1,
            Self::Binary(_) => 2,
        }
    }
}

pub const CONSTANTS: &[&str] = &["pi", "e"];

pub fn constant(name: &str) -> Option<f64> {
    match name {
        "pi" => Some(PI),
        "e" => Some(E),
        _ => None,
    }
}

type Unary = (&'static str, fn(Dual) -> Dual);
type Binary = (&'static str, fn(Dual, Dual) -> Dual);

const UNARY: &[Unary] = &[
    ("exp", |u| u.then(u.value.exp(), u.value.exp())),
    ("ln", |u| u.then(u.value.ln(), 1.0 / u.value)),
    ("log", |u| u.then(u.value.ln(), 1.0 / u.value)),
    ("log2", |u| u.then(u.value.log2(), 1.0 / (u.value * LN_2))),
    ("log10", |u| u.then(u.value.log10(), 1.0 / (u.value * LN_10))),
    ("sqrt", |u| u.then(u.value.sqrt(), 0.5 / u.value.sqrt())),
    ("abs", |u| {
        u.then(
            u.value.abs(),
            if u.value * u.slope.signum() > 0.0 { u.slope.signum() } else { -u.slope.signum() },
        )
    }),
    ("sign", |u| u.then(if u.value == 0.0 { 0.0 } else { u.value.signum() }, 0.0)),
    ("sin", |u| u.then(u.value.sin(), u.value.cos())),
    ("cos", |u| u.then(u.value.cos(), -u.value.sin())),
    ("tan", |u| u.then(u.value.tan(), 1.0 + u.value.tan().powi(2))),
    ("sinh", |u| u.then(u.value.sinh(), u.value.cosh())),
    ("cosh", |u| u.then(u.value.cosh(), u.value.sinh())),
    ("tanh", |u| u.then(u.value.tanh(), u.value.cosh().powi(-2))),
    ("asinh", |u| u.then(u.value.asinh(), 1.0 / u.value.hypot(1.0))),
    ("atan", |u| u.then(u.value.atan(), 1.0 / (1.0 + u.value * u.value))),
    ("erf", |u| u.then(libm::erf(u.value), 2.0 / PI.sqrt() * (-u.value * u.value).exp())),
    ("relu", |u| maximum(u, Dual::constant(0.0))),
    ("sigmoid", |u| u.then(sigmoid(u.value), sigmoid(u.value) * sigmoid(-u.value))),
    ("softplus", |u| u.then(softplus(u.value), sigmoid(u.value))),
    ("silu", |u| {
        let s = sigmoid(u.value);
        u.then(u.value * s, s * (1.0 + u.value * sigmoid(-u.value)))
    }),
    ("gelu", |u| {
        let (value, slope) = gelu(u.value);
        u.then(value, slope)
    }),
];

const BINARY: &[Binary] = &[("max", maximum), ("min", |u, v| negated(maximum(negated(u), negated(v))))];

fn negated(u: Dual) -> Dual {
    Dual { value: -u.value, slope: -u.slope }
}

/// The larger; at a tie, coming from the left, the one that rises less. NaN stays NaN.
fn maximum(u: Dual, v: Dual) -> Dual {
    if u.value.is_nan() || u.value > v.value || (u.value == v.value && u.slope <= v.slope) { u } else { v }
}

fn power(u: Dual, v: Dual) -> Dual {
    let value = u.value.powf(v.value);
    let by_base = if u.slope == 0.0 { 0.0 } else { v.value * u.value.powf(v.value - 1.0) * u.slope };
    let by_exponent = if v.slope == 0.0 || value == 0.0 { 0.0 } else { value * u.value.ln() * v.slope };
    Dual { value, slope: by_base + by_exponent }
}

/// Largest exponent that is multiplied out.
const LARGEST_EXPONENT: f64 = 64.0;

/// The step for a power whose exponent is this program.
pub fn power_of(exponent: &[Step]) -> Step {
    match exponent {
        [Step::Constant(n)] if n.fract() == 0.0 && (1.0..=LARGEST_EXPONENT).contains(n) => {
            Step::Power(*n as i32)
        }
        _ => Step::Binary(power),
    }
}

/// uⁿ, n ≥ 1.
pub fn whole_power(u: Dual, n: i32) -> Dual {
    let below = u.value.powi(n - 1);
    u.then(below * u.value, f64::from(n) * below)
}

/// −u.
pub const MINUS: Step = Step::Unary(negated);

/// The step for one of `+`, `-`, `*` and `/`.
pub fn operator(symbol: char) -> Step {
    Step::Binary(match symbol {
        '+' => |u, v| Dual { value: u.value + v.value, slope: u.slope + v.slope },
        '-' => |u, v| Dual { value: u.value - v.value, slope: u.slope - v.slope },
        '*' => |u, v| Dual {
            value: u.value * v.value,
            slope: u.then(0.0, v.value).slope + v.then(0.0, u.value).slope,
        },
        _ => |u, v| Dual {
            value: u.value / v.value,
            slope: u.then(0.0, 1.0 / v.value).slope - v.then(0.0, u.value / v.value / v.value).slope,
        },
    })
}

/// The names of all functions.
pub fn names() -> Vec<&'static str> {
    UNARY.iter().map(|f| f.0).chain(BINARY.iter().map(|f| f.0)).collect()
}

/// The step for a function of this name; `None` when there is no such function.
pub fn function(name: &str) -> Option<Step> {
    let unary = UNARY.iter().find(|f| f.0 == name).map(|f| Step::Unary(f.1));
    unary.or_else(|| BINARY.iter().find(|f| f.0 == name).map(|f| Step::Binary(f.1)))
}
