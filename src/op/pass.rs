//! One trial on its way through a network: what layers share, and what each must answer.

use super::parameters::{Gradients, Parameters};
use crate::law::Law;
use crate::law::draw;
use crate::numeric::cached::Observed;
use crate::numeric::product::{Threads, View, gram_of};
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::{Key, Role};
use crate::op::record::{
    LayerRecord, Moments, correlation_of, effective_rank_of_gram, moments, unit_symmetry,
};
use crate::weights::Dense;
use std::rc::Rc;
use std::sync::Arc;

/// A batch, channels × (positions·samples), shared by the tapes that need it again.
pub type Value<T> = Rc<Observed<T>>;

/// A layer of a network.
pub trait Layer<T: Real> {
    /// The layer's output, and what answers for its gradient.
    fn forward(&self, x: Value<T>, pass: &mut Pass<T>) -> (Value<T>, Box<dyn Back<T>>);
}

/// What a layer keeps of its way forward.
pub trait Back<T: Real> {
    /// From ∂C/∂output to ∂C/∂input; records the gradient of a layer with weights.
    fn backward(self: Box<Self>, d: Signal<T>, pass: &mut Pass<T>) -> Signal<T>;
}

/// The weights of a layer, and where they are recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Place among the records.
    pub entry: usize,
    /// Running number among the layers with weights, from 1: names its streams.
    pub stream: u64,
    /// Of W.
    pub law: Law,
    /// Of b.
    pub bias: Law,
    /// Columns of W.
    pub fan_in: usize,
    /// Rows of W.
    pub units: usize,
    /// The layer has biases, be they zero at first.
    pub biased: bool,
    /// The architecture file names its law, so that `--init` does not touch it.
    pub own: bool,
}

/// What the layers of a trial share.
pub struct Pass<'a, T: Real> {
    /// Names the trial's streams.
    pub key: Key,
    /// Samples.
    pub batch: usize,
    /// For products and other large loops.
    pub threads: Threads,
    /// Keep weights for the backward pass instead of drawing them again.
    pub keep_weights: bool,
    /// Compute effective ranks.
    pub effective_rank: bool,
    /// The gradient with respect to the network's input is wanted too.
    pub input_gradient: bool,
    /// On the way forward a second time: everything is recorded already.
    pub replay: bool,
    /// Nothing is recorded in either direction.
    pub quiet: bool,
    /// Past training: dropout lets everything pass.
    pub evaluating: bool,
    /// One for each entry of the network.
    pub records: Vec<LayerRecord>,
    /// Room that layers use one after another.
    pub scratch: Vec<T>,
    /// In place of drawn weights and biases.
    pub given: Option<&'a Parameters<T>>,
    /// Where gradients go when a network is trained.
    pub gradients: Option<Gradients<T>>,
}

impl<'a, T: Real> Pass<'a, T> {
    /// Of one trial, with this many records.
    pub fn new(key: Key, batch: usize, threads: Threads, records: usize) -> Self {
        Self {
            key,
            batch,
            threads,
            keep_weights: true,
            effective_rank: false,
            input_gradient: false,
            replay: false,
            quiet: false,
            evaluating: false,
            records: vec![LayerRecord::default(); records],
            scratch: Vec::new(),
            given: None,
            gradients: None,
        }
    }

    /// The names of a layer's streams.
    pub fn key_of(&self, stream: u64) -> Key {
        Key { layer: stream, ..self.key }
    }

    /// A layer's weights as drawn, or as given.
    pub fn dense(&self, weights: &Weights) -> Dense<T> {
        match self.given.and_then(|given| given.get(&weights.stream)) {
            Some(parameter) => Dense::given(Arc::clone(&parameter.weights)),
            None => Dense::new(weights.law, weights.fan_in, weights.units, self.key_of(weights.stream)),
        }
    }

    /// A layer's biases (units × 1); `None` where all are zero.
    pub fn bias(&self, weights: &Weights) -> Option<Signal<T>> {
        if let Some(parameter) = self.given.and_then(|given| given.get(&weights.stream)) {
            return parameter.bias.as_ref().map(|bias| Signal::new(bias.clone(), 0));
        }
        (weights.bias != Law::Constant(0.0))
            .then(|| draw::vector(weights.bias, weights.units, self.key_of(weights.stream), Role::Bias))
    }

    /// The way forward is recorded.
    pub fn records_forward(&self) -> bool {
        !self.replay && !self.quiet
    }

    /// Records a pre-activation, and as the activation too until an activation layer follows.
    pub fn observe(&mut self, entry: usize, z: &Observed<T>) {
        if !self.records_forward() {
            return;
        }
        let samples = samples(z, self.batch);
        let ranked = self.effective_rank.then(|| self.effective_rank_of(z)).flatten();
        let record = &mut self.records[entry];
        record.preactivation = moments(z, 0.0);
        record.activation = record.preactivation;
        record.correlation = correlation_of(z.signal.values.as_slice(), &samples);
        record.effective_rank = ranked;
        record.unit_symmetry = unit_symmetry(&z.signal);
    }

    fn effective_rank_of(&self, z: &Observed<T>) -> Option<f64> {
        let values = z.signal.values.as_slice();
        let rows = values.len() / self.batch;
        let samples = View::of(values, rows, self.batch, rows);
        // Both Gram matrices share their non-zero eigenvalues.
        let side = if self.batch <= rows { samples } else { samples.turned() };
        effective_rank_of_gram(gram_of(&side, self.threads))
    }

    /// Records ∂C/∂Z.
    pub fn observe_gradient(&mut self, entry: usize, d: &Observed<T>) {
        if !self.quiet {
            self.records[entry].gradient = moments(d, 0.0);
        }
    }

    /// Records ∂C/∂W.
    pub fn observe_weight_gradient(&mut self, entry: usize, moments: Moments) {
        if !self.quiet {
            self.records[entry].weight_gradient = moments;
        }
    }
}

/// Squared norms of the samples.
fn samples<T: Real>(z: &Observed<T>, batch: usize) -> Vec<f64> {
    let squares = &z.sums().square;
    let positions = (squares.len() / batch.max(1)).max(1);
    squares.chunks(positions).map(|sample| sample.iter().sum()).collect()
}
