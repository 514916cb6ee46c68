//! The kernels that a run spends its time in, at the shapes of the default command and of wide layers.
//!
//!     cargo bench --bench kernels

use divan::Bencher;
use divan::counter::ItemsCount;
use initdiag::activation::Activation;
use initdiag::law::Law;
use initdiag::law::draw::{Standard, fill};
use initdiag::numeric::cached::CachedSignal;
use initdiag::numeric::product::{Threads, gram, mul, tr_mul};
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::{Key, Role};
use initdiag::op::activate::activate;
use initdiag::weights::{Factor, Method, linear_map};
use nalgebra::DMatrix;

const KEY: Key = Key { seed: 0, trial: 0, layer: 1 };

fn main() {
    divan::main();
}

fn batch(rows: usize, columns: usize) -> DMatrix<f32> {
    let mut values = DMatrix::from_element(rows, columns, 0.0);
    fill(values.as_mut_slice(), Standard::Normal, KEY, Role::Input, Threads::One);
    values
}

/// m × k × n, counted in multiplications with addition.
#[divan::bench(args = [(512, 512, 64), (512, 512, 256), (1024, 16, 16)])]
fn product(bencher: Bencher, (m, k, n): (usize, usize, usize)) {
    let (a, b) = (batch(m, k), batch(k, n));
    bencher.counter(ItemsCount::new(m * k * n)).bench_local(|| mul(&a, &b, 1.0, Threads::One));
}

#[divan::bench(args = [(64, 512, 64), (16, 1024, 16)])]
fn transposed_product(bencher: Bencher, (m, k, n): (usize, usize, usize)) {
    let (a, b) = (batch(k, m), batch(k, n));
    bencher.counter(ItemsCount::new(m * k * n)).bench_local(|| tr_mul(&a, &b, 1.0, Threads::One));
}

#[divan::bench(args = [(512, 64), (512, 256), (1024, 16)])]
fn gram_matrix(bencher: Bencher, (rows, columns): (usize, usize)) {
    let a = batch(rows, columns);
    bencher.counter(ItemsCount::new(rows * columns * columns)).bench_local(|| gram(&a, Threads::One));
}

#[divan::bench(args = [Standard::Normal, Standard::Uniform, Standard::Truncated { low: -2.0, high: 2.0 }])]
fn draws(bencher: Bencher, standard: Standard) {
    let mut values = vec![0.0f32; 1 << 16];
    bencher
        .counter(ItemsCount::new(values.len()))
        .bench_local(|| fill(&mut values, standard, KEY, Role::Weights, Threads::One));
}

#[divan::bench(args = [16, 64, 256])]
fn factor(bencher: Bencher, size: usize) {
    let x = CachedSignal::from(Signal::new(batch(4 * size, size), 0));
    bencher.bench_local(|| Factor::of(&x, None, Threads::One));
}

#[divan::bench(args = ["relu", "tanh", "gelu", "sigmoid"])]
fn activation(bencher: Bencher, name: &str) {
    let act = Activation::parse(name).expect("a name of the catalog");
    let z = Signal::new(batch(512, 64), 0);
    bencher.counter(ItemsCount::new(z.values.len())).bench_local(|| activate(&act, &z));
}

/// Forward and back through one layer of 512 units, batch 64.
#[divan::bench(args = [Method::Dense, Method::Implicit])]
fn layer(bencher: Bencher, method: Method) {
    let (x, y) = (
        CachedSignal::from(Signal::new(batch(512, 64), 0)),
        CachedSignal::from(Signal::new(batch(512, 64), 0)),
    );
    bencher.bench_local(|| {
        let mut w = linear_map::<f32>(method, Law::Normal { mean: 0.0, std: 0.05 }, 512, 512, KEY);
        (w.forward(&x, Threads::One), w.backward(&y, Threads::One))
    });
}
