//! How parameters follow their gradients. Formulas and defaults are PyTorch's (torch/optim: sgd.py, adam.py, adamw.py).

use crate::law::call::{Call, CatalogError};
use crate::numeric::slice::for_each_machine;

/// Names as the command line takes them.
pub const NAMES: [&str; 5] = ["sgd", "momentum", "nesterov", "adam", "adamw"];

/// A rule, with its own parameters; the rate and the weight decay λ come with each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// w −= η g, with g + λw for g.
    Sgd,
    /// v = μv + g, w −= η v (Polyak 1964 as torch has it: the first v is g).
    Momentum {
        /// μ.
        momentum: f64,
        /// w −= η (g + μv) instead (Sutskever et al. 2013).
        nesterov: bool,
    },
    /// Kingma & Ba 2015, algorithm 1.
    Adam {
        /// β₁ and β₂.
        betas: [f64; 2],
        /// Added to the root of the second moment.
        eps: f64,
        /// w −= ηλw first, and g without λw (Loshchilov & Hutter 2019).
        decoupled: bool,
    },
}

impl Optimizer {
    /// Reads a rule: `sgd`, `momentum(0.9)`, `nesterov(0.9)`, `adam(beta1, beta2, eps)`, `adamw(…)`.
    ///
    /// # Errors
    /// An unknown name, or a parameter beyond its range.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let call = Call::parse(text)?;
        let below_one = |v: f64| (0.0..1.0).contains(&v);
        match call.name.as_str() {
            "sgd" => call.bind(&[]).map(|_| Self::Sgd),
            "momentum" | "nesterov" => {
                let given = call.bind(&["momentum"])?;
                let momentum =
                    call.number(given[0], ("momentum", 0.9), below_one, "a number from 0 to below 1")?;
                Ok(Self::Momentum { momentum, nesterov: call.name == "nesterov" })
            }
            "adam" | "adamw" => {
                let given = call.bind(&["beta1", "beta2", "eps"])?;
                let beta = |k: usize, name: &str, default: f64| {
                    call.number(given[k], (name, default), below_one, "a number from 0 to below 1")
                };
                let betas = [beta(0, "beta1", 0.9)?, beta(1, "beta2", 0.999)?];
                let positive = |v: f64| v > 0.0 && v.is_finite();
                let eps = call.number(given[2], ("eps", 1e-8), positive, "a positive number")?;
                Ok(Self::Adam { betas, eps, decoupled: call.name == "adamw" })
            }
            other => Err(CatalogError::not_among("optimizer", other, &NAMES)),
        }
    }

    /// The rate where none is given: PyTorch's of Adam, Keras' of the others with momentum, and 0.1 without.
    pub fn default_rate(self) -> f64 {
        match self {
            Self::Sgd => 0.1,
            Self::Momentum { .. } => 0.01,
            Self::Adam { .. } => 0.001,
        }
    }

    /// Moments that it keeps of each parameter.
    pub fn moments(self) -> usize {
        match self {
            Self::Sgd => 0,
            Self::Momentum { .. } => 1,
            Self::Adam { .. } => 2,
        }
    }

    /// One step of some parameters, the `step`th from 1 on. Moments begin as zeros.
    pub fn step(self, w: &mut [f32], g: &[f32], moments: &mut [Vec<f32>], at: At) {
        let (rate, decay) = (at.rate as f32, at.decay as f32);
        match (self, moments) {
            (Self::Momentum { momentum, nesterov }, [v, ..]) => {
                let ahead = if nesterov { momentum as f32 } else { 0.0 };
                momentum_step(w, g, v, [rate, decay, momentum as f32, ahead, f32::from(u8::from(nesterov))]);
            }
            (Self::Adam { betas: [first, second], eps, decoupled }, [m, v, ..]) => {
                // Corrections in double precision: β₂ᵗ loses digits near one.
                let power = |beta: f64| 1.0 - beta.powf(at.step as f64);
                let size = (at.rate / power(first)) as f32;
                let root = (1.0 / power(second).sqrt()) as f32;
                let (kept, added) =
                    if decoupled { ((1.0 - at.rate * at.decay) as f32, 0.0) } else { (1.0, decay) };
                let constants =
                    [first as f32, second as f32, (1.0 - first) as f32, (1.0 - second) as f32, eps as f32];
                adam_step(w, g, m, v, [size, root, kept, added], constants);
            }
            _ => sgd_step(w, g, rate, decay),
        }
    }
}

/// Where a step is taken.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Number of the step, from 1.
    pub step: u64,
    /// η.
    pub rate: f64,
    /// Weight decay λ.
    pub decay: f64,
}

for_each_machine! {
    fn sgd_step(w: &mut [f32], g: &[f32], rate: f32, decay: f32) {
        w.iter_mut().zip(g).for_each(|(w, g)| *w -= rate * (*g + decay * *w));
    }
}

for_each_machine! {
    fn momentum_step(w: &mut [f32], g: &[f32], v: &mut [f32], [rate, decay, momentum, ahead, own]: [f32; 5]) {
        let share = if own > 0.0 { ahead } else { 1.0 };
        for ((w, g), v) in w.iter_mut().zip(g).zip(v) {
            let g = *g + decay * *w;
            *v = momentum * *v + g;
            *w -= rate * (own * g + share * *v);
        }
    }
}

for_each_machine! {
    fn adam_step(
        w: &mut [f32],
        g: &[f32],
        m: &mut [f32],
        v: &mut [f32],
        [size, root, kept, added]: [f32; 4],
        [first, second, new, square, eps]: [f32; 5],
    ) {
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = *g + added * *w;
            *m = first * *m + new * g;
            *v = second * *v + square * g * g;
            *w = *w * kept - size * *m / (v.sqrt() * root + eps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three steps of one parameter along the gradients 0.5, −0.25, 1, from 1, at rate 0.1.
    fn walk(text: &str, decay: f64) -> f32 {
        let rule = Optimizer::parse(text).unwrap();
        let mut w = [1.0];
        let mut moments = vec![vec![0.0]; rule.moments()];
        for (k, g) in [0.5, -0.25, 1.0].into_iter().enumerate() {
            rule.step(&mut w, &[g], &mut moments, At { step: k as u64 + 1, rate: 0.1, decay });
        }
        w[0]
    }

    #[test]
    fn steps_are_those_of_the_formulas() {
        let close = |text: &str, decay: f64, expected: f64| {
            let got = f64::from(walk(text, decay));
            assert!((got - expected).abs() < 1e-6, "{text}, decay {decay}: {got}, not {expected}");
        };
        close("sgd", 0.0, 1.0 - 0.1 * 1.25);
        // v = 0.5, 0.2, 1.18.
        close("momentum(0.9)", 0.0, 1.0 - 0.1 * (0.5 + 0.2 + 1.18));
        close("nesterov(0.9)", 0.0, 1.0 - 0.1 * (0.95 - 0.07 + 2.062));
        // By hand in double precision, from algorithm 1.
        let adam = |decay: f64, decoupled: bool| {
            let (mut w, mut m, mut v) = (1.0f64, 0.0, 0.0);
            for (k, g) in [0.5, -0.25, 1.0].into_iter().enumerate() {
                let g = if decoupled { g } else { g + decay * w };
                if decoupled {
                    w -= 0.1 * decay * w;
                }
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                let (bm, bv) = (1.0 - 0.9f64.powi(k as i32 + 1), 1.0 - 0.999f64.powi(k as i32 + 1));
                w -= 0.1 * (m / bm) / ((v / bv).sqrt() + 1e-8);
            }
            w
        };
        close("adam", 0.0, adam(0.0, false));
        close("adam", 0.1, adam(0.1, false));
        close("adamw", 0.1, adam(0.1, true));
        close("sgd", 0.5, {
            let mut w = 1.0f64;
            [0.5, -0.25, 1.0].iter().for_each(|g| w -= 0.1 * (g + 0.5 * w));
            w
        });
    }

    #[test]
    fn what_is_none_is_refused() {
        for (text, words) in [
            ("adm", "did you mean `adam`"),
            ("sgd(0.9)", "takes no parameters"),
            ("momentum(1)", "from 0 to below 1"),
            ("adam(eps=0)", "positive"),
            ("adam(0.9, x)", "beta2 = x"),
        ] {
            let fault = Optimizer::parse(text).unwrap_err().to_string();
            assert!(fault.contains(words), "{fault}");
        }
    }
}
