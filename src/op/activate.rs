//! H = φ(Z) and φ′(Z) for a signal of any scale.

use super::record;
use crate::activation::Activation;
use crate::numeric::cached::{CachedSignal, ColumnSums};
use crate::numeric::pieces;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, zeros};
use crate::numeric::slice::{max_abs, max_abs_into, multiply};
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;

/// ψ(Z) = φ(Z) − φ(0) and φ′(Z), both n × B.
pub struct Activated<T: Real> {
    /// ψ(Z) = φ(Z) − φ(0), n × B.
    pub psi: Signal<T>,
    /// φ′(Z), n × B.
    pub slope: Signal<T>,
}

/// This many powers of two below the largest value that ψ or φ′ would be of a tangent, single precision holds no entry.
const LOST: i64 = -60;

/// Slopes up to 2^this, and down to its inverse, leave single precision room for the mantissas of a signal.
const HELD: i32 = 90;

fn held(slope: f64) -> bool {
    slope == 0.0 || libm::ilogb(slope).abs() <= HELD
}

/// Evaluates an activation at the true value of every entry.
///
/// A homogeneous one commutes with the signal's scale. Others are evaluated in the signal's precision where that holds
/// all entries that count, as their tangent where they have one far below one, and by
/// [`crate::activation::Kernel::extended`] beyond.
pub fn activate<T: Real>(act: &Activation, z: &Signal<T>) -> Activated<T> {
    let (left, right) = act.shape.slopes_at_zero;
    let slopes_held = held(left) && held(right);
    if act.shape.homogeneous {
        if !slopes_held {
            return extended(act, z);
        }
        let (psi, slope) = map(act, &z.values);
        return Activated { psi: Signal::new(psi, z.exponent), slope: Signal::new(slope, 0) };
    }
    let straight = |top: i64| act.shape.tangent_below.is_some_and(|below| top < below);
    match z.top_exponent() {
        Some(top) if top < -T::SAFE_LOG2 && straight(top) && slopes_held && left != 0.0 && right != 0.0 => {
            linearized((T::of(left), T::of(right)), z)
        }
        Some(top) if top < -T::SAFE_LOG2 => extended(act, z),
        Some(top) if top > T::SAFE_LOG2 => extended(act, z),
        top => {
            let scale = T::of(libm::scalbn(1.0, z.exponent as i32));
            let plain = top.is_none() || z.exponent == 0;
            let (psi, slope) =
                if plain { map(act, &z.values) } else { map(act, &z.values.map(|v| v * scale)) };
            let (large, steep) = (max_abs(psi.as_slice()).to_f64(), max_abs(slope.as_slice()).to_f64());
            let finite = large.is_finite() && steep.is_finite();
            let floor = |top: i64| libm::scalbn(1.0, (LOST + top.min(0)) as i32);
            let lost = top.is_some_and(|top| large < floor(top) || steep < floor(0));
            if !finite || lost {
                return extended(act, z);
            }
            Activated { psi: Signal::new(psi, 0), slope: Signal::new(slope, 0) }
        }
    }
}

/// ψ(Z), and what is recorded of φ′(Z), which is not kept.
pub struct Evaluated<T: Real> {
    /// ψ(Z) = φ(Z) − φ(0), n × B.
    pub psi: CachedSignal<T>,
    /// The largest slope of each unit.
    pub steepest: Vec<T>,
    /// Entries whose slope is below the threshold.
    pub below: usize,
}

/// Exponents of signals all of whose mantissas are plain numbers.
const PLAIN_LOG2: i64 = 20;
/// Entries that are evaluated at a time: they, their values and slopes stay in the second cache.
const STRETCH: usize = 1 << 14;

/// Powers of two that the entries of a signal are to be multiplied by, where that is all there is to its scale.
fn plain_scale<T: Real>(z: &Signal<T>) -> Option<T> {
    (z.exponent.abs() <= PLAIN_LOG2).then(|| T::of(libm::scalbn(1.0, z.exponent as i32)))
}

/// (ψ, φ′) of some entries.
fn stretch<T: Real>(act: &Activation, z: &[T], scale: T, psi: &mut [T], slope: &mut [T]) {
    if scale == T::ONE {
        return T::map(act.kernel.as_ref(), z, psi, slope);
    }
    let scaled: Vec<T> = z.iter().map(|v| *v * scale).collect();
    T::map(act.kernel.as_ref(), &scaled, psi, slope);
}

/// Evaluates an activation as [`activate`] does, without keeping its slopes, which [`times_slopes`] finds again; `None` where
/// these are not evaluated quickly, or where the signal's scale is not that of plain numbers.
pub fn evaluate<T: Real>(
    act: &Activation,
    z: &Signal<T>,
    threshold: f64,
    threads: Threads,
) -> Option<Evaluated<T>> {
    let scale = plain_scale(z).filter(|_| act.kernel.is_quick() && !act.shape.homogeneous)?;
    let (rows, columns) = z.values.shape();
    let level = T::of(threshold);
    let mut psi = zeros(rows, columns);
    let length = (STRETCH / rows.max(1)).max(1) * rows.max(1);
    let found = pieces::mapped(z.values.as_slice(), psi.as_mut_slice(), length, threads, |z, psi| {
        let mut slope = vec![T::ZERO; z.len()];
        stretch(act, z, scale, psi, &mut slope);
        let (steepest, below) = record::slopes_below(&slope, rows, level);
        (max_abs(psi), ColumnSums::of(psi, rows.max(1)), steepest, below)
    });
    let mut steepest = vec![T::ZERO; rows];
    let (mut tops, mut sums, mut below) = (Vec::new(), Vec::new(), 0);
    for (top, part, slopes, count) in found {
        tops.push(top);
        sums.push(part);
        max_abs_into(&mut steepest, &slopes, T::ZERO);
        below += count;
    }
    let (large, steep) = (max_abs(&tops).to_f64(), max_abs(&steepest).to_f64());
    // A zero signal has no entry that could be lost.
    let kept = large > libm::scalbn(1.0, PLAIN) && steep > libm::scalbn(1.0, PLAIN);
    let held = (kept || large == 0.0 && z.is_zero()) && large.is_finite() && steep.is_finite();
    held.then(|| Evaluated { psi: CachedSignal::made(psi, 0, &tops, sums), steepest, below })
}

/// log₂ of values and slopes that are far from the smallest numbers of any precision.
const PLAIN: i32 = -40;

/// D ∘ φ′(Z) of a signal that [`evaluate`] took.
pub fn times_slopes<T: Real>(act: &Activation, z: &Signal<T>, d: Signal<T>, threads: Threads) -> Signal<T> {
    let scale = plain_scale(z).unwrap_or(T::ONE);
    let entries = z.values.as_slice();
    let Signal { mut values, exponent } = d;
    let slopes = |z: &[T]| {
        let (mut psi, mut slope) = (vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]);
        stretch(act, z, scale, &mut psi, &mut slope);
        slope
    };
    let least = T::of(libm::scalbn(1.0, LOST as i32));
    // Where all products of a stretch are tiny it is left as it is, for they may have underflowed.
    let tops = pieces::each(values.as_mut_slice(), STRETCH, threads, |first, d| {
        let mut product = slopes(&entries[first..first + d.len()]);
        let top = multiply(&mut product, d);
        let written = top > least;
        if written {
            d.copy_from_slice(&product);
        }
        written.then_some(top)
    });
    let found: Vec<T> = tops.iter().flatten().copied().collect();
    if found.is_empty() {
        let slope = DMatrix::from_vec(values.nrows(), values.ncols(), slopes(entries));
        return Signal { values, exponent }.hadamard(&Signal::new(slope, 0));
    }
    for (index, d) in values.as_mut_slice().chunks_mut(STRETCH).enumerate() {
        if tops[index].is_none() {
            multiply(d, &slopes(&entries[index * STRETCH..][..d.len()]));
        }
    }
    Signal { values, exponent }.normalized_from(&found)
}

/// H = φ(0) + ψ.
pub fn activation<T: Real>(psi: Signal<T>, at_zero: f64) -> Signal<T> {
    let (rows, batch) = psi.values.shape();
    psi.plus(Signal::new(DMatrix::from_element(rows, batch, T::of(at_zero)), 0))
}

fn map<T: Real>(act: &Activation, z: &DMatrix<T>) -> (DMatrix<T>, DMatrix<T>) {
    let (rows, batch) = z.shape();
    let mut psi = DMatrix::from_element(rows, batch, T::ZERO);
    let mut slope = DMatrix::from_element(rows, batch, T::ZERO);
    T::map(act.kernel.as_ref(), z.as_slice(), psi.as_mut_slice(), slope.as_mut_slice());
    (psi, slope)
}

fn linearized<T: Real>((left, right): (T, T), z: &Signal<T>) -> Activated<T> {
    let slope = z.values.map(|v| if v > T::ZERO { right } else { left });
    Activated { psi: Signal::new(z.values.component_mul(&slope), z.exponent), slope: Signal::new(slope, 0) }
}

fn extended<T: Real>(act: &Activation, z: &Signal<T>) -> Activated<T> {
    let (rows, batch) = z.values.shape();
    let (psi, slope): (Vec<_>, Vec<_>) =
        z.values.iter().map(|v| act.kernel.extended(Wide::new(v.to_f64(), z.exponent))).unzip();
    Activated { psi: Signal::from_wide(rows, batch, &psi), slope: Signal::from_wide(rows, batch, &slope) }
}

/// Units whose slope is zero on the whole batch, given the largest slope of each as evaluated in the signal's precision.
///
/// A slope that only underflowed there does not count as dead.
pub fn dead_units<T: Real>(act: &Activation, z: &Signal<T>, steepest: &[T]) -> usize {
    let (left, right) = act.shape.slopes_at_zero;
    let slope_is_zero = |v: T| match act.shape.homogeneous {
        true => (if v > T::ZERO { right } else { left }) == 0.0,
        false => act.kernel.extended(Wide::new(v.to_f64(), z.exponent)).1.is_zero(),
    };
    let zeros = steepest.iter().filter(|top| **top == T::ZERO).count();
    let underflows = |slope: f64| slope != 0.0 && T::of(slope) == T::ZERO;
    if zeros == 0 || act.shape.homogeneous && !underflows(left) && !underflows(right) {
        return zeros;
    }
    let silent = |row: usize| z.values.row(row).iter().all(|v| slope_is_zero(*v));
    steepest.iter().enumerate().filter(|(row, top)| **top == T::ZERO && silent(*row)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_that_are_found_again_are_those_that_were_kept() {
        let z = DMatrix::from_fn(70, 1000, |i, j| ((i * 31 + j * 17) % 97) as f32 / 12.0 - 4.0);
        let d = DMatrix::from_fn(70, 1000, |i, j| ((i * 7 + j * 5) % 23) as f32 - 11.0);
        for name in ["gelu", "relu6", "silu", "tanh", "softplus"] {
            let act = Activation::parse(name).unwrap();
            for exponent in [0, 1, -3] {
                let (z, d) =
                    (Signal { values: z.clone(), exponent }, Signal { values: d.clone(), exponent: 5 });
                let kept = activate(&act, &z);
                let (steepest, below) = record::slopes(&kept.slope, 0.3.into());
                for threads in [Threads::One, Threads::All] {
                    let found = evaluate(&act, &z, 0.3, threads).unwrap();
                    assert_eq!(found.psi.signal.values, kept.psi.values, "{name}");
                    assert_eq!((found.steepest, found.below), (steepest.clone(), below), "{name}");
                    let product = times_slopes(&act, &z, d.clone(), threads);
                    let wanted = d.hadamard(&kept.slope);
                    assert_eq!(
                        (product.values, product.exponent),
                        (wanted.values, wanted.exponent),
                        "{name}"
                    );
                }
            }
        }
        // Products that underflow in single precision.
        let act = Activation::parse("tanh").unwrap();
        let z = Signal::new(DMatrix::from_row_slice(1, 2, &[0.1f32, 15.0]), 0);
        let d = Signal::new(DMatrix::from_row_slice(1, 2, &[0.0f32, 1e-4]), -500);
        let product = times_slopes(&act, &z, d, Threads::One).entry(0, 1).log10_abs().unwrap();
        let wanted =
            4f64.log10() - 4.0 - 30.0 * std::f64::consts::LOG10_E - 500.0 * std::f64::consts::LOG10_2;
        assert!((product - wanted).abs() < 1e-5, "{product} {wanted}");
    }

    /// log₁₀|ψ| and log₁₀|φ′| of single entries z = mantissa·2^exponent, in one signal of single precision.
    fn logs(act: &str, mantissas: &[f32], exponent: i64) -> Vec<(Option<f64>, Option<f64>)> {
        let act = Activation::parse(act).unwrap();
        let z = Signal::new(DMatrix::from_column_slice(mantissas.len(), 1, mantissas), exponent);
        let found = activate(&act, &z);
        (0..mantissas.len())
            .map(|row| (found.psi.entry(row, 0).log10_abs(), found.slope.entry(row, 0).log10_abs()))
            .collect()
    }

    #[test]
    fn powers_keep_their_order_at_every_scale() {
        // φ ~ c·|z|^p: log₁₀ψ = log₁₀c + p·log₁₀|z|, and φ′ with c·p and p − 1.
        for (act, c, p) in [
            ("abs(x)^1.5", 1.0, 1.5),
            ("tanh(x)^2", 1.0, 2.0),
            ("x*abs(x)", 1.0, 2.0),
            ("x^4", 1.0, 4.0),
            ("x^7", 1.0, 7.0),
            ("sqrt(abs(x))", 1.0, 0.5),
            ("sqrt(abs(x)) + 1", 1.0, 0.5),
            ("abs(x)^1.5 + 2", 1.0, 1.5),
            ("exp(x) - 1 - x", 0.5, 2.0),
            ("x - tanh(x)", 1.0 / 3.0, 3.0),
            ("1 - cos(x)", 0.5, 2.0),
            ("1/(1 + exp(-x))", 0.25, 1.0),
            ("tanh(1e12*x)", 1e12, 1.0),
            ("1e39*x", 1e39, 1.0),
            ("1e-46*x", 1e-46, 1.0),
            ("1e39*x + x^2", 1e39, 1.0),
            ("tanh", 1.0, 1.0),
        ] {
            for exponent in [-20, -41, -60, -200, -1100, -100_000] {
                if act == "tanh(1e12*x)" && exponent > -60 {
                    continue;
                }
                for (mantissa, (psi, slope)) in
                    [1.5f32, -1.25].into_iter().zip(logs(act, &[1.5, -1.25], exponent))
                {
                    let z = f64::from(mantissa.abs()).log10() + exponent as f64 * std::f64::consts::LOG10_2;
                    let (value, steep) = (f64::log10(c) + p * z, f64::log10(c * p) + (p - 1.0) * z);
                    let close = |got: Option<f64>, wanted: f64| {
                        got.is_some_and(|got| (got - wanted).abs() < 2e-4 + 1e-9 * wanted.abs())
                    };
                    assert!(close(psi, value), "{act} ψ({mantissa}·2^{exponent}): {psi:?}, not {value}");
                    assert!(close(slope, steep), "{act} φ′({mantissa}·2^{exponent}): {slope:?}, not {steep}");
                }
            }
        }
    }

    #[test]
    fn an_infinite_slope_at_zero_is_taken_as_none() {
        for exponent in [0, -2000] {
            let found = logs("sqrt(abs(x))", &[0.0, 1.0], exponent);
            assert_eq!(found[0], (None, None));
            assert!(found[1].1.is_some_and(f64::is_finite));
        }
    }

    #[test]
    fn what_is_really_zero_stays_zero() {
        for act in ["relu(x-1)", "max(x, 1e-3) - 1e-3"] {
            for exponent in [-20, -60, -5000] {
                assert_eq!(logs(act, &[1.0], exponent), [(None, None)], "{act} 2^{exponent}");
            }
        }
        let act = Activation::parse("1e-46*max(x, 0)").unwrap();
        let z = Signal::<f32>::new(DMatrix::from_column_slice(2, 1, &[1.0, -1.0]), 0);
        let found = activate(&act, &z);
        assert_eq!(dead_units(&act, &z, found.slope.values.as_slice()), 1);
    }
}
