//! Expectations over two samples: φ(u₁)φ(u₂) and the like for jointly normal u₁, u₂ of one law and correlation c.

use super::field::{Field, Form, Passed};
use super::series::{PRODUCTS, Series};
use crate::activation::Activation;
use crate::numeric::quadrature::{Estimate, pair};
use std::cell::Cell;
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// Error of a series that is good enough to spare the double integral.
const GOOD: f64 = 1e-12;

/// Products over two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Products {
    /// E φ(u₁)φ(u₂).
    pub phi: Estimate,
    /// E φ′(u₁)φ′(u₂).
    pub slope: Estimate,
    /// E φ²(u₁)φ²(u₂).
    pub square: Estimate,
    /// E φ′²(u₁)φ′²(u₂).
    pub squared_slope: Estimate,
    /// E φ²(u₁)φ′²(u₂).
    pub cross: Estimate,
    /// E (φ(u₁) − E φ)²(φ(u₂) − E φ)².
    pub centered: Estimate,
}

/// Answers for every c at one mean and variance.
///
/// By Mehler's formula E f(u₁)g(u₂) = Σ a_k b_k c^k, with a_k, b_k the coefficients of f and g in normalized Hermite
/// polynomials; what orders beyond K add is at most |c|^(K+1) times what Parseval's identity misses. Kinks near |c| = 1
/// need more than 512 orders: there the double integral is taken. Two slopes at zero mean have closed forms.
pub struct Pair<'a> {
    act: &'a Activation,
    form: Form,
    mean: f64,
    q: f64,
    /// One-sample moments.
    passed: Passed,
    series: Option<Series>,
    /// Near c = 1, where several points were asked for.
    near: Option<Near>,
    asked: usize,
    /// The double integral does not resolve this φ: the series and its error are all there is.
    hopeless: bool,
    /// Evaluations of double integrals.
    spent: Cell<usize>,
}

/// A double integral is worth its time where its error is this part of the series' own.
const WORTH: f64 = 0.1;

/// Evaluations of φ for double integrals, some seconds of a core: where they are spent, a pair's series and its error are all there
/// is, and a walk over layers ends.
pub const MOST_EVALUATIONS: usize = 1 << 24;

/// Relative error of a double integral that is not worth its time.
const HOPELESS: f64 = 1e-4;

type Values = [Estimate; PRODUCTS.len()];

impl<'a> Pair<'a> {
    /// Makes the pair from a field, whose own correlation does not matter, and the moments over it.
    pub fn new(act: &'a Activation, field: Field, form: Form, passed: &Passed) -> Self {
        let (mean, q) = (field.mean, field.variance());
        let closed = mean == 0.0 && matches!(form, Form::Slopes(..));
        let series = (!closed && q > 0.0).then(|| Series::new(act, mean, q, form, passed.mean));
        Self {
            act,
            form,
            mean,
            q,
            passed: *passed,
            series,
            near: None,
            asked: 0,
            hopeless: false,
            spent: Cell::new(0),
        }
    }

    /// The same, behind a pair of nearly the same field: what resolved nothing there does not here.
    #[must_use]
    pub fn following(self, hopeless: bool) -> Self {
        Self { hopeless, ..self }
    }

    /// Double integrals resolve nothing over this field.
    pub fn is_hopeless(&self) -> bool {
        self.hopeless
    }

    /// Evaluations of φ that double integrals have taken.
    pub fn spent(&self) -> usize {
        self.spent.get()
    }

    /// Variance of u₁.
    pub fn variance(&self) -> f64 {
        self.q
    }

    /// All products at correlation `c`.
    pub fn at(&mut self, c: f64) -> Products {
        let c = c.clamp(-1.0, 1.0);
        let Some(series) = &self.series else { return self.closed(c) };
        if c == 1.0 {
            let p = self.passed;
            let all = [p.square, p.squared_slope, p.fourth, p.fourth_slope, p.cross, p.centered_fourth];
            let errors = [p.error, p.error, p.fourth_error, p.fourth_error, p.fourth_error, p.fourth_error];
            let estimate = |i: usize| Estimate { value: all[i], error: errors[i] * all[i].abs() };
            return products(std::array::from_fn(estimate));
        }
        let all = series.at(c);
        if self.hopeless || all.iter().all(|(e, size)| e.error <= GOOD * size) {
            return products(all.map(|(e, _)| e));
        }
        if let Some(near) = self.near.as_ref().filter(|_| c >= Near::FROM) {
            return near.at(c);
        }
        let found = self.integral(c);
        let lost =
            |(e, (_, size)): (Estimate, &(Estimate, f64))| e.error.is_nan() || e.error > HOPELESS * size;
        // Where values are rounding, as those of (φ − E φ)² may be, refining brings nothing.
        let vain = |(e, (series, _)): (Estimate, &(Estimate, f64))| e.error > WORTH * series.error;
        let both = || found.values().into_iter().zip(&all);
        let unresolved = both().any(lost) || both().all(vain);
        self.hopeless = unresolved || self.spent() > MOST_EVALUATIONS;
        if unresolved {
            return products(all.map(|(e, _)| e));
        }
        if c >= Near::FROM {
            self.asked += 1;
            if self.asked == Near::NODES / 2 {
                self.near = Near::new(|c| self.integral(c));
            }
        }
        found
    }

    /// By the double integral.
    pub fn integral(&self, c: f64) -> Products {
        let offset = self.form.at_zero(self.act);
        let both = |a: f64, b: f64| {
            let ((fa, ga), (fb, gb)) = (self.form.at(self.act, a), self.form.at(self.act, b));
            let (fa, fb) = (fa + offset, fb + offset);
            let ((f2a, g2a), (f2b, g2b)) = ((fa * fa, ga * ga), (fb * fb, gb * gb));
            let centered = ((fa - self.passed.mean) * (fb - self.passed.mean)).powi(2);
            [fa * fb, ga * gb, f2a * f2b, g2a * g2b, 0.5 * (f2a * g2b + f2b * g2a), centered]
        };
        let (found, spent) = pair(both, self.mean, self.q, c, &self.form.kinks(self.act));
        self.spent.set(self.spent.get() + spent);
        products(found)
    }

    /// Two slopes at zero mean (φ and φ′: Cho & Saul 2009), or a point without spread.
    fn closed(&self, c: f64) -> Products {
        let exact = |value: f64| Estimate { value, error: 4.0 * f64::EPSILON * value.abs() };
        let Form::Slopes(left, right) = self.form else {
            let (value, slope) = self.act.at(self.mean);
            let (f, g) = (value * value, slope * slope);
            return products([f, g, f * f, g * g, f * g, 0.0].map(exact));
        };
        let q = self.q;
        // φ = αz + β|z|, φ² = Az² + Bz|z|, φ′² = A + B·sign z.
        let (alpha, beta) = (f64::midpoint(left, right), 0.5 * (right - left));
        let (a, b) = (f64::midpoint(left * left, right * right), 0.5 * (right * right - left * left));
        let (angle, sine) = (c.asin(), ((1.0 - c) * (1.0 + c)).sqrt());
        let phi = q * (alpha * alpha * c + beta * beta * FRAC_2_PI * (sine + c * angle));
        let squares =
            a * a * (1.0 + 2.0 * c * c) + b * b * FRAC_2_PI * ((1.0 + 2.0 * c * c) * angle + 3.0 * c * sine);
        // E φ²(u₁)φ(u₂) by E u₁²|u₂| and Stein's lemma; then (φ − μ)² = φ² − 2μφ + μ² on both sides.
        let mu = beta * (FRAC_2_PI * q).sqrt();
        let mixed = q.powf(1.5) * FRAC_2_PI.sqrt() * (a * beta * (1.0 + c * c) + 2.0 * alpha * b * c);
        let square = q * a;
        let centered = q * q * squares - 4.0 * mu * mixed + 2.0 * mu * mu * square + 4.0 * mu * mu * phi
            - 4.0 * mu.powi(4)
            + mu.powi(4);
        products(
            [
                phi,
                alpha * alpha + beta * beta * FRAC_2_PI * angle,
                q * q * squares,
                a * a + b * b * FRAC_2_PI * angle,
                q * (a * a + b * b * FRAC_2_PI * (angle + c * sine)),
                centered,
            ]
            .map(exact),
        )
    }

    /// What the scatter of a layer needs beside products, at correlation `c`.
    pub(crate) fn orders(&self, c: f64) -> Orders {
        let Some(series) = &self.series else { return self.closed_orders(c) };
        let [norm, square, centered] = series.orders(c);
        Orders { norm, square, centered }
    }

    fn closed_orders(&self, c: f64) -> Orders {
        let Form::Slopes(left, right) = self.form else { return Orders::default() };
        let beta = 0.5 * (right - left);
        let (a, b) = (f64::midpoint(left * left, right * right), 0.5 * (right * right - left * left));
        let q = self.q;
        // E φ²h₂ = √2·E φ² for a homogeneous φ.
        let norm = 2.0 * (q * a).powi(2);
        let square = q * q * (4.0 * a * a + 4.0 * b * b * FRAC_2_PI * c.asin());
        let mu = beta * (FRAC_2_PI * q).sqrt();
        let mixed = q.powf(1.5) * FRAC_2_PI.sqrt() * 2.0 * a * beta;
        // Bounded as c → 1, where nothing scatters.
        let phi = q * beta * beta * FRAC_2_PI / (1.0 - c * c).max(1e-3).sqrt();
        Orders { norm, square, centered: square - 4.0 * mu * mixed + 4.0 * mu * mu * phi }
    }
}

/// Parts of E φ²(u₁)φ²(u₂) as a function of c.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Orders {
    /// Factor of c²: what a norm that is kept takes out.
    pub norm: f64,
    /// Second derivative by c.
    pub square: f64,
    /// The same of E (φ(u₁) − E φ)²(φ(u₂) − E φ)².
    pub centered: f64,
}

impl Orders {
    /// Over a field `factor` times as large, of a φ that two slopes make up.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let fourth = factor.powi(4);
        Self { norm: self.norm * fourth, square: self.square * fourth, centered: self.centered * fourth }
    }
}

fn products(all: Values) -> Products {
    let [phi, slope, square, squared_slope, cross, centered] = all;
    Products { phi, slope, square, squared_slope, cross, centered }
}

impl Products {
    /// Over a field `factor` times as large, of a φ that two slopes make up.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let (square, fourth) = (factor * factor, factor.powi(4));
        let by = |e: Estimate, factor: f64| Estimate { value: e.value * factor, error: e.error * factor };
        Self {
            phi: by(self.phi, square),
            square: by(self.square, fourth),
            cross: by(self.cross, square),
            centered: by(self.centered, fourth),
            ..self
        }
    }

    fn values(self) -> Values {
        [self.phi, self.slope, self.square, self.squared_slope, self.cross, self.centered]
    }
}

/// Interpolates the products in t = √(1 − c) near c = 1, where they are analytic in t even with kinks.
struct Near {
    /// (t, barycentric weight, values, errors).
    nodes: Vec<(f64, f64, Values)>,
}

impl Near {
    /// Lowest correlation that it covers.
    const FROM: f64 = 0.9;
    const NODES: usize = 24;

    /// `None` where it is not good between its nodes: kinks that lie close together for this variance.
    fn new(integral: impl Fn(f64) -> Products) -> Option<Self> {
        let reach = (1.0 - Self::FROM).sqrt();
        let nodes = (0..=Self::NODES)
            .map(|k| {
                let t = 0.5 * reach * (1.0 - (std::f64::consts::PI * k as f64 / Self::NODES as f64).cos());
                let end = if k == 0 || k == Self::NODES { 0.5 } else { 1.0 };
                let weight = if k % 2 == 0 { end } else { -end };
                (t, weight, integral(1.0 - t * t).values())
            })
            .collect();
        let near = Self { nodes };
        let good = [0.137, 0.512, 0.871].into_iter().all(|part| {
            let c = 1.0 - (part * reach).powi(2);
            let (here, exact) = (near.at(c), integral(c));
            let close = |a: Estimate, b: Estimate| (a.value - b.value).abs() <= 1e-11 * b.value.abs();
            close(here.phi, exact.phi) && close(here.slope, exact.slope) && close(here.cross, exact.cross)
        });
        good.then_some(near)
    }

    fn at(&self, c: f64) -> Products {
        let t = (1.0 - c).max(0.0).sqrt();
        let (mut above, mut below) = ([0.0; PRODUCTS.len()], 0.0);
        let mut error = [0.0f64; PRODUCTS.len()];
        for (node, weight, values) in &self.nodes {
            if t == *node {
                return products(*values);
            }
            let share = weight / (t - node);
            below += share;
            for i in 0..PRODUCTS.len() {
                above[i] += share * values[i].value;
                error[i] = error[i].max(values[i].error);
            }
        }
        products(std::array::from_fn(|i| {
            let value = above[i] / below;
            // Interpolation at Chebyshev's points multiplies errors by at most 3 for this many.
            Estimate { value, error: 3.0 * error[i] + 1e-11 * value.abs() }
        }))
    }
}

/// E φ(u₁)φ(u₂)/E φ² of ReLU at correlation c (Cho & Saul 2009, eq. 6, n = 1): the correlation map under He.
pub fn arc_cosine(c: f64) -> f64 {
    FRAC_2_PI * (((1.0 - c) * (1.0 + c)).sqrt() + c * (FRAC_PI_2 + c.asin())) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(text: &str) -> Activation {
        Activation::parse(text).unwrap()
    }

    fn field(mean: f64, own: f64) -> Field {
        Field { mean, own, ..Field::default() }
    }

    fn pair_of(act: &Activation, field: Field, form: Form) -> Pair<'_> {
        Pair::new(act, field, form, &super::super::field::pass(act, field, form))
    }

    /// The series, the double integral and the closed form: three ways to each number.
    #[test]
    fn three_ways_agree() {
        for (name, mean, q) in [
            ("relu", 0.0, 1.0),
            ("leaky-relu(a=0.3)", 0.0, 7.0),
            ("relu", 0.4, 1.0),
            ("tanh", 0.0, 1.0),
            ("tanh", 0.0, 400.0),
            ("gelu", -0.5, 2.0),
            ("selu", 0.0, 1.0),
            ("hard-tanh", 0.0, 3.0),
            ("sigmoid", 0.0, 0.01),
            ("max(x, 0.3)", 0.0, 1.0),
        ] {
            let act = act(name);
            let two = act.shape.homogeneous && mean == 0.0;
            let mut series = pair_of(&act, field(mean, q), Form::Itself);
            let sizes = series.at(1.0).values();
            for c in [-0.9, -0.3, 0.0, 0.2, 0.7, 0.88, 0.95, 0.9999, 1.0] {
                let mut ways = vec![series.at(c).values(), series.integral(c).values()];
                if two {
                    let (left, right) = act.shape.slopes_at_zero;
                    ways.push(pair_of(&act, field(mean, q), Form::Slopes(left, right)).at(c).values());
                }
                for way in &ways[1..] {
                    for i in 0..PRODUCTS.len() {
                        let size = ways[0][i].value.abs().max(1e-3 * sizes[i].value.abs());
                        let miss = (ways[0][i].value - way[i].value).abs();
                        assert!(
                            miss < 1e-9 * size,
                            "{name} q {q} c {c} product {i}: {:?} {:?}",
                            ways[0][i],
                            way[i]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn interpolation_near_one() {
        for name in ["selu", "hard-tanh"] {
            let act = act(name);
            let mut asked = pair_of(&act, field(0.0, 1.3), Form::Itself);
            for k in 0..40 {
                asked.at(0.999 + 1e-5 * f64::from(k));
            }
            assert!(asked.near.is_some() || name == "hard-tanh");
            for c in [0.91, 0.99, 0.99999, 1.0 - 1e-9] {
                let (a, b) = (asked.at(c).values(), asked.integral(c).values());
                for i in 0..PRODUCTS.len() {
                    assert!(
                        (a[i].value / b[i].value - 1.0).abs() < 1e-10,
                        "{name} {c} {i}: {:?} {:?}",
                        a[i],
                        b[i]
                    );
                }
            }
        }
    }

    /// Second derivatives by differences of the products.
    #[test]
    fn orders_are_derivatives() {
        for (name, form) in [("tanh", Form::Itself), ("gelu", Form::Itself), ("relu", Form::Slopes(0.0, 1.0))]
        {
            let act = act(name);
            let mut pair = pair_of(&act, field(0.0, 0.8), form);
            for c in [0.0, 0.5] {
                let h = 1e-3;
                let at = [c - h, c, c + h].map(|c| pair.at(c));
                let second = |f: fn(&Products) -> f64| (f(&at[0]) - 2.0 * f(&at[1]) + f(&at[2])) / (h * h);
                let orders = pair.orders(c);
                assert!(
                    (orders.square - second(|p| p.square.value)).abs() < 1e-4 * orders.square,
                    "{name} {c}"
                );
                assert!(
                    (orders.centered - second(|p| p.centered.value)).abs() < 1e-4 * orders.centered,
                    "{name} {c}"
                );
            }
        }
    }

    #[test]
    fn relu_closed_form() {
        let relu = act("relu");
        let mut pair = pair_of(&relu, field(0.0, 1.0), Form::Slopes(0.0, 1.0));
        for c in [-1.0, 0.0, 0.3, 1.0] {
            assert!((2.0 * pair.at(c).phi.value - arc_cosine(c)).abs() < 1e-15);
        }
        assert!((arc_cosine(0.0) - 1.0 / std::f64::consts::PI).abs() < 1e-15);
    }
}
