//! The engine against laws that hold exactly. Every test has a fixed seed, states its sample size and false-alarm rate,
//! and fails on a wrong law.

#[path = "common/stack.rs"]
mod common;

use initdiag::activation::Activation;
use initdiag::graph;
use initdiag::law::Law;
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::Key;
use initdiag::op::record::LayerRecord;
use initdiag::simulate::LayerPlan;
use initdiag::spec::Loss;
use initdiag::weights::Method;
use nalgebra::DMatrix;
use rayon::prelude::*;
use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF, Discrete};
use std::sync::Arc;

/// KS statistic times √n above which a true law is rejected with probability 2e^(−2·2.7²) ≈ 9·10⁻⁷.
const KS_BOUND: f64 = 2.7;
/// Standard errors beyond which a mean is rejected: two-sided normal tail 1.2·10⁻⁷.
const SIGMAS: f64 = 5.3;

fn stack(depth: usize, n: usize, weights: Law) -> Vec<LayerPlan> {
    vec![LayerPlan { fan_in: n, fan_out: n, weights, bias: Law::Constant(0.0), rescaled: false }; depth]
}

fn he(n: usize) -> Law {
    Law::Normal { mean: 0.0, std: (2.0 / n as f64).sqrt() }
}

/// Records of one trial with a batch of one constant sample.
fn trial(layers: &[LayerPlan], act: &Arc<Activation>, trial: u64) -> Vec<LayerRecord> {
    let graph = common::stack(layers, act, Method::Dense);
    let context = graph.context(Key { seed: 11, trial, layer: 0 }, 1, Threads::One);
    let input = Signal::<f32>::new(DMatrix::from_element(layers[0].fan_in, 1, 1.0), 0);
    graph::trial(&graph, vec![input], Loss::Random, context, false, &|| true).unwrap().records
}

/// log₂ of ‖h‖² at each layer, the input's first.
fn log_norms(records: &[LayerRecord], n: usize) -> Vec<f64> {
    let square = |r: &LayerRecord| {
        r.activation.second_moment.log10_abs().map_or(f64::NEG_INFINITY, |x| x * 10f64.ln())
    };
    std::iter::once((n as f64).ln()).chain(records.iter().map(|r| square(r) + (n as f64).ln())).collect()
}

/// √n·sup |F_n − F| for a continuous F.
fn ks(mut values: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let gap = |(k, x): (usize, &f64)| {
        let f = cdf(*x);
        (f - k as f64 / count).abs().max(((k + 1) as f64 / count - f).abs())
    };
    values.iter().enumerate().map(gap).fold(0.0, f64::max) * count.sqrt()
}

/// P(scale/n · χ²_A ≤ r), A ~ Binomial(n, ½): the ratio of squared norms over a He-ReLU layer, with scale 2.
fn relu_ratio_cdf(r: f64, n: u64, scale: f64) -> f64 {
    let active = Binomial::new(0.5, n).unwrap();
    (0..=n)
        .map(|a| {
            let below =
                if a == 0 { 1.0 } else { ChiSquared::new(a as f64).unwrap().cdf(r * n as f64 / scale) };
            active.pmf(a) * below
        })
        .sum()
}

/// He & ReLU, one layer after another: ratios are independent with law (2/n)·χ²_Binomial(n, ½).
/// n = 16, 400 trials × 30 layers = 12 000 ratios; false alarm 10⁻⁶.
#[test]
fn he_relu_ratios_follow_a_chi_squared_of_binomial_degrees() {
    let n = 16;
    let act = Arc::new(Activation::parse("relu").unwrap());
    let layers = stack(30, n, he(n));
    let ratios: Vec<f64> = (0..400u64)
        .into_par_iter()
        .flat_map(|t| {
            let norms = log_norms(&trial(&layers, &act, t), n);
            norms.windows(2).map(|w| (w[1] - w[0]).exp()).take_while(|r| *r > 0.0).collect::<Vec<_>>()
        })
        .collect();
    assert!(ratios.len() > 11_900);
    let right = ks(ratios.clone(), |r| relu_ratio_cdf(r, n as u64, 2.0));
    assert!(right < KS_BOUND, "{right}");
    // A variance off by 5 %, and a law that forgets the random number of active units, are caught.
    let off = ks(ratios.clone(), |r| relu_ratio_cdf(r, n as u64, 2.1));
    assert!(off > KS_BOUND, "{off}");
    let wrong = ks(ratios, |r| ChiSquared::new(n as f64 / 2.0).unwrap().cdf(r * n as f64 / 2.0));
    assert!(wrong > KS_BOUND, "{wrong}");
}

/// The distribution of ln‖h_L‖² at depth 50, n = 100, against 20 000 sums of draws from the exact law of one layer;
/// two-sample KS, 1500 trials, false alarm 10⁻⁶. Mean −β/2 and variance β with β = 5L/n = 2.5, within sampling error of
/// the exact moments of the law and within the theory's own O(L/n²) of these.
#[test]
fn he_relu_log_norm_at_depth_50_follows_its_law() {
    use rand::{RngExt, SeedableRng};
    let (n, depth, trials) = (100, 50, 1500);
    let act = Arc::new(Activation::parse("relu").unwrap());
    let layers = stack(depth, n, he(n));
    let measured: Vec<f64> = (0..trials)
        .into_par_iter()
        .map(|t| {
            let norms = log_norms(&trial(&layers, &act, t), n);
            norms[depth] - norms[0]
        })
        .collect();
    let model = |scale: f64, seed: u64| -> Vec<f64> {
        let mut rng = rand::rngs::Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut layer = || {
            let mut sum = 0.0;
            for _ in 0..n {
                // An active unit contributes a squared Gaussian.
                let z: f64 = rng.sample(rand_distr::StandardNormal);
                if z > 0.0 {
                    sum += z * z;
                }
            }
            (scale * sum / n as f64).ln()
        };
        (0..20_000).map(|_| (0..depth).map(|_| layer()).sum()).collect()
    };
    let two_sample = |model: Vec<f64>| {
        let mut sorted = model;
        sorted.sort_by(f64::total_cmp);
        let cdf = |x: f64| sorted.partition_point(|m| *m <= x) as f64 / sorted.len() as f64;
        // √(nm/(n+m)) in place of √n.
        ks(measured.clone(), cdf) * (20_000.0 / (20_000.0 + trials as f64)).sqrt()
    };
    let right = two_sample(model(2.0, 1));
    assert!(right < KS_BOUND, "{right}");
    let off = two_sample(model(2.02, 2));
    assert!(off > KS_BOUND, "a factor of 1.01 a layer: {off}");

    let beta = 5.0 * depth as f64 / n as f64;
    let count = measured.len() as f64;
    let mean = measured.iter().sum::<f64>() / count;
    let variance = measured.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
    // ln of one ratio: mean −5/(2n) and variance 5/n up to terms of order 1/n², which 50 layers add up to a few per cent.
    let slack = 0.04 * beta;
    assert!(
        (mean + beta / 2.0).abs() < SIGMAS * (beta / count).sqrt() + slack,
        "mean {mean}, theory {}",
        -beta / 2.0
    );
    assert!(
        (variance - beta).abs() < SIGMAS * beta * (2.0 / count).sqrt() + slack,
        "variance {variance}, theory {beta}"
    );
}

/// Linear & Gaussian with n·Var = 1: ratios are (1/n)χ²_n. n = 8, 300 × 20 = 6000 ratios; false alarm 10⁻⁶.
#[test]
fn linear_gaussian_ratios_are_chi_squared() {
    let n = 8;
    let act = Arc::new(Activation::parse("linear").unwrap());
    let layers = stack(20, n, Law::Normal { mean: 0.0, std: (1.0 / n as f64).sqrt() });
    let ratios: Vec<f64> = (0..300)
        .flat_map(|t| {
            let norms = log_norms(&trial(&layers, &act, t), n);
            norms.windows(2).map(|w| (w[1] - w[0]).exp()).collect::<Vec<_>>()
        })
        .collect();
    let law = |variance: f64| move |r: f64| ChiSquared::new(n as f64).unwrap().cdf(r * n as f64 / variance);
    let right = ks(ratios.clone(), law(1.0));
    assert!(right < KS_BOUND, "{right}");
    let wrong = ks(ratios, law(1.1));
    assert!(wrong > KS_BOUND, "a variance off by 10 %: {wrong}");
}

/// The gradient of a linear Gaussian stack obeys the same law backwards: ‖D_{l−1}‖²/‖D_l‖² = (1/n)χ²_n.
#[test]
fn linear_gaussian_gradients_are_chi_squared() {
    let n = 8;
    let act = Arc::new(Activation::parse("linear").unwrap());
    let layers = stack(20, n, Law::Normal { mean: 0.0, std: (1.0 / n as f64).sqrt() });
    let ratios: Vec<f64> = (0..300)
        .flat_map(|t| {
            let records = trial(&layers, &act, t);
            let log = |r: &LayerRecord| r.gradient.second_moment.log10_abs().unwrap();
            records.windows(2).map(|w| 10f64.powf(log(&w[0]) - log(&w[1]))).collect::<Vec<_>>()
        })
        .collect();
    let right = ks(ratios.clone(), |r| ChiSquared::new(n as f64).unwrap().cdf(r * n as f64));
    assert!(right < KS_BOUND, "{right}");
    let wrong = ks(ratios, |r| ChiSquared::new(n as f64).unwrap().cdf(r * n as f64 / 1.1));
    assert!(wrong > KS_BOUND, "a variance off by 10 %: {wrong}");
}

/// Orthogonal & linear: norms of signal and gradient are kept to rounding over 100 layers of width 96.
#[test]
fn orthogonal_linear_stacks_keep_norms() {
    let act = Arc::new(Activation::parse("linear").unwrap());
    let records = trial(&stack(100, 96, Law::Haar { gain: 1.0 }), &act, 0);
    // An inner product of n terms rounds by about √n units (Higham & Mary 2019), twice that for a squared norm.
    let unit = 96f64.sqrt() * f64::from(f32::EPSILON) * std::f64::consts::LOG10_E;
    for (index, r) in records.iter().enumerate() {
        assert!(r.activation.second_moment.log10_abs().unwrap().abs() < unit * (index as f64 + 1.0));
    }
    let log = |r: &LayerRecord| r.gradient.second_moment.log10_abs().unwrap();
    assert!((log(&records[0]) - log(&records[99])).abs() < 100.0 * unit);
    // A gain off by 10⁻⁴ is no rounding.
    let off = trial(&stack(100, 96, Law::Haar { gain: 1.0001 }), &act, 0);
    assert!(off[99].activation.second_moment.log10_abs().unwrap().abs() > 100.0 * unit);
    let graph = common::stack(&stack(100, 96, Law::Haar { gain: 1.0 }), &act, Method::Dense);
    let mut context = graph.context(Key { seed: 0, trial: 0, layer: 0 }, 1, Threads::One);
    context.keep_weights = false;
    let input = Signal::<f64>::new(DMatrix::from_element(96, 1, 1.0), 0);
    let records = graph::trial(&graph, vec![input], Loss::Random, context, false, &|| true).unwrap().records;
    assert!(records[99].activation.second_moment.log10_abs().unwrap().abs() < 1e-13);
}

/// Xavier & ReLU keep one half of the expected squared norm a layer, PyTorch's default (without its biases) one sixth;
/// He with GELU's Gaussian moments is no such law. Mean ratio over 200 × 10 layers of width 64, bound 5.3 standard errors.
#[test]
fn mean_ratios_are_the_expected_fractions() {
    let n = 64;
    let act = Arc::new(Activation::parse("relu").unwrap());
    let mean_ratio = |law: Law| {
        let layers = stack(10, n, law);
        let ratios: Vec<f64> = (0..200)
            .flat_map(|t| {
                let norms = log_norms(&trial(&layers, &act, t), n);
                norms.windows(2).map(|w| (w[1] - w[0]).exp()).collect::<Vec<_>>()
            })
            .collect();
        let count = ratios.len() as f64;
        let mean = ratios.iter().sum::<f64>() / count;
        let spread = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / count).sqrt();
        (mean, spread / count.sqrt())
    };
    let limit = 1.0 / (n as f64).sqrt();
    for (law, expected) in [
        (Law::Normal { mean: 0.0, std: (1.0 / n as f64).sqrt() }, 0.5),
        (Law::Uniform { low: -limit, high: limit }, 1.0 / 6.0),
        (he(n), 1.0),
    ] {
        let (mean, error) = mean_ratio(law);
        assert!((mean - expected).abs() < SIGMAS * error, "{law:?}: {mean} ± {error}");
        assert!((mean - 1.05 * expected).abs() > SIGMAS * error, "{law:?}: 5 % more is not told apart");
    }
}

/// Looks-linear (Balduzzi et al. 2017, § 4): ReLU(Ma) and ReLU(−Ma) make Ma again, so the units' norm is that which the first layer made,
/// up to the last layer, and half of it behind that, whose units stand alone. No statistics: the bound is rounding's. Blocks of
/// equal signs, or He's law, miss it at once.
#[test]
fn looks_linear_keeps_norms_through_relus() {
    let (depth, n) = (60, 64);
    let act = Arc::new(Activation::parse("relu").unwrap());
    let place =
        |layer: usize, gain: f64| Law::Mirrored { gain, inputs: layer > 0, outputs: layer + 1 < depth };
    let squares = |law: &dyn Fn(usize) -> Law| -> Vec<(f64, f64)> {
        let mut layers = stack(depth, n, Law::Constant(0.0));
        layers.iter_mut().enumerate().for_each(|(layer, plan)| plan.weights = law(layer));
        let log = |m: initdiag::op::record::Moments| m.second_moment.log10_abs().unwrap();
        let records = trial(&layers, &act, 3);
        records.iter().map(|r| (log(r.preactivation), log(r.gradient))).collect()
    };
    let gap = |squares: &[(f64, f64)]| {
        let half = 0.5f64.log10();
        let forward = |layer: usize| if layer + 1 == depth { half } else { 0.0 };
        let ahead = squares.iter().enumerate().map(|(l, s)| (s.0 - squares[0].0 - forward(l)).abs());
        // Of each pair one unit is at work, which hands on the gradient of both.
        let back = squares[..depth - 1].iter().map(|s| (s.1 - squares[0].1).abs());
        (ahead.fold(0.0, f64::max), back.fold(0.0, f64::max))
    };
    let (ahead, back) = gap(&squares(&|layer| place(layer, 1.0)));
    assert!(ahead < 1e-5 && back < 1e-5, "{ahead} {back}");
    for wrong in [gap(&squares(&|layer| place(layer, 1.01))), gap(&squares(&|_| he(n)))] {
        assert!(wrong.0 > 1e-3 && wrong.1 > 1e-3, "{wrong:?}");
    }
}
