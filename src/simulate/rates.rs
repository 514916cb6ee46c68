//! How fast this machine does each kind of work: measured in some hundredths of a second, to say beforehand what a long run takes.
//! Nothing else depends on it.

use super::cost::Cost;
use crate::activation::Activation;
use crate::frontend::stack;
use crate::graph::trial;
use crate::law::Law;
use crate::law::draw::{Standard, fill};
use crate::numeric::product::{Threads, mul, mul_tr};
use crate::numeric::signal::Signal;
use crate::numeric::spectrum::eigenvalues;
use crate::numeric::stream::{Key, Role};
use crate::op::loss::Loss;
use nalgebra::DMatrix;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// Seconds of each kind of work, on one thread.
#[derive(Clone, Copy, Debug)]
pub struct Rates(Cost);

/// The least time of several runs, over the work of one.
fn seconds(work: f64, mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best / work
}

impl Rates {
    /// Measures them.
    pub fn measured() -> Self {
        let key = Key { seed: 0, trial: 0, layer: 1 };
        let (a, b) = (DMatrix::from_element(512, 512, 1.0f32), DMatrix::from_element(512, 128, 0.5f32));
        let products = seconds(2.0 * 512.0 * 512.0 * 128.0, || {
            black_box(mul(black_box(&a), black_box(&b), 1.0, Threads::One));
        });
        let root = DMatrix::from_element(64, 64, 0.5f32);
        let long = DMatrix::from_element(2048, 64, 0.5f32);
        let thin = seconds(2.0 * 2048.0 * 64.0 * 64.0, || {
            black_box(mul_tr(black_box(&long), black_box(&root), Threads::One));
        });
        let mut values = vec![0.0f32; 1 << 16];
        let count = values.len() as f64;
        let mut draw = |standard: Standard, count: usize| {
            fill(black_box(&mut values[..count]), standard, key, Role::Weights, Threads::One);
        };
        let normals = seconds(count, || draw(Standard::Normal, 1 << 16));
        let others = seconds(count / 8.0, || draw(Standard::Uniform, 1 << 13));
        let gram = DMatrix::from_fn(64, 64, |i, j| ((i * j + i + j) % 17) as f64);
        let factors = seconds(64f64.powi(3), || {
            black_box(eigenvalues(black_box(&gram).clone()));
        });
        Self(Cost { products, thin, normals, others, entries: entries(key), factors })
    }

    /// Seconds of this work on one thread.
    pub fn seconds(self, cost: Cost) -> f64 {
        let rates = self.0;
        rates.products * cost.products
            + rates.thin * cost.thin
            + rates.normals * cost.normals
            + rates.others * cost.others
            + rates.entries * cost.entries
            + rates.factors * cost.factors
    }
}

/// Of a layer of one input and many units nearly all time goes into its entries.
fn entries(key: Key) -> f64 {
    const UNITS: usize = 2048;
    const BATCH: usize = 64;
    let Ok(act) = Activation::parse("relu") else { return 0.0 };
    let Ok(mut graph) = stack::graph(&[1, UNITS], &Arc::new(act)) else { return 0.0 };
    graph.parameters[0].law = Law::Normal { mean: 0.0, std: 1.0 };
    // A layer and its activation.
    let made = 2.0 * (UNITS * BATCH) as f64;
    seconds(made, || {
        let input = Signal::new(DMatrix::from_element(1, BATCH, 1.0f32), 0);
        let context = graph.context(key, BATCH, Threads::One);
        let _ = black_box(trial(&graph, vec![input], Loss::Random, context, false, &|| true));
    })
}
