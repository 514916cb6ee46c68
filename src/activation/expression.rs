//! Activations that users write as an expression in `x`.

use super::power::Power;
use super::tail::Tail;
use super::{Activation, Kernel, Properties};
use crate::law::call::CatalogError;
use crate::law::expression::Formula;
use crate::numeric::real::SliceFunction;
use crate::numeric::wide::Wide;

/// An expression must be finite this far from zero to be an activation.
const FINITE_WITHIN: f64 = 8.0;
/// Kinks are sought this far from zero.
const SCAN: f64 = 40.0;
/// Halvings after which an interval without a kink shows it.
const STEEPEST: usize = 6;

/// Reads an expression and finds out by evaluation what a catalog entry would state.
pub fn parse(text: &str) -> Result<Activation, CatalogError> {
    let fault = |reason: String| CatalogError::Syntax { text: text.into(), reason };
    let formula = Formula::parse(text, &["x"]).map_err(|error| fault(error.to_string()))?;
    for k in -800..=800 {
        // Also beside the round numbers, where a kink may hide a pole.
        for x in [FINITE_WITHIN * f64::from(k) / 800.0, FINITE_WITHIN * (f64::from(k) + 0.37) / 801.0] {
            let (value, slope) = formula.differentiated(x);
            if !value.is_finite() || (!slope.is_finite() && x != 0.0) {
                return Err(fault(format!(
                    "an activation must be finite near zero, but this is not at x = {x}"
                )));
            }
        }
    }
    let kernel = Expression::new(formula);
    let [left, right] = &kernel.sides;
    let shape = Properties {
        homogeneous: kernel.is_homogeneous(),
        at_zero: kernel.at_zero,
        slopes_at_zero: (left.slope_at_zero(), right.slope_at_zero()),
        tangent_below: left.tangent_below().zip(right.tangent_below()).map(|(l, r)| l.min(r)),
        max_slope: kernel.max_slope(),
        bounded: kernel.is_bounded(),
        kinks: kernel.kinks(),
    };
    Ok(Activation { name: text.into(), shape, torch_gain: None, kernel: Box::new(kernel) })
}

fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}

/// Below its inverse a value may have lost digits to underflow on the way.
const KEPT: f64 = 1e290;

/// What a formula does on one side of zero.
struct Side {
    /// ψ as a power of |z|.
    psi: Option<Power>,
    /// φ′ as a power of |z|.
    slope: Option<Power>,
    /// φ(z) − φ(0) as it is evaluated does not cancel.
    direct: bool,
}

impl Side {
    fn new(formula: &Formula, at_zero: f64, side: f64) -> Self {
        let direct = |t: f64| formula.differentiated(side * t).0 - at_zero;
        let slope = |t: f64| formula.differentiated(side * t).1;
        let scale = [direct(1.0), slope(1.0), at_zero].into_iter().map(f64::abs).fold(0.0, f64::max);
        let steep = Power::find(slope, scale);
        // A step at zero that rounding explains is none.
        let value = Power::find(direct, scale)
            .filter(|law| law.exact && (law.order != 0.0 || law.factor().abs() > 1e-13 * scale));
        let below = steep.and_then(Power::integral).map(|law| law.times(side));
        Self { psi: value.or(below), slope: steep, direct: value.is_some() }
    }

    /// φ′ just beside zero; 0 where it is not finite.
    fn slope_at_zero(&self) -> f64 {
        self.slope.filter(|law| law.order == 0.0).map_or(0.0, Power::factor)
    }

    /// log₂|z| below which φ is its tangent.
    fn tangent_below(&self) -> Option<i64> {
        let (psi, slope) = (self.psi?, self.slope?);
        (psi.order == 1.0 && slope.order == 0.0).then(|| psi.below.min(slope.below))
    }
}

struct Expression {
    formula: Formula,
    at_zero: f64,
    /// Below and above zero.
    sides: [Side; 2],
    /// Below and above zero: of ψ and of φ′.
    tails: [[Option<Tail>; 2]; 2],
}

impl Expression {
    fn new(formula: Formula) -> Self {
        let at_zero = formula.value(&[0.0]);
        let sides = [-1.0, 1.0].map(|side| Side::new(&formula, at_zero, side));
        let this = Self { formula, at_zero, sides, tails: [[None; 2]; 2] };
        let tails = |sign: f64| [Tail::find(|x| this.at(sign * x).0), Tail::find(|x| this.at(sign * x).1)];
        let tails = [-1.0, 1.0].map(tails);
        Self { tails, ..this }
    }

    fn side(&self, z: f64) -> &Side {
        &self.sides[usize::from(z > 0.0)]
    }

    fn is_homogeneous(&self) -> bool {
        self.at_zero == 0.0
            && [-1.0, 1.0].iter().all(|side| {
                let unit = self.at(*side);
                (-60..=60).all(|k| {
                    let scale = 1.7f64.powi(k);
                    let (psi, slope) = self.at(side * scale);
                    (psi - scale * unit.0).abs() <= 1e-12 * (scale * unit.0).abs()
                        && (slope - unit.1).abs() <= 1e-12 * unit.1.abs()
                })
            })
    }

    /// sup |φ′| where φ′ stops growing before 10⁴ and towards zero.
    fn max_slope(&self) -> Option<f64> {
        if self.sides.iter().filter_map(|side| side.slope).any(|law| law.order < 0.0) {
            return None;
        }
        let top = |reach: f64| {
            (-4000..=4000).map(|k| self.at(reach * f64::from(k) / 4000.0).1.abs()).fold(0.0, f64::max)
        };
        let near = top(10.0);
        let far = top(100.0).max(top(1e4));
        (near.is_finite() && far <= near * (1.0 + 1e-3)).then_some(near.max(far))
    }

    fn is_bounded(&self) -> bool {
        let top = |reach: f64| {
            (-200..=200).map(|k| self.at(reach * f64::from(k) / 200.0).0.abs()).fold(0.0, f64::max)
        };
        top(1e6) <= 1.1 * top(1e3)
    }

    /// Where φ′ jumps: the step across a shrinking interval does not shrink.
    fn kinks(&self) -> Vec<f64> {
        const STEPS: i32 = 4000;
        let place = |k: i32| SCAN * (f64::from(k) + 0.5) / f64::from(STEPS);
        let mut found = Vec::new();
        for k in -STEPS..STEPS {
            let (mut low, mut high) = (place(k), place(k + 1));
            let jump = |low: f64, high: f64| (self.at(high).1 - self.at(low).1).abs();
            let whole = jump(low, high);
            if whole.is_nan() || whole <= 1e-6 {
                continue;
            }
            for halving in 0..40 {
                let middle = f64::midpoint(low, high);
                let halves = [jump(low, middle), jump(middle, high)];
                if halves[0] > halves[1] {
                    high = middle
                } else {
                    low = middle
                }
                // A smooth slope's step halves too.
                if halving > STEEPEST && halves[0].max(halves[1]) <= 0.1 * whole {
                    break;
                }
            }
            if jump(low, high) > 0.1 * whole {
                let kink = f64::midpoint(low, high);
                // A kink sits at a number that its author wrote.
                let round = (kink * 1e8).round() / 1e8;
                found.push(if (kink - round).abs() < 1e-10 { round } else { kink });
            }
        }
        found
    }

    /// ψ near zero, where φ(z) − φ(0) cancels: ∫₀ᶻ φ′ by three-point Gauss–Legendre in |z|^(q+1), for φ′ ~ |z|^q.
    fn near_zero(&self, z: f64, direct: f64) -> f64 {
        const NODE: f64 = 0.387_298_334_620_741_7; // √(3/5)/2
        let order = self.side(z).slope.map_or(0.0, |law| law.order);
        let weighted = |s: f64| {
            let t = s.powf(1.0 / (order + 1.0));
            self.formula.differentiated(z * t).1 * t.powf(-order)
        };
        let sum = 5.0 * (weighted(0.5 - NODE) + weighted(0.5 + NODE)) + 8.0 * weighted(0.5);
        let integral = z * sum / (18.0 * (order + 1.0));
        // Where the two differ by more than rounding explains, φ′ is not smooth and the difference is right.
        if (integral - direct).abs() <= 1e-13 * self.at_zero.abs().max(1.0) && integral.is_finite() {
            integral
        } else {
            direct
        }
    }
}

impl SliceFunction for Expression {
    fn map_f32(&self, z: &[f32], psi: &mut [f32], slope: &mut [f32]) {
        for ((z, psi), slope) in z.iter().zip(psi).zip(slope) {
            let (value, derivative) = self.at((*z).into());
            (*psi, *slope) = (narrow(value), narrow(derivative));
        }
    }

    fn map_f64(&self, z: &[f64], psi: &mut [f64], slope: &mut [f64]) {
        for ((z, psi), slope) in z.iter().zip(psi).zip(slope) {
            let (value, derivative) = self.at(*z);
            (*psi, *slope) = if value.is_finite() && derivative.is_finite() {
                (value, derivative)
            } else {
                (f64::INFINITY, 0.0)
            };
        }
    }
}

impl Kernel for Expression {
    fn at(&self, z: f64) -> (f64, f64) {
        let (value, slope) = self.formula.differentiated(z);
        let direct = value - self.at_zero;
        if z == 0.0 {
            return (direct, finite(slope));
        }
        if z.abs() >= 1e-3 {
            return (direct, slope);
        }
        let side = self.side(z);
        // What is all rounding here is its power law.
        let lost = |law: &Power| !law.exact && z.abs().log2() < law.below as f64;
        let psi = match side.psi {
            _ if side.direct => direct,
            Some(law) if lost(&law) => law.at(z.abs()),
            _ => self.near_zero(z, direct),
        };
        (psi, side.slope.filter(lost).map_or(slope, |law| law.at(z.abs())))
    }

    fn extended(&self, z: Wide) -> (Wide, Wide) {
        if z.is_zero() {
            return (Wide::ZERO, self.at(0.0).1.into());
        }
        let small = z.exponent() < 0;
        let (psi, slope) = if z.exponent().abs() < 1000 { self.at(z.to_f64()) } else { (f64::NAN, f64::NAN) };
        let settle = |here: f64, law: Option<Power>, tail: Option<Tail>| match law {
            _ if here.is_finite() && here.abs() > if small { 1.0 / KEPT } else { 0.0 } => Wide::from(here),
            Some(law) if z.exponent() < law.below => law.extended(z),
            _ if small => Wide::from(finite(here)),
            _ => tail.map_or(Wide::ZERO, |tail| tail.at(z)),
        };
        let (side, tails) = (self.side(z.mantissa()), &self.tails[usize::from(z.mantissa() > 0.0)]);
        (settle(psi, side.psi, tails[0]), settle(slope, side.slope, tails[1]))
    }

    fn is_quick(&self) -> bool {
        false
    }
}

fn narrow(value: f64) -> f32 {
    let single = value as f32;
    if single.is_finite() { single } else { f32::INFINITY }
}
