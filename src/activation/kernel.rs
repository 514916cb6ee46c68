//! The pointwise form of an activation, for single numbers, for slices, and beyond the range of a double.

use super::functions::Function;
use crate::numeric::real::{Real, SliceFunction};
use crate::numeric::slice::for_each_machine;
use crate::numeric::wide::Wide;

/// The pointwise form of an activation.
///
/// ψ(z) = φ(z) − φ(0), accurate relative to itself for small z: sigmoid gives ½ tanh(z/2). As a [`SliceFunction`] its value is ψ;
/// an infinite ψ or φ′ there says that [`Kernel::extended`] is needed.
pub trait Kernel: SliceFunction {
    /// (ψ(z), φ′(z)) in double precision. The derivative at a kink is the left one (as in PyTorch for ReLU: 0). At z = 0 an
    /// infinite one, as of √|z|, is taken as 0: the unit passes no gradient.
    fn at(&self, z: f64) -> (f64, f64);
    /// (ψ(z), φ′(z)) for any z, however large, and without underflow: tanh′(1000) = 4·e^−2000.
    fn extended(&self, z: Wide) -> (Wide, Wide);
    /// Slopes take less time to be evaluated again, in the backward pass, than to be kept.
    fn is_quick(&self) -> bool;
}

/// Below 2^this every catalogd activation is its tangent to more than double precision.
const TINY: i64 = -300;
/// Above it the tail's own formula takes over.
const FAR: f64 = 30.0;

impl<F: Function> SliceFunction for F {
    fn map_f32(&self, z: &[f32], psi: &mut [f32], slope: &mut [f32]) {
        map(self, z, psi, slope);
    }

    fn map_f64(&self, z: &[f64], psi: &mut [f64], slope: &mut [f64]) {
        map(self, z, psi, slope);
    }
}

impl<F: Function> Kernel for F {
    fn at(&self, z: f64) -> (f64, f64) {
        Function::at(self, z)
    }

    fn extended(&self, z: Wide) -> (Wide, Wide) {
        if z.exponent() < TINY || z.is_zero() {
            let side = if z.mantissa() > 0.0 { f64::MIN_POSITIVE } else { -f64::MIN_POSITIVE };
            let slope = Wide::from(Function::at(self, side).1);
            return (z * slope, slope);
        }
        // Beyond the doubles only the sign and the order of magnitude matter to the tails.
        let x = z.to_f64().clamp(-1e300, 1e300);
        if x.abs() <= FAR {
            let (psi, slope) = Function::at(self, x);
            return (psi.into(), slope.into());
        }
        self.tail(z, x)
    }

    fn is_quick(&self) -> bool {
        true
    }
}

for_each_machine! {
    fn map<T: Real, F: Function>(function: &F, z: &[T], psi: &mut [T], slope: &mut [T]) {
        for ((z, psi), slope) in z.iter().zip(psi).zip(slope) {
            (*psi, *slope) = function.at(*z);
        }
    }
}
