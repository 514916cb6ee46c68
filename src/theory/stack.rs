//! Signal and gradient of a wide stack, layer by layer, at any scale: the length and correlation maps (Poole et al. 2016,
//! eqs. 3 and 5) and the gradient's factor (Schoenholz et al. 2017, eq. 18) for laws with means, biases, unequal widths.

use crate::activation::Activation;
use crate::expectation::field::{Field, Form, Passed, WeightMoments, pass};
use crate::expectation::pair::{MOST_EVALUATIONS, Orders, Pair, Products};
use crate::numeric::quadrature::Estimate;
use crate::numeric::wide::Wide;

/// Fields of a squared size outside 2^±this are taken by slopes, or not at all.
const REPRESENTABLE: i64 = 600;
/// Squared sizes beyond 2^this meet an activation at its asymptotes.
const LARGE: i64 = 140;
/// Squared sizes below 2^this meet an activation with a slope at zero at its tangents; doubled, 2^−40 in z.
const SMALL: i64 = -80;

/// What enters layer 1: moments of the entries of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputMoments {
    /// Mean of the entries.
    pub mean: f64,
    /// Second moment of the entries.
    pub second_moment: f64,
    /// Cosine between two samples.
    pub correlation: f64,
}

impl InputMoments {
    /// Independent entries of mean 0 and variance 1.
    pub const NORMAL: Self = Self { mean: 0.0, second_moment: 1.0, correlation: 0.0 };

    /// As what an activation hands on. The mean of a sample scatters as that of independent entries.
    fn output(self) -> Output {
        let square = self.mean * self.mean;
        let spread = (self.second_moment - square).max(0.0);
        let product = self.correlation * self.second_moment;
        Output {
            mean: self.mean,
            square: self.second_moment,
            product,
            common: 0.0,
            common_pair: 0.0,
            spread,
            spread_pair: product - square,
        }
    }
}

/// Moments over units that a layer's weights meet.
#[derive(Clone, Copy, Debug)]
struct Output {
    mean: f64,
    square: f64,
    /// Between two samples.
    product: f64,
    /// Variance of the units' mean over samples, as wide layers have it.
    common: f64,
    common_pair: f64,
    /// Variance over units.
    spread: f64,
    spread_pair: f64,
}

/// A layer of a stack. Lengths are in units of 2^`exponent`, second moments in units of its square.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Laws of W and b.
    pub weights: WeightMoments,
    /// Moments of the pre-activations Z.
    pub field: Field,
    /// log₂ of the unit.
    pub exponent: i64,
    /// How the activation is taken here.
    pub form: Form,
    /// Moments of the activations H and of φ′.
    pub passed: Passed,
    /// Over two samples; `None` where they were not asked for.
    pub products: Option<Products>,
    /// What their scatter needs beside them.
    pub(super) orders: Orders,
}

impl Layer {
    /// A second moment of this layer in true units.
    pub fn wide(&self, square: f64) -> Wide {
        Wide::from(square).scaled(2 * self.exponent)
    }

    /// E φ(u₁)φ(u₂)/E φ²: the cosine between two samples' activations; 1 where products were not asked for.
    pub fn cosine(&self) -> f64 {
        self.products.map_or(1.0, |both| both.phi.value / self.passed.square)
    }

    fn output(&self) -> Output {
        let p = self.passed;
        let square = p.mean * p.mean;
        let common = p.slope * p.slope * self.field.shared;
        let common_pair = p.slope * p.slope * self.field.shared_pair;
        // Without the products, two samples are taken as one.
        let product = self.products.map_or(p.square, |both| both.phi.value);
        Output {
            mean: p.mean,
            square: p.square,
            product,
            common,
            common_pair,
            spread: (p.spread - common).max(0.0),
            spread_pair: product - square - common_pair,
        }
    }

    /// E of the square of the mean over all entries of a batch of B samples: Z's.
    fn squared_mean_field(&self, batch: f64) -> f64 {
        let f = self.field;
        let (one, other) = (1.0 / batch, 1.0 - 1.0 / batch);
        let own = one * f.own + other * f.own_pair;
        f.mean * f.mean + one * f.shared + other * f.shared_pair + own / self.weights.fan_out
    }

    /// Variance of the entries of Z over a batch of B samples, its expectation.
    pub fn field_variance(&self, batch: usize) -> Wide {
        let f = self.field;
        let above = self.squared_mean_field(batch as f64) - f.mean * f.mean;
        self.wide((f.variance() - above).max(0.0))
    }

    /// Second moment of the entries of Z.
    pub fn field_second_moment(&self) -> Wide {
        self.wide(self.field.second_moment())
    }

    /// Variance of the entries of H over a batch of B samples, its expectation.
    pub fn output_variance(&self, batch: usize) -> Wide {
        let (h, b) = (self.output(), batch as f64);
        let (one, other) = (1.0 / b, 1.0 - 1.0 / b);
        let own = one * h.spread + other * h.spread_pair;
        let above = one * h.common + other * h.common_pair + own / self.weights.fan_out;
        self.wide((h.spread + h.common - above).max(0.0))
    }

    /// Second moment of the entries of H.
    pub fn output_second_moment(&self) -> Wide {
        self.wide(self.passed.square)
    }

    /// E h̄², h̄ the mean over the units of a sample.
    pub fn squared_unit_mean(&self) -> Wide {
        let h = self.output();
        self.wide(h.mean * h.mean + h.common + h.spread / self.weights.fan_out)
    }

    /// What biases, and the mean of the weights, bring to E z² of this layer, as parts of it.
    pub fn parts(&self) -> (f64, f64) {
        let w = self.weights;
        let total = self.field_second_moment();
        let part = |x: Wide| (x * total.recip()).to_f64();
        let biases = part(w.bias_square());
        let own = part(self.wide(self.field.own)) - part(Wide::from(w.bias_variance));
        (biases, (1.0 - biases - own).max(0.0))
    }
}

/// Where a walk begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// With what enters layer 1.
    Input(InputMoments),
    /// With the pre-activations of layer 1, in units of 2^exponent.
    Field(Field, i64),
}

/// The layers of a stack from the first to the last, or to the one before which theory has no number: a signal that is
/// exactly zero, or beyond the doubles where the activation has no asymptote, or one that has taken all the time it may.
///
/// `two_samples` asks for [`Layer::products`] and the correlation between samples; `effort` is the largest number of layers
/// whose moments are integrated anew (those at a fixed point or of two slopes count once).
pub fn forward(
    act: &Activation,
    laws: &[WeightMoments],
    start: Start,
    two_samples: bool,
    effort: usize,
) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::with_capacity(laws.len());
    let mut last: Option<Known> = None;
    let (mut spent, mut evaluations) = (0, 0);
    for law in laws {
        let (field, exponent) = match (layers.last(), start) {
            (Some(before), _) => through(before.output(), before.exponent, law),
            (None, Start::Input(entering)) => through(entering.output(), 0, law),
            (None, Start::Field(field, exponent)) => (field, exponent),
        };
        let Some((field, exponent, form)) = settled(act, field, exponent) else { break };
        let factor = last.as_ref().and_then(|last| last.factor(field, form));
        let mut known = match last.take() {
            Some(last) if factor.is_some() => last,
            other => {
                spent += 1;
                Known::new(act, field, form, other.is_some_and(|other| other.is_hopeless()))
            }
        };
        let factor = factor.unwrap_or(1.0);
        let passed = known.passed.scaled(factor);
        let is_finite = passed.square.is_finite() && passed.squared_slope.is_finite();
        if spent > effort || !is_finite || passed.error > Estimate::RESOLVED {
            break;
        }
        let mut orders = Orders::default();
        let products = two_samples.then(|| {
            let pair = known.pair();
            let (c, spent) = (field.correlation(), pair.spent());
            orders = pair.orders(c).scaled(factor);
            let products = pair.at(c).scaled(factor);
            evaluations += pair.spent() - spent;
            products
        });
        if evaluations > MOST_EVALUATIONS {
            break;
        }
        layers.push(Layer { weights: *law, field, exponent, form, passed, products, orders });
        last = Some(known);
    }
    layers
}

/// What one field was integrated to. It says all of every field that is nearly the same, and, of two slopes, of every field of the
/// same shape.
struct Known<'a> {
    act: &'a Activation,
    field: Field,
    form: Form,
    passed: Passed,
    /// Made when two samples are asked for.
    pair: Option<Pair<'a>>,
    /// Double integrals resolved nothing over the field before.
    hopeless: bool,
}

impl<'a> Known<'a> {
    fn new(act: &'a Activation, field: Field, form: Form, hopeless: bool) -> Self {
        Self { act, field, form, passed: pass(act, field, form), pair: None, hopeless }
    }

    /// How many times as large another field is whose moments follow from these; `None` where they do not.
    fn factor(&self, field: Field, form: Form) -> Option<f64> {
        if form != self.form {
            return None;
        }
        if self.field.near(field) {
            return Some(1.0);
        }
        let factor = (field.second_moment() / self.field.second_moment()).sqrt();
        (form != Form::Itself && self.field.scaled(factor).near(field)).then_some(factor)
    }

    fn pair(&mut self) -> &mut Pair<'a> {
        let new = || Pair::new(self.act, self.field, self.form, &self.passed).following(self.hopeless);
        self.pair.get_or_insert_with(new)
    }

    fn is_hopeless(&self) -> bool {
        self.pair.as_ref().is_some_and(Pair::is_hopeless)
    }
}

/// W·h + b in a unit near its own size. What units share is followed to first order in it.
fn through(h: Output, exponent: i64, law: &WeightMoments) -> (Field, i64) {
    let pull = law.fan_in * law.mean;
    let gain = law.fan_in * law.variance;
    let unit = |x: f64| Wide::from(x).scaled(2 * exponent);
    let squared_pull = Wide::from(pull) * Wide::from(pull);
    let mean = Wide::from(pull) * Wide::from(h.mean).scaled(exponent) + Wide::from(law.bias_mean);
    let own = Wide::from(gain) * unit(h.square) + Wide::from(law.bias_variance);
    let own_pair = Wide::from(gain) * unit(h.product) + Wide::from(law.bias_variance);
    let shared = squared_pull * unit(h.common + h.spread / law.fan_in);
    let shared_pair = squared_pull * unit(h.common_pair + h.spread_pair / law.fan_in);
    let size = mean * mean + own + shared;
    let exponent = size.exponent().div_euclid(2);
    let square = |x: Wide| x.scaled(-2 * exponent).to_f64();
    let field = Field {
        mean: mean.scaled(-exponent).to_f64(),
        shared: square(shared),
        own: square(own),
        shared_pair: square(shared_pair),
        own_pair: square(own_pair),
    };
    (field, exponent)
}

/// The field in the unit that its form wants, and that form.
fn settled(act: &Activation, field: Field, exponent: i64) -> Option<(Field, i64, Form)> {
    let size = Wide::from(field.second_moment());
    if size.is_zero() || !field.second_moment().is_finite() {
        return None;
    }
    let log2 = size.exponent() + 2 * exponent;
    let form = form(act, log2);
    let target = match form {
        Form::Itself if log2.abs() > REPRESENTABLE => return None,
        Form::Itself => 0,
        // One to four in its square, so that a homogeneous stack looks alike at every layer.
        Form::Slopes(..) => log2.div_euclid(2),
    };
    let factor = Wide::from(1.0).scaled(exponent - target).to_f64();
    Some((field.scaled(factor), target, form))
}

/// How an activation is taken at a squared size of 2^`log2`.
pub fn form(act: &Activation, log2: i64) -> Form {
    let shape = &act.shape;
    let (left, right) = shape.slopes_at_zero;
    if shape.homogeneous {
        return Form::Slopes(left, right);
    }
    let small = shape.tangent_below.map_or(i64::MIN, |below| SMALL.min(2 * below));
    if log2 < small && shape.at_zero == 0.0 && (left != 0.0 || right != 0.0) {
        return Form::Slopes(left, right);
    }
    match asymptotes(act) {
        Some((left, right)) if log2 > LARGE => Form::Slopes(left, right),
        _ => Form::Itself,
    }
}

/// Slopes that φ(z)/z comes to on either side, where both are reached to rounding and not both are zero.
fn asymptotes(act: &Activation) -> Option<(f64, f64)> {
    let slope = |side: f64| {
        let slope = act.kernel.at(side * 1e21).1;
        let steady = [1e21, 1e25, 1e30].iter().all(|z| {
            let (value, here) = act.kernel.at(side * z);
            (value / (side * z) - slope).abs() <= 1e-14 && here == slope
        });
        steady.then_some(slope)
    };
    slope(-1.0).zip(slope(1.0)).filter(|slopes| *slopes != (0.0, 0.0))
}

/// A gradient ∂C/∂Z: mean square of its entries, and of its mean over the units of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// E d².
    pub square: Wide,
    /// E d̄², with d̄ the mean over the units of a sample.
    pub shared: Wide,
    /// What the mean of the weights above brought to E d², as a part of it.
    pub common_part: f64,
}

impl Flow {
    /// Variance of the entries over a batch of B samples: read-outs are independent, so samples' means are uncorrelated.
    pub fn variance(self, batch: usize) -> Wide {
        let above = self.shared * Wide::from(-1.0 / batch as f64);
        let variance = self.square + above;
        if variance.mantissa() > 0.0 { variance } else { Wide::ZERO }
    }
}

/// Gradients at each layer, first to last, from a read-out with independent N(0, 1) entries behind the last activation:
/// g_{l−1} = fan_out·Var(W)·g_l·E φ′² and what a mean of the weights adds.
pub fn backward(layers: &[Layer]) -> Vec<Flow> {
    let Some(top) = layers.last() else { return Vec::new() };
    let square = Wide::from(top.passed.squared_slope);
    let mut flow = Flow { square, shared: square * Wide::from(1.0 / top.weights.fan_out), common_part: 0.0 };
    let mut flows = vec![flow];
    for (above, below) in layers.iter().skip(1).zip(layers).rev() {
        let w = above.weights;
        let pull = Wide::from(w.fan_out * w.mean);
        let common = pull * pull * flow.shared;
        let met = common + Wide::from(w.fan_out * w.variance) * flow.square;
        let square = met * Wide::from(below.passed.squared_slope);
        let mean = Wide::from(below.passed.slope * below.passed.slope);
        flow = Flow {
            square,
            shared: common * mean + square * Wide::from(1.0 / w.fan_in),
            common_part: (common * met.recip()).to_f64(),
        };
        flows.push(flow);
    }
    flows.reverse();
    flows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(text: &str) -> Activation {
        Activation::parse(text).unwrap()
    }

    fn plain(depth: usize, n: usize, sigma_w2: f64, sigma_b2: f64) -> Vec<WeightMoments> {
        vec![WeightMoments::square(n, sigma_w2, sigma_b2); depth]
    }

    fn walk(name: &str, laws: &[WeightMoments]) -> Vec<Layer> {
        forward(&act(name), laws, Start::Input(InputMoments::NORMAL), true, usize::MAX)
    }

    fn log(x: Wide) -> f64 {
        x.log10_abs().unwrap()
    }

    #[test]
    fn relu_at_depth_fifty() {
        // SCIENCE 5.1: He keeps, Xavier halves, 1/3 leaves a sixth, over fifty layers from the input.
        for (gain, ratio) in [(2.0, 1.0), (1.0, 8.9e-16), (1.0 / 3.0, 1.24e-39)] {
            let layers = walk("relu", &plain(50, 512, gain, 0.0));
            let square = log(layers[49].output_second_moment());
            assert!((10f64.powf(square) / ratio - 1.0).abs() < 5e-3, "{gain}: {square}");
            let flows = backward(&layers);
            let factor = log(flows[0].square) - log(flows[49].square);
            assert!((factor - 49.0 * (gain / 2.0).log10()).abs() < 1e-12);
        }
    }

    #[test]
    fn he_collapses_angles() {
        let layers = walk("relu", &plain(1001, 512, 2.0, 0.0));
        // Correlation after l layers from orthogonal inputs is that of the pre-activations of layer l + 1.
        let c = |l: usize| layers[l].field.cosine();
        assert!((c(50) - 0.987_862).abs() < 5e-7, "{}", c(50));
        assert!((c(100) - 0.996_423).abs() < 5e-7, "{}", c(100));
        // 1 − c_l → 9π²/(2l²); the next order is (log l)/l relative.
        let limit = |l: f64| 4.5 * std::f64::consts::PI.powi(2) / (l * l);
        let ratio = |l: usize| (1.0 - c(l)) / limit(l as f64);
        assert!((ratio(1000) - 1.0).abs() < 0.04 && (ratio(1000) - 1.0).abs() < (ratio(100) - 1.0).abs());
    }

    #[test]
    fn a_power_law_and_a_fixed_point() {
        let layers = walk("tanh", &plain(50, 512, 1.0, 0.0));
        // l·q_l of the activations.
        let last = 50.0 * layers[49].output_second_moment().to_f64();
        assert!((last - 0.5110).abs() < 5e-5, "{last}");
        // tanh with PyTorch's gain 5/3.
        let layers = walk("tanh", &plain(300, 512, 25.0 / 9.0, 0.0));
        assert!((layers[299].field_second_moment().to_f64() - 1.178_48).abs() < 5e-6);
        let flows = backward(&layers[200..]);
        let growth = 10f64.powf(50.0 * (log(flows[10].square) - log(flows[11].square)));
        assert!((growth / 1.4e4 - 1.0).abs() < 0.05, "{growth}");
    }

    #[test]
    fn ten_thousand_layers_neither_overflow_nor_drift() {
        const L: usize = 10_000;
        // Exact: every layer multiplies by gain/2, wherever doubles end; gains without round logarithms.
        for (name, gain, factor) in
            [("relu", 2.0, 1.0), ("relu", 0.7, 0.35), ("relu", 300.0, 150.0), ("linear", 1.1, 1.1)]
        {
            let layers = walk(name, &plain(L, 64, gain, 0.0));
            let exact = L as f64 * f64::log10(factor);
            let found = log(layers[L - 1].output_second_moment());
            assert!((found - exact).abs() < 1e-11 * exact.abs().max(1.0), "{name} {gain}: {found} {exact}");
            let back = log(backward(&layers)[0].square) - log(backward(&layers)[L - 1].square);
            let exact = (L - 1) as f64 * f64::log10(factor);
            assert!((back - exact).abs() < 1e-11 * exact.abs().max(1.0), "{name} {gain}: {back} {exact}");
        }
        // tanh far below one is its tangent: the whole way down at ½ a layer, but for the first few.
        let layers = walk("tanh", &plain(L, 64, 0.5, 0.0));
        let step = log(layers[L - 1].field_second_moment()) - log(layers[99].field_second_moment());
        assert!((step - (L - 100) as f64 * 0.5f64.log10()).abs() < 1e-8);
        // A GELU far above one is a ReLU.
        let layers = walk("gelu", &plain(L, 64, 20.0, 0.0));
        let step = log(layers[L - 1].field_second_moment()) - log(layers[199].field_second_moment());
        assert!((step - (L - 200) as f64).abs() < 1e-8, "{step}");
        // A sigmoid under Xavier: χ₁ = 0.0557207 a layer, 10^−12 540 at the first.
        let layers = walk("sigmoid", &plain(L, 512, 1.0, 0.0));
        let first = log(backward(&layers)[0].square);
        assert!((first + 12_540.0).abs() < 2.0, "{first}");
    }

    #[test]
    fn a_linear_stack_with_a_mean_grows_by_its_mean() {
        let law = WeightMoments { mean: 0.1, variance: 0.01, ..WeightMoments::square(100, 1.0, 0.0) };
        let layers = walk("linear", &vec![law; 30]);
        let grown = log(layers[29].field_second_moment()) - log(layers[28].field_second_moment());
        assert!((10f64.powf(grown) / 101.01 - 1.0).abs() < 0.01);
        // What all units share is all there is: samples are told apart by one number, the units not at all.
        assert!(layers[29].parts().1 > 0.98);
    }

    #[test]
    fn biases_and_small_signals() {
        // A signal of 10^−400 enters with biases of 10^−300: the biases are what is left.
        let laws = vec![WeightMoments { bias_variance: 1e-300, ..WeightMoments::square(8, 1e-200, 0.0) }; 4];
        let layers = walk("relu", &laws);
        assert!((log(layers[3].field_second_moment()) + 300.0).abs() < 1e-9);
        assert!((layers[3].parts().0 - 1.0).abs() < 1e-12);
        // Nothing at all is said of zeros.
        assert!(walk("relu", &plain(3, 8, 0.0, 0.0)).is_empty());
        // Nor of a bounded activation's input beyond the doubles, or of z² below them.
        assert!(walk("x*x", &plain(40, 8, 0.1, 0.0)).len() < 40);
    }
}
