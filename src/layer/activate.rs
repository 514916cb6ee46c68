//! H = φ(Z) and φ′(Z) for a signal of any scale.

use crate::activation::Activation;
use crate::real::Real;
use crate::signal::Signal;
use crate::slice::max_abs;
use crate::wide::Wide;
use nalgebra::DMatrix;

/// ψ(Z) = φ(Z) − φ(0) and φ′(Z), both n × B.
pub struct Activated<T: Real> {
    /// ψ(Z) = φ(Z) − φ(0), n × B.
    pub psi: Signal<T>,
    /// φ′(Z), n × B.
    pub slope: Signal<T>,
}

/// Below this every entry of ψ or φ′ has lost its own precision against what single precision can hold.
const LOST: i64 = -60;

/// Evaluates an activation at the true value of every entry.
///
/// A homogeneous one commutes with the signal's scale. Others are evaluated in the signal's precision where that holds
/// all entries that count, as their tangent far below one, and by [`crate::activation::Kernel::extended`] beyond.
pub fn activate<T: Real>(act: &Activation, z: &Signal<T>) -> Activated<T> {
    if act.shape.homogeneous {
        let (psi, slope) = map(act, &z.values);
        return Activated { psi: Signal::new(psi, z.exponent), slope: Signal::new(slope, 0) };
    }
    match z.top_exponent() {
        Some(top) if top < -T::COMFORT => linearised(act, z),
        Some(top) if top > T::COMFORT => extended(act, z),
        top => {
            let scale = T::of(libm::scalbn(1.0, z.exponent as i32));
            let plain = top.is_none() || z.exponent == 0;
            let (psi, slope) =
                if plain { map(act, &z.values) } else { map(act, &z.values.map(|v| v * scale)) };
            let (large, steep) = (max_abs(psi.as_slice()).to_f64(), max_abs(slope.as_slice()).to_f64());
            let finite = large.is_finite() && steep.is_finite();
            let floor = libm::scalbn(1.0, LOST as i32);
            let lost = top.is_some_and(|top| top >= 0) && (large < floor || steep < floor);
            if !finite || lost {
                return extended(act, z);
            }
            Activated { psi: Signal::new(psi, 0), slope: Signal::new(slope, 0) }
        }
    }
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

fn linearised<T: Real>(act: &Activation, z: &Signal<T>) -> Activated<T> {
    let (left, right) = act.shape.slopes_at_zero;
    if left == 0.0 || right == 0.0 {
        return extended(act, z);
    }
    let (left, right) = (T::of(left), T::of(right));
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
    let silent = |row: usize| {
        act.shape.homogeneous
            || z.values
                .row(row)
                .iter()
                .all(|v| act.kernel.extended(Wide::new(v.to_f64(), z.exponent)).1.is_zero())
    };
    steepest.iter().enumerate().filter(|(row, top)| **top == T::ZERO && silent(*row)).count()
}
