//! The two rates that bound a dense run, of one core of this machine, as JSON: products in single precision and normals.
//!
//!     cargo bench --bench rates

use initdiag::law::draw::{Standard, fill};
use initdiag::numeric::product::{Threads, mul};
use initdiag::numeric::stream::{Key, Role};
use nalgebra::DMatrix;
use std::hint::black_box;
use std::time::Instant;

/// The best of several runs of about a fifth of a second.
fn rate(work: f64, mut run: impl FnMut()) -> f64 {
    let mut best = 0.0f64;
    for _ in 0..7 {
        let (start, mut done) = (Instant::now(), 0.0);
        while start.elapsed().as_secs_f64() < 0.2 {
            run();
            done += work;
        }
        best = best.max(done / start.elapsed().as_secs_f64());
    }
    best
}

#[expect(clippy::print_stdout, reason = "the result")]
fn main() {
    let (a, b) = (DMatrix::from_element(512, 512, 1.0f32), DMatrix::from_element(512, 256, 0.5f32));
    let products = rate(2.0 * 512.0 * 512.0 * 256.0, || {
        black_box(mul(black_box(&a), black_box(&b), 1.0, Threads::One));
    });
    let mut values = vec![0.0f32; 1 << 16];
    let key = Key { seed: 0, trial: 0, layer: 1 };
    let normals = rate(values.len() as f64, || {
        fill(black_box(&mut values), Standard::Normal, key, Role::Weights, Threads::One);
    });
    println!("{{\"product_flops\": {products:.3e}, \"normals\": {normals:.3e}}}");
}
