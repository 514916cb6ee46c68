use super::*;
use crate::law::Law;
use crate::law::draw::{Standard, fill};
use crate::numeric::cached::CachedSignal;
use crate::numeric::stream::{Key, Role};
use nalgebra::DMatrix;
use statrs::distribution::{ContinuousCDF, Normal};

const KEY: Key = Key { seed: 7, trial: 0, layer: 1 };

fn laws() -> Vec<Law> {
    vec![
        Law::Constant(0.3),
        Law::Normal { mean: 0.5, std: 2.0 },
        Law::Uniform { low: -1.0, high: 3.0 },
        Law::TruncatedNormal { mean: 1.0, std: 2.0, low: -1.0, high: 2.0 },
        Law::Haar { gain: 1.5 },
        Law::Identity { gain: 2.0 },
        Law::Sparse { sparsity: 0.3, std: 0.7 },
    ]
}

#[test]
fn both_products_are_those_of_one_matrix() {
    for law in laws() {
        for (fan_in, fan_out) in [(9, 9), (70, 40), (40, 70), (1, 3)] {
            let x = DMatrix::from_fn(fan_in, 5, |i, j| ((i * 7 + j * 3) % 11) as f64 - 4.5);
            let y = DMatrix::from_fn(fan_out, 5, |i, j| ((i * 5 + j) % 7) as f64 - 3.5);
            let mut operator = Dense::<f64>::new(law, fan_in, fan_out, KEY);
            let plain = |s: Signal<f64>| s.values.map(|v| v * 2f64.powi(s.exponent as i32));
            let forward = plain(operator.forward(&Signal::new(x.clone(), 0).into(), Threads::One));
            operator.release();
            let backward = plain(operator.backward(&Signal::new(y.clone(), 0).into(), Threads::All));
            let w = operator.matrix(Threads::One);
            assert!((&w * &x - forward).amax() < 1e-10, "{law:?} {fan_in}×{fan_out}");
            assert!((w.transpose() * &y - backward).amax() < 1e-10, "{law:?} {fan_in}×{fan_out}");
        }
    }
}

#[test]
fn haar_matrices_are_orthogonal() {
    for (fan_in, fan_out) in [(100, 100), (100, 37), (37, 100), (1, 1), (2, 2)] {
        let w = Dense::<f64>::new(Law::Haar { gain: 1.0 }, fan_in, fan_out, KEY).matrix(Threads::One);
        let gram = if fan_in >= fan_out { &w * w.transpose() } else { w.transpose() * &w };
        let identity = DMatrix::identity(gram.nrows(), gram.nrows());
        assert!((gram - identity).amax() < 1e-13);
    }
}

/// Haar: Q₁₁² ~ Beta(½, (n−1)/2), hence E Q₁₁⁴ = 3/(n(n+2)), and E Q₁₁ = 0, E Q₁₁Q₂₂ = 0 (n > 1). With the signs left
/// out Q₁₁ would be one-sided. 20 000 draws; each mean within 5.3 standard errors (false alarm 10⁻⁷ each).
#[test]
fn haar_entries_follow_their_law() {
    let n = 3;
    let draws = 20_000;
    let (mut first, mut fourth, mut pair, mut determinant) = (vec![], vec![], vec![], vec![]);
    for trial in 0..draws {
        let q = Dense::<f64>::new(Law::Haar { gain: 1.0 }, n, n, Key { trial, ..KEY }).matrix(Threads::One);
        first.push(q[(2, 2)]);
        fourth.push(q[(0, 0)].powi(4));
        pair.push(q[(0, 0)] * q[(1, 1)]);
        determinant.push(q.determinant());
    }
    for (values, expected) in [(first, 0.0), (fourth, 0.2), (pair, 0.0), (determinant, 0.0)] {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!((mean - expected).abs() < 5.3 * spread / count.sqrt(), "{mean} instead of {expected}");
    }
}

/// Each branch of the truncated sampler against its distribution function: KS with 100 000 draws, bound 2.7/√n
/// (false alarm 2e^(−2·2.7²) ≈ 10⁻⁶); a neighboring window is told apart.
#[test]
fn truncated_normals_follow_their_law_in_every_window() {
    let distance = |low: f64, high: f64, model: (f64, f64)| {
        let mut values = vec![0.0f64; 100_000];
        fill(&mut values, Standard::Truncated { low, high }, KEY, Role::Weights, Threads::All);
        values.sort_by(f64::total_cmp);
        assert!(values[0] >= low && values[values.len() - 1] <= high);
        let normal = Normal::standard();
        let (a, b) = (normal.sf(model.0), normal.sf(model.1));
        let count = values.len() as f64;
        let gap = |(k, z): (usize, &f64)| {
            let f = ((a - normal.sf(*z)) / (a - b)).clamp(0.0, 1.0);
            (f - k as f64 / count).abs().max((f - (k as f64 + 1.0) / count).abs())
        };
        values.iter().enumerate().map(gap).fold(0.0, f64::max) * count.sqrt()
    };
    for (low, high) in [
        (-2.0, 2.0),
        (0.0, 0.5),
        (0.3, 1.0),
        (0.1, 5.0),
        (1.0, 1.2),
        (2.0, 9.0),
        (6.0, 6.1),
        (-5.0, -1.0),
        (-0.2, 0.1),
        (-9.0, -0.4),
        (0.4, 1.9),
        (8.0, 40.0),
    ] {
        let d = distance(low, high, (low, high));
        assert!(d < 2.7, "[{low}, {high}]: {d}");
    }
    assert!(distance(-2.0, 2.0, (-2.3, 2.3)) > 2.7);
}

/// Every column of W is asked for in the end, so all earlier answers, from either side, must be products with that W.
#[test]
fn implicit_answers_belong_to_one_matrix_however_often_it_is_asked() {
    let batch = |rows: usize, columns: usize, k: usize| {
        CachedSignal::from(Signal::new(
            DMatrix::from_fn(rows, columns, |i, j| f64::sin((3 + i * 7 + j * 11 + i * j * k) as f64)),
            2,
        ))
    };
    let plain = |s: Signal<f64>| s.values.map(|v| v * 2f64.powi(s.exponent as i32));
    let laws = [
        Law::Normal { mean: 0.0, std: 0.7 },
        Law::Normal { mean: 0.3, std: 0.7 },
        Law::Constant(0.3),
        Law::Haar { gain: 1.5 },
    ];
    for law in laws {
        for (fan_in, fan_out) in [(12, 12), (9, 14), (14, 9)] {
            let mut w = linear_map::<f64>(Method::Implicit, law, fan_in, fan_out, KEY);
            let (x, y, again) = (batch(fan_in, 3, 1), batch(fan_out, 4, 2), batch(fan_in, 2, 3));
            let wx = plain(w.forward(&x, Threads::One));
            let wy = plain(w.backward(&y, Threads::One));
            w.release();
            let wagain = plain(w.forward(&again, Threads::One));
            let repeated = plain(w.forward(&x, Threads::One));
            let wy2 = plain(w.backward(&batch(fan_out, 2, 5), Threads::One));
            let whole =
                plain(w.forward(&Signal::new(DMatrix::identity(fan_in, fan_in), 0).into(), Threads::One));
            let transposed =
                plain(w.backward(&Signal::new(DMatrix::identity(fan_out, fan_out), 0).into(), Threads::One));
            let close = |a: DMatrix<f64>, b: DMatrix<f64>, what: &str| {
                assert!((a - b).amax() < 1e-9, "{law:?} {fan_in}×{fan_out}: {what}");
            };
            let input = |x: &CachedSignal<f64>| plain(x.signal.clone());
            close(&whole * input(&x), wx.clone(), "first forward");
            close(repeated, wx, "the same again");
            close(whole.transpose() * input(&y), wy, "first backward");
            close(&whole * input(&again), wagain, "second forward");
            close(whole.transpose() * input(&batch(fan_out, 2, 5)), wy2, "second backward");
            close(transposed, whole.transpose(), "transpose");
            if let Law::Haar { gain } = law {
                let gram =
                    if fan_in >= fan_out { &whole * whole.transpose() } else { whole.transpose() * &whole };
                let identity = DMatrix::identity(gram.nrows(), gram.nrows());
                close(gram / (gain * gain), identity, "orthogonal");
            }
        }
    }
}
