//! Two-sample Kolmogorov–Smirnov tests of lists of statistics.

/// A distance beyond this is a difference: false-alarm rate 2e^(−2·2.7²) ≈ 9·10⁻⁷ for each comparison.
pub const KS_BOUND: f64 = 2.7;

/// sup |F_n − F_m|·√(nm/(n+m)).
pub fn two_sample(mut a: Vec<f64>, mut b: Vec<f64>) -> f64 {
    assert!(a.iter().chain(&b).all(|v| !v.is_nan()));
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut i, mut j, mut gap) = (0, 0, 0.0f64);
    while i < a.len() && j < b.len() {
        let x = a[i].min(b[j]);
        while i < a.len() && a[i] <= x {
            i += 1;
        }
        while j < b.len() && b[j] <= x {
            j += 1;
        }
        gap = gap.max((i as f64 / n - j as f64 / m).abs());
    }
    gap * (n * m / (n + m)).sqrt()
}

/// For each statistic, the KS distance of two samples of them.
pub fn distances(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<f64> {
    let column = |sample: &[Vec<f64>], k: usize| sample.iter().map(|row| row[k]).collect();
    (0..a[0].len()).map(|k| two_sample(column(a, k), column(b, k))).collect()
}
