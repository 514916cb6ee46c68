//! Fixed points of a wide stack of like layers, and how fast they are reached (Poole et al. 2016; Schoenholz et al. 2017).

use super::stack::form;
use crate::activation::Activation;
use crate::expectation::field::{Field, Form, Passed, pass};
use crate::expectation::pair::Pair;
use crate::law::named::named;
use crate::numeric::quadrature::Estimate;
use crate::numeric::wide::Wide;

/// |χ₁ − 1| below this is critical: no stack of 100 000 layers tells it from one.
const CRITICAL: f64 = 1e-5;
/// Slopes this close to one are one, to rounding of the quadrature.
const ONE: f64 = 1e-12;
/// The length map is followed up to here.
const LARGEST: f64 = 1e30;
/// And down to here, where no bias keeps it up; a smaller variance of biases is none.
const SMALLEST: f64 = 1e-30;

/// σ_w² = n·Var(W) and σ_b² = Var(b) with an activation.
pub struct MeanField<'a> {
    /// φ.
    pub act: &'a Activation,
    /// n·Var(W).
    pub sigma_w2: f64,
    /// Var(b).
    pub sigma_b2: f64,
}

/// Where the length map leads from the variance that inputs of unit variance bring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// To a stable fixed point q* > 0, with the map's slope there.
    Point {
        /// q*.
        q: f64,
        /// dq′/dq.
        slope: f64,
    },
    /// To zero, by this factor a layer in the end; a factor of one is a power law of the depth.
    Zero {
        /// dq′/dq at zero.
        factor: f64,
    },
    /// Up without end, by this factor a layer in the end; one where biases add up.
    Diverges {
        /// lim q′/q.
        factor: f64,
    },
    /// Nowhere: every q is kept.
    Every,
    /// Around a fixed point whose slope is below −1.
    Cycle,
    /// To where quadrature cannot follow: φ is too fine for its scale.
    Unknown,
}

/// Why theory has no number for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The variance goes to zero by a factor a layer.
    GoesToZero,
    /// The variance goes to zero as a power of the depth.
    PowerLaw,
    /// The variance grows without end.
    Diverges,
    /// Every variance is a fixed point.
    EveryQ,
    /// The length map has no stable fixed point.
    Cycle,
    /// Every correlation is a fixed point.
    EveryC,
    /// The factor a layer is one: the approach is a power law, not exponential.
    Critical,
    /// The factor a layer is zero: one layer is enough.
    AtOnce,
    /// Quadrature does not reach it.
    Unknown,
}

impl Missing {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::GoesToZero => "the variance goes to zero",
            Self::PowerLaw => "the variance goes to zero, as a power of the depth",
            Self::Diverges => "the variance grows without end",
            Self::EveryQ => "every variance is kept",
            Self::Cycle => "the length map has no stable fixed point",
            Self::EveryC => "every correlation is kept",
            Self::Critical => "the approach is a power of the depth, not exponential",
            Self::AtOnce => "one layer is enough",
            Self::Unknown => "numerical integration does not reach it",
        }
    }
}

named! {
    /// What happens to small differences between samples.
    pub enum Phase {
        /// χ₁ < 1: gradients vanish, samples grow alike.
        Ordered = "ordered",
        /// χ₁ = 1.
        Critical = "critical",
        /// χ₁ > 1: gradients explode, like samples part.
        Chaotic = "chaotic",
    }
}

impl Phase {
    /// The phase at a factor χ₁ on squared gradients a layer.
    pub fn of(chi: f64) -> Self {
        match chi {
            x if (x - 1.0).abs() <= CRITICAL => Self::Critical,
            x if x < 1.0 => Self::Ordered,
            _ => Self::Chaotic,
        }
    }
}

/// A number, or why there is none.
pub type Answer = Result<f64, Missing>;

/// Everything of a stack of like layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedPoints {
    /// Where lengths go.
    pub length: Length,
    /// Stable fixed point of the length map.
    pub q_star: Answer,
    /// Factor on gradients a layer, at q*, or in the limit that lengths go to.
    pub chi1: Answer,
    /// Layers over which lengths come e times closer to q*.
    pub xi_q: Answer,
    /// Layers over which correlations come e times closer to c*.
    pub xi_c: Answer,
    /// Stable fixed point of the correlation map, from below.
    pub c_star: Answer,
    /// Phase that χ₁ belongs to.
    pub phase: Option<Phase>,
}

impl<'a> MeanField<'a> {
    fn field(&self, q: f64) -> Field {
        Field { own: q, ..Field::default() }
    }

    fn passed(&self, q: f64) -> Passed {
        pass(self.act, self.field(q), self.form(q))
    }

    fn form(&self, q: f64) -> Form {
        let size = Wide::from(q);
        if size.is_zero() { Form::Itself } else { form(self.act, size.exponent()) }
    }

    /// q → q′ = σ_w² E φ² + σ_b².
    pub fn length(&self, q: f64) -> Estimate {
        let p = self.passed(q);
        Estimate { value: p.square, error: p.error * p.square }.times(self.sigma_w2).plus(self.sigma_b2)
    }

    /// χ(q) = σ_w² E φ′².
    pub fn chi(&self, q: f64) -> Estimate {
        let p = self.passed(q);
        Estimate { value: p.squared_slope, error: p.error * p.squared_slope }.times(self.sigma_w2)
    }

    /// dq′/dq = σ_w²(E φ′² + E φφ″).
    pub fn length_slope(&self, q: f64) -> f64 {
        let p = self.passed(q);
        self.sigma_w2 * p.growth * p.square / q
    }

    /// The correlation map at variance `q`, which the length map keeps.
    pub fn correlations(&self, q: f64) -> CorrelationMap<'a> {
        let form = self.form(q);
        let passed = self.passed(q);
        let pair = Pair::new(self.act, self.field(q), form, &passed);
        let next = self.sigma_w2 * passed.square + self.sigma_b2;
        CorrelationMap { pair, sigma_w2: self.sigma_w2, sigma_b2: self.sigma_b2, next }
    }

    /// Where lengths go from q = σ_w² + σ_b², which inputs of unit variance bring.
    pub fn destination(&self) -> Length {
        self.destination_from(self.sigma_w2 + self.sigma_b2)
    }

    /// Where lengths go from variance `start`: to the nearest fixed point on the side to which the map moves it. That is the
    /// limit where the map rises, as it does for every φ whose square grows with |z|.
    pub fn destination_from(&self, start: f64) -> Length {
        let (left, right) = self.act.shape.slopes_at_zero;
        let near_zero = self.sigma_w2 * f64::midpoint(left * left, right * right);
        if self.act.shape.homogeneous {
            return match near_zero {
                x if (x - 1.0).abs() <= ONE && self.sigma_b2 == 0.0 => Length::Every,
                x if x >= 1.0 - ONE => Length::Diverges { factor: x },
                x if self.sigma_b2 == 0.0 => Length::Zero { factor: x },
                x => Length::Point { q: self.sigma_b2 / (1.0 - x), slope: x },
            };
        }
        let rise = |q: f64| {
            let next = self.length(q);
            if next.is_resolved() { next.value - q } else { f64::NAN }
        };
        let unbiased = self.sigma_b2 <= SMALLEST;
        let floor = self.sigma_b2.max(SMALLEST);
        let start = start.clamp(floor, LARGEST);
        if rise(start).is_nan() {
            return Length::Unknown;
        }
        let up = rise(start) > 0.0;
        let (mut from, step) = (start, if up { 1.25 } else { 0.8 });
        loop {
            let next = from * step;
            let ended = if up { next > LARGEST } else { next < floor };
            if ended && (up || unbiased) {
                return if up {
                    Length::Diverges { factor: self.length(LARGEST).value / LARGEST }
                } else {
                    Length::Zero { factor: near_zero }
                };
            }
            // With biases the map is above its diagonal at q = σ_b².
            let next = next.max(floor * (1.0 - f64::EPSILON));
            let here = rise(next);
            if here.is_nan() {
                return Length::Unknown;
            }
            // Tangent to the diagonal: nothing but rounding moves it further down.
            if !up && unbiased && next < 1e-10 && (near_zero - 1.0).abs() <= ONE {
                return Length::Zero { factor: near_zero };
            }
            if (here > 0.0) != up || here == 0.0 || ended {
                return self.settled(from.min(next), from.max(next));
            }
            from = next;
        }
    }

    /// The fixed point in a bracket.
    fn settled(&self, mut low: f64, mut high: f64) -> Length {
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                break;
            }
            if self.length(middle).value > middle { low = middle } else { high = middle }
        }
        let q = f64::midpoint(low, high);
        match self.length_slope(q) {
            slope if slope < -1.0 => Length::Cycle,
            slope => Length::Point { q, slope },
        }
    }

    /// All of it, from inputs of unit variance.
    pub fn summary(&self) -> FixedPoints {
        let length = self.destination();
        let q_star = match length {
            Length::Point { q, .. } => Ok(q),
            Length::Zero { factor } => Err(zero(factor)),
            Length::Diverges { .. } => Err(Missing::Diverges),
            Length::Every => Err(Missing::EveryQ),
            Length::Cycle => Err(Missing::Cycle),
            Length::Unknown => Err(Missing::Unknown),
        };
        let chi1 = match length {
            Length::Point { q, .. } => resolved(self.chi(q)),
            Length::Zero { factor } => Ok(factor),
            // φ is its asymptotes there.
            Length::Diverges { .. } => resolved(self.chi(LARGEST)),
            Length::Every => resolved(self.chi(1.0)),
            Length::Cycle => Err(Missing::Cycle),
            Length::Unknown => Err(Missing::Unknown),
        };
        let xi_q = match length {
            Length::Point { slope, .. } => scale(slope),
            Length::Zero { factor } => Err(zero(factor)),
            Length::Diverges { .. } => Err(Missing::Diverges),
            Length::Every => Err(Missing::EveryQ),
            Length::Cycle => Err(Missing::Cycle),
            Length::Unknown => Err(Missing::Unknown),
        };
        let (c_star, xi_c) = self.correlation_point(length);
        FixedPoints { length, q_star, chi1, xi_q, xi_c, c_star, phase: chi1.ok().map(Phase::of) }
    }

    fn correlation_point(&self, length: Length) -> (Answer, Answer) {
        let mut map = match self.map_at(length) {
            Ok(map) => map,
            Err(missing) => return (Err(missing), Err(missing)),
        };
        if map.is_identity() {
            return (Err(Missing::EveryC), Err(Missing::EveryC));
        }
        let unknown = (Err(Missing::Unknown), Err(Missing::Unknown));
        let Some(c) = map.fixed_point() else { return unknown };
        let (next, slope) = map.with_slope(c);
        if next.error <= Estimate::RESOLVED { (Ok(c), resolved(slope).and_then(scale)) } else { unknown }
    }

    /// The correlation map where lengths go to: at q*, or the limit that it has as lengths vanish or grow.
    ///
    /// # Errors
    /// Where there is no such limit.
    pub fn map_at(&self, length: Length) -> Result<CorrelationMap<'a>, Missing> {
        match length {
            Length::Point { q, .. } => Ok(self.correlations(q)),
            Length::Every => Ok(self.correlations(1.0)),
            // φ is its tangents there, and the weights' scale drops out.
            Length::Zero { .. } => {
                let (left, right) = self.act.shape.slopes_at_zero;
                if left == 0.0 && right == 0.0 {
                    return Err(Missing::GoesToZero);
                }
                let form = Form::Slopes(left, right);
                let passed = pass(self.act, self.field(1.0), form);
                let pair = Pair::new(self.act, self.field(1.0), form, &passed);
                Ok(CorrelationMap { pair, sigma_w2: 1.0, sigma_b2: 0.0, next: passed.square })
            }
            // Biases count for nothing beside a signal that grows by a factor.
            Length::Diverges { factor } if factor > 1.0 + ONE => {
                let mut map = self.correlations(LARGEST);
                (map.sigma_b2, map.next) = (0.0, map.next - self.sigma_b2);
                Ok(map)
            }
            Length::Diverges { .. } => Err(Missing::Diverges),
            Length::Cycle => Err(Missing::Cycle),
            Length::Unknown => Err(Missing::Unknown),
        }
    }
}

fn zero(factor: f64) -> Missing {
    if (factor - 1.0).abs() <= ONE { Missing::PowerLaw } else { Missing::GoesToZero }
}

/// The value, where its error leaves something of it.
fn resolved(estimate: Estimate) -> Answer {
    let good = estimate.value.is_finite() && estimate.is_resolved();
    if good { Ok(estimate.value) } else { Err(Missing::Unknown) }
}

/// −1/log of a factor a layer.
fn scale(factor: f64) -> Answer {
    match factor.abs() {
        x if x.is_nan() => Err(Missing::Unknown),
        x if (x - 1.0).abs() <= 1e-9 => Err(Missing::Critical),
        x if x < 1e-300 => Err(Missing::AtOnce),
        x => Ok(-1.0 / x.ln()),
    }
}

/// c → c′ at a variance that the length map keeps.
pub struct CorrelationMap<'a> {
    pair: Pair<'a>,
    sigma_w2: f64,
    sigma_b2: f64,
    next: f64,
}

impl CorrelationMap<'_> {
    /// c′ = (σ_w² E φ(u₁)φ(u₂) + σ_b²)/q′.
    pub fn at(&mut self, c: f64) -> Estimate {
        self.with_slope(c).0
    }

    /// c′, and dc′/dc = σ_w² E φ′(u₁)φ′(u₂)·q/q′.
    pub fn with_slope(&mut self, c: f64) -> (Estimate, Estimate) {
        let (q, products) = (self.pair.variance(), self.pair.at(c));
        let next = products.phi.times(self.sigma_w2).plus(self.sigma_b2).times(1.0 / self.next);
        (next, products.slope.times(self.sigma_w2 * q / self.next))
    }

    fn is_identity(&mut self) -> bool {
        [0.0, 0.5].into_iter().all(|c| (self.at(c).value - c).abs() <= ONE)
    }

    /// The stable fixed point in [0, 1]. The map is a power series in c with no negative coefficient, so it is convex there,
    /// and a slope at 1 of at most one means that 1 is the only one.
    pub fn fixed_point(&mut self) -> Option<f64> {
        let end = self.with_slope(1.0).1.value;
        if end.is_nan() {
            return None;
        }
        if end <= 1.0 + ONE {
            return Some(1.0);
        }
        // In δ = 1 − c, so that a point near one keeps its digits: c′ − c is convex, negative just below one, and so Newton's
        // steps from zero never pass the point.
        let mut delta = 1.0f64;
        for _ in 0..60 {
            let c = 1.0 - delta;
            let (next, slope) = self.with_slope(c);
            let above = next.value - c;
            if delta == 1.0 && above <= 0.0 {
                // No bias and an odd φ: zero itself.
                return Some(0.0);
            }
            let step = above / (1.0 - slope.value);
            if !(step > f64::EPSILON * delta && step < delta) {
                break;
            }
            delta -= step;
        }
        Some(1.0 - delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(text: &str) -> Activation {
        Activation::parse(text).unwrap()
    }

    fn of(act: &Activation, sigma_w2: f64, sigma_b2: f64) -> FixedPoints {
        MeanField { act, sigma_w2, sigma_b2 }.summary()
    }

    /// SCIENCE 5.1: tanh at σ_b² = 0.05. Halves of the last printed digit.
    #[test]
    fn the_table_of_tanh() {
        let tanh = act("tanh");
        for (sigma_w2, chi, xi_q, xi_c, digit, c) in [
            (1.0, 0.759_032, 1.748, 3.627, 1e-3, 1.0),
            (1.3, 0.880_164, 1.785, 7.834, 1e-3, 1.0),
            (1.7, 0.986_741, 1.558, 74.92, 1e-2, 1.0),
            (2.0, 1.047_666, 1.388, 25.21, 1e-2, 0.7441),
            (2.5, 1.133_516, 1.180, 11.80, 1e-2, 0.4468),
            (4.0, 1.342_402, 0.873, 6.980, 1e-3, 0.1651),
        ] {
            let s = of(&tanh, sigma_w2, 0.05);
            let near = |found: Answer, printed: f64, half: f64| {
                let found = found.unwrap();
                assert!(
                    (found - printed).abs() <= 0.51 * half,
                    "σ_w² = {sigma_w2}: {found} is not {printed}"
                );
            };
            near(s.chi1, chi, 1e-6);
            near(s.xi_q, xi_q, 1e-3);
            near(s.xi_c, xi_c, digit);
            near(s.c_star, c, 1e-4);
            assert_eq!(s.phase.unwrap(), if chi < 1.0 { Phase::Ordered } else { Phase::Chaotic });
        }
    }

    #[test]
    fn printed_fixed_points() {
        let s = of(&act("sigmoid"), 1.0, 0.0);
        assert!(
            (s.q_star.unwrap() - 0.264_687).abs() < 5.1e-7 && (s.chi1.unwrap() - 0.055_720_7).abs() < 5.1e-8
        );
        let s = of(&act("tanh"), 1.5, 0.05);
        assert!(
            (s.q_star.unwrap() - 0.418_037).abs() < 5.1e-7 && (s.chi1.unwrap() - 0.938_636).abs() < 5.1e-7
        );
        assert!((s.xi_c.unwrap() - 15.791).abs() < 5.1e-4);
        // tanh with PyTorch's gain 5/3; SELU with LeCun.
        let s = of(&act("tanh"), 25.0 / 9.0, 0.0);
        assert!((s.q_star.unwrap() - 1.178_48).abs() < 5.1e-6 && (s.chi1.unwrap() - 1.2098).abs() < 5.1e-5);
        assert!((s.chi1.unwrap().powi(50) / 1.4e4 - 1.0).abs() < 0.05 && s.c_star == Ok(0.0));
        let s = of(&act("selu"), 1.0, 0.0);
        assert!(
            (s.q_star.unwrap() - 1.0).abs() < 1e-6 && (s.chi1.unwrap() - 1.071_575).abs() < 5.1e-7,
            "{s:?}"
        );
    }

    #[test]
    fn where_there_is_no_fixed_point() {
        let relu = act("relu");
        let he = of(&relu, 2.0, 0.0);
        assert_eq!(
            (he.length, he.q_star, he.phase),
            (Length::Every, Err(Missing::EveryQ), Some(Phase::Critical))
        );
        assert_eq!((he.c_star, he.xi_c), (Ok(1.0), Err(Missing::Critical)));
        let xavier = of(&relu, 1.0, 0.0);
        assert_eq!((xavier.length, xavier.chi1), (Length::Zero { factor: 0.5 }, Ok(0.5)));
        let biased = of(&relu, 1.0, 0.1);
        assert_eq!(biased.length, Length::Point { q: 0.2, slope: 0.5 });
        assert!(matches!(of(&relu, 2.0, 0.1).length, Length::Diverges { factor } if factor == 1.0));
        assert_eq!(of(&relu, 3.0, 0.0).phase, Some(Phase::Chaotic));
        // tanh: a power law at (1, 0), exponential below.
        let tanh = act("tanh");
        let s = of(&tanh, 1.0, 0.0);
        assert_eq!(
            (s.q_star, s.xi_q, s.phase),
            (Err(Missing::PowerLaw), Err(Missing::PowerLaw), Some(Phase::Critical))
        );
        let s = of(&tanh, 0.9, 0.0);
        assert_eq!((s.q_star, s.chi1, s.c_star), (Err(Missing::GoesToZero), Ok(0.9), Err(Missing::EveryC)));
        // Just above: q* ≈ (σ_w² − 1)/2.
        let s = of(&tanh, 1.0 + 1e-6, 0.0);
        assert!((s.q_star.unwrap() / 5e-7 - 1.0).abs() < 1e-4, "{s:?}");
        // A GELU far out is a ReLU.
        assert!(
            matches!(of(&act("gelu"), 4.0, 0.0).length, Length::Diverges { factor } if (factor - 2.0).abs() < 1e-10)
        );
        // x² from unit inputs: q′ = 3q², away from 1/3 on either side; a sine of high frequency overshoots.
        assert!(matches!(of(&act("x*x"), 1.0, 0.0).length, Length::Diverges { .. }));
        assert!(matches!(of(&act("x*x"), 0.2, 0.0).length, Length::Zero { factor: 0.0 }));
    }

    #[test]
    fn the_edge_is_critical() {
        for (name, sigma_w2, sigma_b2) in [("tanh", 2.153_303, 0.150_965), ("erf", 1.756_204, 0.184_140)] {
            assert_eq!(of(&act(name), sigma_w2, sigma_b2).phase, Some(Phase::Critical), "{name}");
        }
        // The critical point of GELU at q = 1 does not hold its lengths: the map's slope there is above one.
        let gelu = act("gelu");
        let field = MeanField { act: &gelu, sigma_w2: 2.193_700, sigma_b2: 0.067_192 };
        assert!((field.length(1.0).value - 1.0).abs() < 1e-6 && field.length_slope(1.0) > 1.05);
        assert!(matches!(field.destination(), Length::Diverges { .. }));
        assert_eq!(of(&act("linear"), 1.0, 0.0).c_star, Err(Missing::EveryC));
    }

    /// ξ_q and ξ_c by iteration of the maps: distances fall by e^(−1/ξ) a layer.
    #[test]
    fn scales_are_those_of_the_maps() {
        let tanh = act("tanh");
        let field = MeanField { act: &tanh, sigma_w2: 1.3, sigma_b2: 0.05 };
        let s = field.summary();
        let q = s.q_star.unwrap();
        let (mut here, mut last) = (1.01 * q, 0.0);
        for _ in 0..6 {
            let next = field.length(here).value;
            last = (next - q) / (here - q);
            here = next;
        }
        assert!((last.ln() * s.xi_q.unwrap() + 1.0).abs() < 1e-3);
        let mut map = field.correlations(q);
        let (mut c, mut ratio) = (0.9, 0.0);
        for _ in 0..40 {
            let next = map.at(c).value;
            ratio = (1.0 - next) / (1.0 - c);
            c = next;
        }
        assert!((ratio.ln() * s.xi_c.unwrap() + 1.0).abs() < 1e-2, "{ratio}");
    }
}
