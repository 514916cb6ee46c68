//! The implicit engines against the dense one: two-sample Kolmogorov–Smirnov tests of everything that a trial computes, at widths
//! so small that an error would show. Each comparison has a false-alarm rate of 2e^(−2·2.7²) ≈ 9·10⁻⁷; seeds are fixed.
//! The same comparisons are shown to fail for operators with a planted error.

#[path = "common/stack.rs"]
mod common;
#[path = "common/ks.rs"]
mod ks;

use initdiag::activation::Activation;
use initdiag::graph;
use initdiag::law::Law;
use initdiag::numeric::cached::CachedSignal;
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::{Key, Part, Role};
use initdiag::numeric::wide::Wide;
use initdiag::op::record::{LayerRecord, Moments};
use initdiag::simulate::streamed::Stack;
use initdiag::simulate::{Input, LayerPlan};
use initdiag::spec::Loss;
use initdiag::weights::{Factor, LinearMap, Method, linear_map};
use ks::{KS_BOUND, distances, two_sample};
use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::sync::Arc;

/// Draws of each kind in a comparison.
const DRAWS: u64 = 3000;

/// A stack at the level of its operators.
struct Case {
    name: &'static str,
    widths: Vec<usize>,
    law: fn(f64) -> Law,
    act: &'static str,
    batch: usize,
}

fn normal(variance: f64, mean: f64, fan_in: f64) -> Law {
    Law::Normal { mean, std: (variance / fan_in).sqrt() }
}

fn cases() -> Vec<Case> {
    let case =
        |name, widths: &[usize], law, act, batch| Case { name, widths: widths.into(), law, act, batch };
    vec![
        case("He, ReLU", &[24; 6], |n| normal(2.0, 0.0, n), "relu", 8),
        case("Gaussian, tanh", &[24; 6], |n| normal(1.5, 0.0, n), "tanh", 8),
        case("Gaussian with a mean", &[24; 5], |n| normal(2.0, 0.05, n), "relu", 6),
        case("one sample", &[16; 5], |n| normal(2.0, 0.0, n), "relu", 1),
        case("batch beyond width", &[12; 5], |n| normal(2.0, 0.0, n), "relu", 16),
        case("unequal widths", &[40, 24, 64, 8, 24], |n| normal(2.0, 0.0, n), "relu", 10),
        case("Haar, tanh", &[24; 6], |_| Law::Haar { gain: 1.2 }, "tanh", 8),
        case("Haar, unequal widths", &[40, 24, 32, 16, 24], |_| Law::Haar { gain: 1.4 }, "relu", 6),
        case("Haar, batch beyond width", &[10; 4], |_| Law::Haar { gain: 1.4 }, "relu", 12),
        case("Haar, one sample", &[8; 4], |_| Law::Haar { gain: 1.0 }, "tanh", 1),
        // Far in the ordered phase all samples become one.
        case("tanh, ordered", &[24; 20], |n| normal(0.3, 0.0, n), "tanh", 6),
    ]
}

type Draw<'a> = &'a dyn Fn(Law, usize, usize, Key) -> Box<dyn LinearMap<f32>>;

/// Statistics of one trial.
fn statistics(case: &Case, draw: Draw, trial: u64, seed: u64) -> Vec<f64> {
    let act = Activation::parse(case.act).unwrap();
    let key = |layer: u64| Key { seed, trial, layer };
    let mut rng = rand::rngs::Xoshiro256PlusPlus::seed_from_u64(5);
    let mut x = DMatrix::<f32>::from_fn(case.widths[0], case.batch, |_, _| rng.sample(StandardNormal));
    // A sample that occurs twice: the Gram matrix is singular.
    let first = x.column(0).into_owned();
    x.set_column(case.batch - 1, &first);
    let phi = |z: &DMatrix<f32>| z.map(|v| act.at(v.into()).0 as f32);
    let slope = |z: &DMatrix<f32>| z.map(|v| act.at(v.into()).1 as f32);
    let plain = |s: Signal<f32>| s.values.map(|v| v * 2f32.powi(s.exponent as i32));
    let (mut operators, mut inputs, mut befores) = (vec![], vec![x.clone()], vec![]);
    for (l, pair) in case.widths.windows(2).enumerate() {
        let mut w = draw((case.law)(pair[0] as f64), pair[0], pair[1], key(l as u64 + 1));
        let h = inputs.last().unwrap();
        let z = plain(w.forward(&Signal::new(h.clone(), 0).into(), Threads::One));
        inputs.push(phi(&z));
        befores.push(z);
        operators.push(w);
    }
    let mut rng = key(99).stream(Role::ReadOut, Part::Block(0));
    let last = inputs.pop().unwrap();
    let mut upstream = DMatrix::<f32>::from_fn(last.nrows(), last.ncols(), |_, _| rng.sample(StandardNormal));
    let mut weight_gradients = vec![];
    for ((w, z), h) in operators.iter_mut().zip(&befores).zip(&inputs).rev() {
        let d = upstream.component_mul(&slope(z));
        weight_gradients.push(f64::from((&d * h.transpose()).norm()));
        upstream = plain(w.backward(&Signal::new(d, 0).into(), Threads::One));
    }
    let z = befores.last().unwrap().map(f64::from);
    let (g, x) = (upstream.map(f64::from), x.map(f64::from));
    let gram = z.transpose() * &z;
    let other = 1.min(case.batch - 1);
    let shared = case.widths[0].min(case.widths[1]);
    // A sample may have died.
    let norms = (gram[(0, 0)] * gram[(other, other)]).sqrt();
    let cosine = if norms > 0.0 { gram[(0, other)] / norms } else { 0.0 };
    vec![
        z.variance(),
        g.norm(),
        weight_gradients[weight_gradients.len() - 1],
        weight_gradients[weight_gradients.len() / 2],
        g[(0, 0)],
        g.dot(&x),
        // Rows of Wᵀ·D beside those of W·X: a draw that served both would show.
        g.rows(0, shared).dot(&befores[0].rows(0, shared).map(f64::from)),
        g.column(0).dot(&g.column(other)),
        gram[(0, other)],
        cosine,
        gram.symmetric_eigenvalues().max(),
    ]
}

fn sample(
    case: &Case,
    draw: &(dyn Fn(Law, usize, usize, Key) -> Box<dyn LinearMap<f32>> + Sync),
    seed: u64,
) -> Vec<Vec<f64>> {
    (0..DRAWS).into_par_iter().map(|trial| statistics(case, draw, trial, seed)).collect()
}

/// Last-layer variance, first gradient, weight gradients, single gradient entries, ⟨G, X⟩, ⟨G, Z₁⟩, products of samples forward
/// and back, cosine and the top eigenvalue of the Gram matrix: 3000 dense draws against 3000 implicit ones.
#[test]
fn implicit_operators_have_the_law_of_dense_ones() {
    for case in cases() {
        let dense = sample(&case, &|law, n, m, key| linear_map(Method::Dense, law, n, m, key), 1);
        let implicit = sample(&case, &|law, n, m, key| linear_map(Method::Implicit, law, n, m, key), 2);
        let found = distances(&dense, &implicit);
        assert!(found.iter().all(|d| *d < KS_BOUND), "{}: {found:.2?}", case.name);
    }
}

/// A Gaussian operator that is wrong on purpose.
struct Planted {
    std: f32,
    xi: DMatrix<f32>,
    basis: DMatrix<f32>,
    key: Key,
    fan_in: usize,
    fan_out: usize,
    project: bool,
    reuse: bool,
}

impl Planted {
    fn draw(&self, rows: usize, columns: usize, query: u64) -> DMatrix<f32> {
        let mut rng = self.key.stream(Role::Weights, Part::Query { query: query as u32, block: 0 });
        DMatrix::from_fn(rows, columns, |_, _| rng.sample(StandardNormal))
    }
}

impl LinearMap<f32> for Planted {
    fn forward(&mut self, x: &CachedSignal<f32>, threads: Threads) -> Signal<f32> {
        let factor = Factor::of(x, None, threads);
        self.basis = &x.signal.values * factor.whitener.map(|v| v as f32);
        self.xi = self.draw(self.fan_out, factor.rank(), 0);
        let z = &self.xi * factor.root.map(|v| v as f32).transpose() * self.std;
        Signal::new(z, x.signal.exponent)
    }

    fn backward(&mut self, y: &CachedSignal<f32>, threads: Threads) -> Signal<f32> {
        let factor = Factor::of(y, None, threads);
        let mut eta = self.draw(self.fan_in, factor.rank(), 1);
        if self.reuse {
            eta = self.xi.clone().resize(self.fan_in, factor.rank(), 0.5);
        }
        if self.project {
            eta -= &self.basis * (self.basis.transpose() * &eta);
        }
        let known = &self.basis * (self.xi.transpose() * &y.signal.values);
        let g = (known + eta * factor.root.map(|v| v as f32).transpose()) * self.std;
        Signal::new(g, y.signal.exponent)
    }

    fn release(&mut self) {}
}

/// The same comparison rejects an operator without the projection (I − QQᵀ), and one that takes ξ for η; with both right, the
/// planted operator itself passes.
#[test]
fn planted_errors_are_caught() {
    for index in [0, 1] {
        let case = &cases()[index];
        let dense = sample(case, &|law, n, m, key| linear_map(Method::Dense, law, n, m, key), 1);
        for (project, reuse) in [(true, false), (false, false), (true, true)] {
            let planted = |law: Law, fan_in, fan_out, key| -> Box<dyn LinearMap<f32>> {
                let Law::Normal { std, .. } = law else { unreachable!() };
                let (xi, basis) = (DMatrix::zeros(0, 0), DMatrix::zeros(0, 0));
                Box::new(Planted { std: std as f32, xi, basis, key, fan_in, fan_out, project, reuse })
            };
            let found = distances(&dense, &sample(case, &planted, 2));
            let right = project && !reuse;
            assert_eq!(
                found.iter().all(|d| *d < KS_BOUND),
                right,
                "{} {project} {reuse}: {found:.2?}",
                case.name
            );
        }
    }
}

/// A whole stack: what is recorded at some of its layers.
struct Whole {
    name: &'static str,
    layers: Vec<LayerPlan>,
    act: &'static str,
    batch: usize,
    loss: Loss,
    input: Input,
}

fn whole(
    name: &'static str,
    widths: &[usize],
    weights: fn(f64) -> Law,
    bias: Law,
    act: &'static str,
    batch: usize,
) -> Whole {
    let layers = widths
        .windows(2)
        .map(|w| LayerPlan {
            fan_in: w[0],
            fan_out: w[1],
            weights: weights(w[0] as f64),
            bias,
            rescaled: false,
        })
        .collect();
    Whole { name, layers, act, batch, loss: Loss::Random, input: Input::Normal }
}

/// Each layer scaled to unit variance.
fn rescaled(mut case: Whole) -> Whole {
    case.layers.iter_mut().for_each(|layer| layer.rescaled = true);
    case
}

fn stacks() -> Vec<Whole> {
    let none = Law::Constant(0.0);
    let bias = Law::Normal { mean: 0.1, std: 0.3 };
    vec![
        whole("He, ReLU", &[24; 7], |n| normal(2.0, 0.0, n), none, "relu", 6),
        whole("tanh with biases", &[24; 7], |n| normal(1.5, 0.0, n), bias, "tanh", 6),
        whole(
            "a mean and uniform biases",
            &[20; 5],
            |n| normal(1.0, 0.06, n),
            Law::Uniform { low: -0.2, high: 0.4 },
            "gelu",
            5,
        ),
        whole("sigmoid", &[24; 5], |n| normal(1.0, 0.0, n), none, "sigmoid", 5),
        whole("unequal widths", &[40, 8, 64, 12, 24], |n| normal(2.0, 0.0, n), none, "relu", 9),
        whole("several blocks", &[600, 700, 500, 650], |n| normal(2.0, 0.0, n), none, "relu", 64),
        whole("one sample", &[16; 6], |n| normal(2.0, 0.0, n), none, "relu", 1),
        whole("batch beyond width", &[10; 5], |n| normal(2.0, 0.0, n), none, "tanh", 14),
        Whole {
            loss: Loss::Mse,
            ..whole("mean squared error", &[16; 4], |n| normal(2.0, 0.0, n), none, "relu", 5)
        },
        Whole {
            input: Input::Correlated(0.9),
            ..whole("like samples", &[24; 5], |n| normal(1.0, 0.0, n), none, "tanh", 5)
        },
        Whole {
            input: Input::Uniform,
            ..whole("ReLU, deep", &[32; 40], |n| normal(2.0, 0.0, n), none, "relu", 4)
        },
        whole("Haar", &[40; 6], |_| Law::Haar { gain: 1.4 }, none, "relu", 6),
        whole("Haar, unequal widths", &[40, 64, 24, 30, 48], |_| Law::Haar { gain: 1.1 }, bias, "tanh", 6),
        rescaled(whole("LSUV", &[40, 64, 24, 30, 48], |_| Law::Haar { gain: 1.0 }, none, "relu", 6)),
        // Samples fall together, and every direction in which they still differ carries gradient.
        whole("softplus", &[48; 30], |n| normal(1.0, 0.0, n), none, "softplus", 24),
        whole("Haar, softplus", &[100; 30], |_| Law::Haar { gain: 1.0 }, none, "softplus", 24),
        whole("no weights", &[12; 4], |_| Law::Constant(0.0), none, "relu", 4),
        Whole {
            input: silence(40, 6),
            ..whole("Haar, no input", &[40; 4], |_| Law::Haar { gain: 1.4 }, none, "tanh", 6)
        },
        Whole {
            input: silence(24, 5),
            ..whole("biases alone", &[24; 4], |n| normal(2.0, 0.0, n), bias, "tanh", 5)
        },
        whole("equal weights and biases", &[12; 4], |_| Law::Constant(0.05), bias, "tanh", 4),
    ]
}

fn silence(features: usize, samples: usize) -> Input {
    Input::Data(DMatrix::zeros(features, samples))
}

fn recorded(records: &[LayerRecord]) -> Vec<f64> {
    // Some of them are constants, of LSUV or of like samples, of which rounding would be left to compare.
    let rounded = |x: f64| (x * 1e5).round() / 1e5;
    let log = |w: Wide| rounded(w.log10_abs().unwrap_or(-1e3));
    let moments = |m: Moments| [m.mean.to_f64(), log(m.variance), log(m.second_moment)];
    let (first, last) = (&records[0], &records[records.len() - 1]);
    let middle = &records[records.len() / 2];
    let mut all = vec![];
    for record in [first, middle, last] {
        for quantity in [record.preactivation, record.activation, record.gradient, record.weight_gradient] {
            all.extend(moments(quantity));
        }
        all.extend([
            record.dead_fraction,
            record.saturated_fraction.unwrap_or(0.0),
            rounded(record.correlation.unwrap_or(0.0)),
            rounded(record.effective_rank.unwrap_or(0.0)),
            record.unit_symmetry,
        ]);
    }
    all
}

fn stored(case: &Whole, method: Method, seed: u64) -> Vec<Vec<f64>> {
    let graph = common::stack(&case.layers, &Arc::new(Activation::parse(case.act).unwrap()), method);
    trials(case, |trial| {
        let key = Key { seed, trial, layer: 0 };
        let mut context = graph.context(key, case.batch, Threads::One);
        (context.keep_weights, context.effective_rank) = (trial % 2 == 0, true);
        let input = case.input.draw::<f32>(case.layers[0].fan_in, case.batch, key);
        graph::trial(&graph, vec![input], case.loss, context, false, &|| true).unwrap().records
    })
}

fn streamed(case: &Whole, seed: u64) -> Vec<Vec<f64>> {
    trials(case, |trial| pass(case, &Activation::parse(case.act).unwrap(), seed, trial))
}

fn pass(case: &Whole, act: &Activation, seed: u64, trial: u64) -> Vec<LayerRecord> {
    let stack = Stack {
        layers: &case.layers,
        act,
        input: &case.input,
        batch: case.batch,
        loss: case.loss,
        key: Key { seed, trial, layer: 0 },
        threads: Threads::One,
        effective_rank: true,
        saturation: 0.01,
    };
    stack.pass(&|| true).unwrap()
}

fn trials(case: &Whole, one: impl Fn(u64) -> Vec<LayerRecord> + Sync) -> Vec<Vec<f64>> {
    let draws = match case.layers[0].fan_in {
        101.. => 150,
        48.. => 300,
        _ => 2000,
    };
    (0..draws).into_par_iter().map(|trial| recorded(&one(trial))).collect()
}

/// All that a layer records, at the first, the middle and the last layer: dense, stored implicit and streamed implicit stacks pairwise,
/// 2000 trials each (300 and 150 of the wide ones).
#[test]
fn dense_stored_and_streamed_stacks_record_the_same_laws() {
    for case in stacks() {
        let dense = stored(&case, Method::Dense, 1);
        let implicit = stored(&case, Method::Implicit, 2);
        let blocks = streamed(&case, 3);
        for (pair, a, b) in [
            ("dense, implicit", &dense, &implicit),
            ("dense, streamed", &dense, &blocks),
            ("implicit, streamed", &implicit, &blocks),
        ] {
            let found = distances(a, b);
            let worst = found.iter().copied().fold(0.0, f64::max);
            assert!(worst < KS_BOUND, "{} ({pair}): {found:.2?}", case.name);
        }
    }
}

/// The last block is one unit, dead in half of the layers, while the scale is far below single precision. Each layer keeps
/// a quarter of the variance; its log₁₀ over 299 layers of 4097 units has a standard deviation of 0.26, and 6 of them pass.
#[test]
fn a_block_of_zeros_far_below_single_precision() {
    let layer = |n| LayerPlan {
        fan_in: n,
        fan_out: n,
        weights: normal(0.5, 0.0, n as f64),
        bias: Law::Constant(0.0),
        rescaled: false,
    };
    let layers = vec![layer(4097); 300];
    let case = Whole { layers, ..whole("", &[1, 1], |_| Law::Constant(0.0), Law::Constant(0.0), "relu", 1) };
    let act = Activation::parse(case.act).unwrap();
    for record in pass(&case, &act, 11, 0).iter().enumerate().map(|(index, record)| {
        let expected = (299 - index) as f64 * 0.25f64.log10() + 0.5f64.log10();
        record.gradient.second_moment.log10_abs().unwrap() - expected
    }) {
        assert!(record.abs() < 1.6, "{record}");
    }
}

/// An isometry keeps the gradient of a linear stack whatever its input was.
#[test]
fn a_zero_input_leaves_the_gradient_alone() {
    let mut case = whole("", &[64; 4], |_| Law::Haar { gain: 1.0 }, Law::Constant(0.0), "linear", 8);
    case.input = silence(64, 8);
    let act = Activation::parse(case.act).unwrap();
    let records = pass(&case, &act, 12, 0);
    let decades = |r: &LayerRecord| r.gradient.second_moment.log10_abs().unwrap();
    for record in &records {
        assert!((decades(record) - decades(&records[2])).abs() < 1e-5);
    }
}

/// Threads change the order of work, not a bit of the result.
#[test]
fn streams_do_not_depend_on_threads() {
    let case = &stacks()[5];
    let act = Activation::parse(case.act).unwrap();
    let one = |threads| {
        let (layers, input, key) = (&case.layers, &Input::Normal, Key { seed: 4, trial: 0, layer: 0 });
        let stack = Stack {
            layers,
            act: &act,
            input,
            batch: 64,
            loss: Loss::Random,
            key,
            threads,
            effective_rank: true,
            saturation: 0.01,
        };
        recorded(&stack.pass(&|| true).unwrap())
    };
    assert_eq!(one(Threads::One), one(Threads::All));
}

/// He & ReLU at a million units: ratios of squared norms follow (2/n)·χ²_Binomial(n, ½). One sample, 6 × 40 ratios against
/// 20 000 draws of the law; KS, false alarm 10⁻⁶. A law with variance 4/n, which forgets that the number of active units is
/// random, is told apart by the variance: 240 ratios give it within 5.3·√(2/240) of itself.
#[test]
fn a_million_units_follow_the_exact_law() {
    use rand_distr::{Binomial, ChiSquared, Distribution};
    let n = 1_000_000;
    let layers = vec![
        LayerPlan {
            fan_in: n,
            fan_out: n,
            weights: normal(2.0, 0.0, n as f64),
            bias: Law::Constant(0.0),
            rescaled: false,
        };
        40
    ];
    let act = Activation::parse("relu").unwrap();
    let mut ratios = vec![];
    for trial in 0..6 {
        let stack = Stack {
            layers: &layers,
            act: &act,
            input: &Input::Normal,
            batch: 1,
            loss: Loss::Random,
            key: Key { seed: 8, trial, layer: 0 },
            threads: Threads::All,
            effective_rank: false,
            saturation: 0.01,
        };
        let records = stack.pass(&|| true).unwrap();
        let log = |r: &LayerRecord| r.activation.second_moment.log10_abs().unwrap();
        ratios.extend(records.windows(2).map(|w| 10f64.powf(log(&w[1]) - log(&w[0]))));
    }
    let mut rng = rand::rngs::Xoshiro256PlusPlus::seed_from_u64(6);
    let active = Binomial::new(n as u64, 0.5).unwrap();
    let law: Vec<f64> = (0..20_000)
        .map(|_| 2.0 / n as f64 * ChiSquared::new(active.sample(&mut rng) as f64).unwrap().sample(&mut rng))
        .collect();
    let found = two_sample(ratios.clone(), law.clone());
    assert!(found < KS_BOUND, "{found}");
    let shifted = law.iter().map(|r| r * 1.002).collect();
    assert!(two_sample(ratios.clone(), shifted) > KS_BOUND, "two parts in a thousand are not told apart");
    let count = ratios.len() as f64;
    let mean = ratios.iter().sum::<f64>() / count;
    let variance = ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (count - 1.0) * n as f64;
    assert!((variance / 5.0 - 1.0).abs() < 5.3 * (2.0 / count).sqrt(), "{variance}");
}
