//! A selective state space (Gu & Dao 2023, Mamba, algorithm 2): each channel has a state of N numbers, whose step Δ, input B and output C
//! depend on the sequence.
//!
//! Δ = softplus(dt_proj(low)) with [low, B, C] = x_proj(x), and then for each channel
//! hₜ = exp(Δₜ A) hₜ₋₁ + Δₜ Bₜ xₜ and yₜ = ⟨Cₜ, hₜ⟩ + D xₜ.

use super::act::activated;
use super::by_part::ByPart;
use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewEntry, NewNode, Port, Wanted, read};
use super::linear::{Part, project};
use super::parameters::gradient_of;
use super::record::{moments, pooled};
use super::samples::each_sample;
use super::{
    Activations, Backward, Context, Exported, Exports, Forward, Operator, Parameter, Shapes, check_parts,
    exactly, of_part, split,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::max_abs;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType =
    LayerType { name: "ssm", fields: &["state", "rank", "init", "bias"], read: read::<Spec> };

/// The fields of a state space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Numbers in the state of a channel.
    #[serde(default = "sixteen", skip_serializing_if = "is_sixteen")]
    state: usize,
    /// Features that the steps are made of; a sixteenth of those that come in where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rank: Option<usize>,
    /// Of both projections, in place of `--init`; a table may name a law of `A_log` and `D` too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<ByPart<String>>,
    /// Of the steps before their softplus, in place of Mamba's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<BiasSpec>,
}

fn sixteen() -> usize {
    16
}

fn is_sixteen(state: &usize) -> bool {
    *state == 16
}

/// Parts of the layer, by the names of Mamba's modules.
const PARTS: [&str; 4] = ["x_proj", "dt_proj", "A_log", "D"];
/// Steps between 0.001 and 0.1 on a logarithmic scale, before their softplus: up to 5 %, its inverse is their logarithm.
const STEPS: &str = "uniform(log(exp(0.001)-1), log(exp(0.1)-1))";

impl Spec {
    /// What the file says of a part that keeps a law of its own unless it is named.
    fn own<'a>(&'a self, part: &str, otherwise: &'a str) -> &'a str {
        match &self.init {
            Some(ByPart::Parts(parts)) => parts.get(part).map_or(otherwise, String::as_str),
            _ => otherwise,
        }
    }
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let (input, length) = layer::sequence("ssm", inputs)?;
        check_parts("init", &self.init, &PARTS)?;
        let (features, state) = (input.shape.channels, self.state);
        let rank = self.rank.unwrap_or(features.div_ceil(16));
        if state == 0 || rank == 0 {
            return Err(format!("state = {state} and rank = {rank} are at least 1 each"));
        }
        let rows = vec![rank, state, state];
        let width = layer::total("what the steps are made of", &rows)?;
        layer::sized("its states", &[features, state, length])?;
        let init = |part: &str| of_part(&self.init, part).map(String::as_str);
        let (none, steps) = (BiasSpec::Has(false), BiasSpec::Law(STEPS.into()));
        let part = Part {
            name: Some(PARTS[0]),
            init: init(PARTS[0]),
            bias: Some(&none),
            beside: true,
            ..Part::default()
        };
        let made = project(to, input, input.shape.with(width), &part)?;
        let [low, into, out] = exactly(split::into(to, made, rows)?);
        let bias = Some(self.bias.as_ref().unwrap_or(&steps));
        let part = Part { name: Some(PARTS[1]), init: init(PARTS[1]), bias, ..part };
        let raw = project(to, low, input.shape, &part)?;
        let delta = activated(to, raw, Some("softplus"))?;
        let entry = to.entry(&NewEntry {
            part: None,
            kind: "ssm",
            fans: (features, features),
            units: features,
            positions: length,
            weighted: true,
        })?;
        let mut parameter = |part: &'static str, columns: usize, law: &str| {
            let wanted = Wanted::linear(entry, columns, features).with(Some(law), Some(&none));
            to.parameter(&Wanted { part: Some(part), deepens: false, ..wanted })
        };
        let parameters = vec![
            parameter(PARTS[2], state, self.own(PARTS[2], "zeros")),
            parameter(PARTS[3], 1, self.own(PARTS[3], "constant(1)")),
        ];
        let node = NewNode::plain(Scan { length, features, state }, input, input.shape);
        to.node(NewNode { inputs: vec![input, delta, into, out], parameters, entry: Some(entry), ..node })
    }
}

/// The recurrence over a sequence, given Δ, B and C beside it.
///
/// Its parameters are `A_log`, by which ln(−A) differs from that of S4D-real, −A = 1, 2, …, N in each channel, and `D`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Positions.
    pub length: usize,
    /// Channels.
    pub features: usize,
    /// Numbers in the state of each.
    pub state: usize,
}

impl Operator for Scan {
    /// An exponential counts as twenty.
    fn operations(&self, _: &Shapes, _: &[&Parameter]) -> f64 {
        70.0 * self.length as f64 * self.features as f64 * self.state as f64
    }

    /// The inputs, what the passes of a batch sum up in double precision, and the rates.
    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        let entries = 4 * shapes.input_size() as u128 + 24 * shapes.output_size() as u128;
        let rates = self.features as u128 * (self.state as u128 + 1);
        samples as u128 * (entries + 8 * rates) + 8 * rates
    }

    /// `A_log` and `D` of Mamba's own module.
    fn export(&self, exported: &Exported) -> Vec<Exports> {
        let one = |(parameter, arrays): &(&Parameter, &super::ParameterArrays<f32>)| {
            let (module, name) = parameter.path.rsplit_once('/').unwrap_or(("", &parameter.path));
            let weights = &arrays.weights;
            let (rows, columns) = weights.shape();
            if name == PARTS[3] {
                return Exports::of(module, name, vec![rows], weights.as_slice().to_vec());
            }
            let values = (0..rows)
                .flat_map(|row| (0..columns).map(move |n| (rate(n, weights[(row, n)].to_f64())).ln() as f32));
            Exports::of(module, name, vec![rows, columns], values.collect())
        };
        exported.parameters.iter().map(one).collect()
    }
}

/// −A of a state's number, from 0, in what a double holds with room for products.
fn rate(number: usize, offset: f64) -> f64 {
    ((number + 1) as f64 * offset.exp()).clamp(1e-200, 1e200)
}

/// Beyond this an exponential is zero, and its product with the exponent.
const GONE: f64 = 1e4;

/// Inputs in the order x, Δ, B, C, with −A and D.
struct Tape<T: Real> {
    scan: Scan,
    inputs: [Activations<T>; 4],
    /// Column by column as the parameter.
    rates: Vec<f64>,
    skip: Vec<f64>,
}

/// The same for all samples, to be shared by threads.
struct Series<'a, T: Real> {
    scan: Scan,
    values: [&'a [T]; 4],
    exponents: [i64; 4],
    rates: &'a [f64],
}

/// What one sample is, as mantissas.
struct Sample<'a, T: Real> {
    x: &'a [T],
    delta: &'a [T],
    into: &'a [T],
    out: &'a [T],
    /// Brings a mantissa of Δ to the number itself, which exponentials need.
    exponent: i32,
}

impl<T: Real> Sample<'_, T> {
    /// Of a channel at a time: x, Δ as a mantissa, and Δ itself.
    fn at(&self, place: usize) -> (f64, f64, f64) {
        let delta = self.delta[place].to_f64();
        (self.x[place].to_f64(), delta, libm::scalbn(delta, self.exponent).clamp(0.0, 1e300))
    }
}

/// Sums in double precision as a signal.
fn rounded<T: Real>(rows: usize, sums: &[f64], exponent: i64) -> Signal<T> {
    let top = max_abs(sums);
    let shift = if top == 0.0 { 0 } else { libm::ilogb(top) };
    let values = sums.iter().map(|v| T::of(libm::scalbn(*v, -shift)));
    Signal::new(DMatrix::from_iterator(rows, sums.len() / rows.max(1), values), exponent + i64::from(shift))
}

/// Every entry times the number of its row.
fn by_row<T: Real>(x: &Signal<T>, factors: &[f64]) -> Signal<T> {
    let rows = factors.len();
    let entries = x.values.as_slice().chunks_exact(rows).flat_map(|column| column.iter().zip(factors));
    let products: Vec<f64> = entries.map(|(v, factor)| v.to_f64() * factor).collect();
    rounded(rows, &products, x.exponent)
}

impl<T: Real> Tape<T> {
    fn series(&self) -> Series<'_, T> {
        Series {
            scan: self.scan,
            values: self.inputs.each_ref().map(|input| input.signal.values.as_slice()),
            exponents: self.inputs.each_ref().map(|input| input.signal.exponent),
            rates: &self.rates,
        }
    }
}

impl<T: Real> Series<'_, T> {
    fn sample(&self, sample: usize) -> Sample<'_, T> {
        let Scan { length, features, state } = self.scan;
        let of = |input: usize, rows: usize| &self.values[input][sample * rows * length..][..rows * length];
        let exponent = self.exponents[1].clamp(-3000, 3000) as i32;
        Sample { x: of(0, features), delta: of(1, features), into: of(2, state), out: of(3, state), exponent }
    }

    /// ⟨C, h⟩ of all channels.
    fn states_seen(&self, batch: usize, threads: Threads) -> Signal<T> {
        let Scan { length, features, state } = self.scan;
        let mut sums = vec![0.0; features * length * batch];
        each_sample(threads, batch, [&mut sums], |sample, [y]| {
            let sample = self.sample(sample);
            let mut h = vec![0.0; state];
            for channel in 0..features {
                h.fill(0.0);
                for time in 0..length {
                    let place = time * features + channel;
                    let (x, delta, step) = sample.at(place);
                    let (into, out) = (&sample.into[time * state..], &sample.out[time * state..]);
                    for (n, h) in h.iter_mut().enumerate() {
                        let decay = (-(step * self.rates[n * features + channel]).min(GONE)).exp();
                        *h = decay * *h + delta * x * into[n].to_f64();
                        y[place] += *h * out[n].to_f64();
                    }
                }
            }
        });
        rounded(features, &sums, self.exponents.iter().sum())
    }
}

impl<T: Real> Forward<T> for Scan {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        context: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let inputs = exactly(inputs);
        let matrix = |place: usize| context.dense(context.parameter(place)).matrix(context.threads);
        let offsets = matrix(0);
        let rates = offsets.as_slice().iter().enumerate();
        let rates = rates.map(|(place, offset)| rate(place / self.features, *offset)).collect();
        let skip = matrix(1).as_slice().to_vec();
        let tape = Tape { scan: *self, inputs, rates, skip };
        let states = tape.series().states_seen(context.batch, context.threads);
        let out = states.plus(by_row(&tape.inputs[0].signal, &tape.skip));
        (vec![Rc::new(CachedSignal::from(out))], Box::new(tape))
    }
}

/// ∂C/∂ of what a sample is made of, as sums of mantissas.
struct Sums<'a> {
    x: &'a mut [f64],
    /// Of Δ, as far as it decides what is forgotten.
    forgotten: &'a mut [f64],
    /// Of Δ, as far as it decides what is taken in.
    taken: &'a mut [f64],
    into: &'a mut [f64],
    out: &'a mut [f64],
    rates: &'a mut [f64],
    skip: &'a mut [f64],
}

impl<T: Real> Series<'_, T> {
    /// Adds what a channel of a sample gives, whose states are computed once more and kept in `states` with their decays.
    fn channel(
        &self,
        channel: usize,
        sample: &Sample<T>,
        d: &[T],
        states: &mut [(f64, f64)],
        sums: &mut Sums,
    ) {
        let Scan { length, features, state } = self.scan;
        let rate = |n: usize| self.rates[n * features + channel];
        for time in 0..length {
            let (x, delta, step) = sample.at(time * features + channel);
            for n in 0..state {
                let place = time * state + n;
                let before = if time == 0 { 0.0 } else { states[place - state].0 };
                let decay = (-(step * rate(n)).min(GONE)).exp();
                states[place] = (decay * before + delta * x * sample.into[place].to_f64(), decay);
            }
        }
        let mut gradient = vec![0.0; state];
        for time in (0..length).rev() {
            let own = time * features + channel;
            let ((x, delta, step), dy) = (sample.at(own), d[own].to_f64());
            sums.skip[channel] += dy * x;
            for (n, g) in gradient.iter_mut().enumerate() {
                let place = time * state + n;
                let (h, decay) = states[place];
                let into = sample.into[place].to_f64();
                *g += dy * sample.out[place].to_f64();
                sums.out[place] += dy * h;
                sums.into[place] += *g * delta * x;
                sums.taken[own] += *g * into * x;
                sums.x[own] += *g * into * delta;
                let before = if time == 0 { 0.0 } else { states[place - state].0 };
                let through = *g * decay * before;
                sums.forgotten[own] -= rate(n) * through;
                sums.rates[n * features + channel] -= (step * rate(n)).min(GONE) * through;
                *g *= decay;
            }
        }
    }
}

/// The sum over samples of what lies one behind the other.
fn over_samples(parts: &[f64], size: usize) -> Vec<f64> {
    let mut sum = vec![0.0; size];
    for part in parts.chunks_exact(size) {
        sum.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
    }
    sum
}

/// Adds ∂C/∂W of a parameter where it is wanted.
fn collect<T: Real>(parameter: &Parameter, values: &Signal<T>, context: &mut Context<T>) {
    let Some(gradient) = gradient_of(&mut context.gradients, parameter) else { return };
    let sums: Vec<f64> = values.values.iter().map(|v| v.to_f64()).collect();
    gradient.add_sums(&sums, values.exponent);
}

impl<T: Real> Backward<T> for Tape<T> {
    fn backward(
        self: Box<Self>,
        gradients: Vec<CachedSignal<T>>,
        context: &mut Context<T>,
    ) -> Vec<Signal<T>> {
        let [d] = exactly(gradients);
        let (d, series) = (d.signal, self.series());
        let entries = d.values.as_slice();
        let Scan { length, features, state } = self.scan;
        let batch = context.batch;
        let [mut x, mut forgotten, mut taken] = [(); 3].map(|()| vec![0.0; features * length * batch]);
        let [mut into, mut out] = [(); 2].map(|()| vec![0.0; state * length * batch]);
        let (mut rates, mut skip) = (vec![0.0; features * state * batch], vec![0.0; features * batch]);
        let all: [&mut [f64]; 7] =
            [&mut x, &mut forgotten, &mut taken, &mut into, &mut out, &mut rates, &mut skip];
        each_sample(context.threads, batch, all, |sample, [x, forgotten, taken, into, out, rates, skip]| {
            let d = &entries[sample * features * length..][..features * length];
            let mut sums = Sums { x, forgotten, taken, into, out, rates, skip };
            let (sample, mut states) = (series.sample(sample), vec![(0.0, 0.0); length * state]);
            (0..features).for_each(|channel| series.channel(channel, &sample, d, &mut states, &mut sums));
        });
        let [of_x, of_delta, of_into, of_out] = series.exponents;
        let (of_y, of_gradient, of_state) = (d.exponent, d.exponent + of_out, of_x + of_delta + of_into);
        let of_parameters = [
            rounded(features, &over_samples(&rates, features * state), of_gradient + of_state),
            rounded(features, &over_samples(&skip, features), of_y + of_x),
        ];
        let mut groups = Vec::with_capacity(2);
        for (place, gradient) in of_parameters.into_iter().enumerate() {
            collect(context.parameter(place), &gradient, context);
            let count = gradient.values.len() as f64;
            groups.push((moments(&CachedSignal::from(gradient), 0.0), count));
        }
        context.observe_own_weight_gradient(pooled(&groups));
        let delta = rounded::<T>(features, &forgotten, of_gradient + of_state).plus(rounded(
            features,
            &taken,
            of_gradient + of_into + of_x,
        ));
        vec![
            rounded::<T>(features, &x, of_gradient + of_into + of_delta).plus(by_row(&d, &self.skip)),
            delta,
            rounded(state, &into, of_gradient + of_delta + of_x),
            rounded(state, &out, of_y + of_state),
        ]
    }
}
