//! What the operators of one trial share: streams, weights, records and gradients.

use super::act::SATURATED;
use super::parameter::{GateBias, Parameter, Source};
use super::parameters::{Arrays, Gradients};
use super::record::{
    LayerRecord, Moments, correlation_of, effective_rank_of_gram, moments, position_correlation,
    unit_symmetry,
};
use super::vector::VectorParameter;
use crate::law::Law;
use crate::law::draw;
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, View, gram_of};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, stacked, unstacked};
use crate::numeric::stream::{self, Key};
use crate::numeric::wide::Wide;
use crate::weights::{Dense, LinearMap, Table, linear_map, unit_variance};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// A batch, channels × (positions·samples), shared by the nodes that need it again.
pub type Activations<T> = Rc<CachedSignal<T>>;

/// Samples with a larger mean cosine differ by so little that single precision may lose what they differ in: of squares that sum to one,
/// less than a thousandth.
pub(super) const ALIKE: f64 = 0.999;

/// The same of positions, whose differences decide what softmax passes back: of squares, less than 10⁻⁵, so of entries 0.3 %, of which the
/// rounding of a product of some thousand terms, about 10⁻⁶, is less than a thousandth.
const ALIKE_POSITIONS: f64 = 1.0 - 1e-5;

/// The node at work, as the graph describes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call<'a> {
    /// Places of its parameters in the list of all.
    pub parameters: &'a [usize],
    /// Places of its vectors in the list of all vectors.
    pub vectors: &'a [usize],
    /// Where its output is recorded.
    pub entry: Option<usize>,
    /// The entry whose activation its output is.
    pub completes: Option<usize>,
    /// The norm, among those that are recorded, whose output its output is.
    pub norm: Option<usize>,
    /// Something below the node needs the gradient of its inputs.
    pub input_gradient: bool,
}

/// A source of linear maps, given a parameter and the names of its streams; `None` for the parameter's own.
pub type Maps<'a, T> = &'a dyn Fn(&Parameter, Key) -> Option<Box<dyn LinearMap<T>>>;

/// The context of a pass of one trial through a network.
pub struct Context<'a, T: Real> {
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
    /// An entry whose |φ′| is below this share of its maximum is saturated.
    pub saturation: f64,
    /// The gradient with respect to the network's input is wanted too.
    pub input_gradient: bool,
    /// The forward pass is computed a second time: everything is recorded already.
    pub replay: bool,
    /// Nothing is recorded in either direction.
    pub quiet: bool,
    /// After training: dropout lets everything pass.
    pub evaluating: bool,
    /// One for each entry of the network.
    pub records: Vec<LayerRecord>,
    /// One for each norm that is recorded.
    pub norms: Vec<LayerRecord>,
    /// Memory that operators use one after another.
    pub scratch: Vec<T>,
    /// In place of drawn tokens, sample after sample, of each input that has some.
    pub tokens: Vec<Option<Vec<usize>>>,
    /// In place of drawn weights and biases.
    pub given: Option<&'a Arrays<T>>,
    /// In place of the maps that parameters ask for: a map that outlives a pass, or one with an error that a test must find.
    pub maps: Option<Maps<'a, T>>,
    /// Where gradients go when a network is trained.
    pub gradients: Option<Gradients<T>>,
    /// What samples differ in decides something: a loss whose gradients may cancel between samples.
    pub samples_meet: bool,
    /// Rounding may have decided something: samples that meet, or positions, that nearly agree, or what a norm over the batch divides
    /// by.
    pub doubtful: bool,
    /// The node at work.
    pub call: Call<'a>,
    parameters: &'a [Parameter],
    vectors: &'a [VectorParameter],
    tables: HashMap<u64, Rc<RefCell<Table<T>>>>,
    factors: HashMap<u64, Wide>,
    table_gradients: HashMap<u64, Signal<f64>>,
}

impl<'a, T: Real> Context<'a, T> {
    /// Of one trial through a network with these parameters and vectors, and so many entries.
    pub fn new(
        (parameters, vectors): (&'a [Parameter], &'a [VectorParameter]),
        entries: usize,
        key: Key,
        batch: usize,
        threads: Threads,
    ) -> Self {
        Self {
            key,
            batch,
            threads,
            keep_weights: true,
            effective_rank: false,
            saturation: SATURATED,
            input_gradient: false,
            replay: false,
            quiet: false,
            evaluating: false,
            tokens: Vec::new(),
            records: vec![LayerRecord::default(); entries],
            norms: Vec::new(),
            scratch: Vec::new(),
            given: None,
            maps: None,
            gradients: None,
            samples_meet: true,
            doubtful: false,
            call: Call::default(),
            parameters,
            vectors,
            tables: HashMap::new(),
            factors: HashMap::new(),
            table_gradients: HashMap::new(),
        }
    }

    /// A parameter of the node at work, by its place among the node's own.
    pub fn parameter(&self, place: usize) -> &'a Parameter {
        &self.parameters[self.call.parameters[place]]
    }

    /// A vector of the node at work, by its place among the node's own.
    pub fn vector_parameter(&self, place: usize) -> &'a VectorParameter {
        &self.vectors[self.call.vectors[place]]
    }

    /// Its entries as a column; `None` where they do nothing.
    pub fn vector(&self, place: usize) -> Option<Signal<T>> {
        let vector = self.vector_parameter(place);
        if let Some(arrays) = self.given.and_then(|given| given.get(&vector.stream)) {
            return Some(Signal::new((*arrays.weights).clone(), 0));
        }
        (!vector.is_neutral()).then(|| self.drawn_vector(vector))
    }

    /// Adds to the gradient of a vector of the node at work, where it is wanted: sums for its entries, times 2^exponent.
    pub fn collect(&mut self, place: usize, sums: &[f64], exponent: i64) {
        let stream = self.vector_parameter(place).stream;
        if let Some(gradient) = self.gradients.as_mut().and_then(|all| all.get_mut(&stream)) {
            gradient.add_sums(sums, exponent);
        }
    }

    /// The entries of a vector as its law draws them.
    pub fn drawn_vector(&self, vector: &VectorParameter) -> Signal<T> {
        draw::vector(vector.law, vector.length, self.key_of(vector.stream), stream::Role::Bias)
    }

    /// All parameters of the node at work.
    pub fn own(&self) -> impl Iterator<Item = &'a Parameter> + use<'a, T> {
        let all = self.parameters;
        self.call.parameters.iter().map(move |place| &all[*place])
    }

    /// The names of a parameter's streams.
    pub fn key_of(&self, stream: u64) -> Key {
        Key { layer: stream, ..self.key }
    }

    /// The array of a parameter where it is given and not drawn.
    pub fn array(&self, parameter: &Parameter) -> Option<&'a super::ParameterArrays<T>> {
        self.given.and_then(|given| given.get(&parameter.stream))
    }

    /// W as a matrix of numbers: as drawn, or as given.
    pub fn dense(&self, parameter: &Parameter) -> Dense<T> {
        match self.array(parameter) {
            Some(arrays) => Dense::given(Arc::clone(&arrays.weights)),
            None => {
                let key = self.key_of(parameter.stream);
                Dense::new(parameter.law, parameter.drawn_columns(), parameter.rows(), key)
            }
        }
    }

    /// The linear map of W, from wherever its numbers come.
    pub fn map(&mut self, parameter: &Parameter) -> Box<dyn LinearMap<T>> {
        let key = self.key_of(parameter.stream);
        if let Some(map) = self.maps.and_then(|maps| maps(parameter, key)) {
            return map;
        }
        if let Source::Transposed(place) = parameter.source {
            return Table::transposed(self.table(&self.parameters[place]));
        }
        if self.array(parameter).is_some() {
            return Box::new(self.dense(parameter));
        }
        linear_map(parameter.method, parameter.law, parameter.drawn_columns(), parameter.rows(), key)
    }

    /// The rows of an embedding, shared by all nodes that use them.
    pub fn table(&mut self, parameter: &Parameter) -> Rc<RefCell<Table<T>>> {
        if let Some(known) = self.tables.get(&parameter.stream) {
            return Rc::clone(known);
        }
        let table = match self.array(parameter) {
            Some(arrays) => Table::given(Arc::clone(&arrays.weights)),
            None => {
                Table::new(parameter.law, parameter.shape, parameter.method, self.key_of(parameter.stream))
            }
        };
        let table = Rc::new(RefCell::new(table));
        self.tables.insert(parameter.stream, Rc::clone(&table));
        table
    }

    /// The product W·x, without biases, which sets the factor of a parameter that is to be rescaled.
    pub fn product(
        &mut self,
        parameter: &Parameter,
        map: &mut dyn LinearMap<T>,
        x: &CachedSignal<T>,
    ) -> Signal<T> {
        let z = map.forward(x, self.threads);
        self.rescaled(parameter, z)
    }

    /// z = W·x times the factor of a parameter that is to be rescaled, which its first product sets.
    pub fn rescaled(&mut self, parameter: &Parameter, z: Signal<T>) -> Signal<T> {
        if !parameter.rescaled || self.array(parameter).is_some() {
            return z;
        }
        let factor = *self.factors.entry(parameter.stream).or_insert_with(|| unit_variance(&z));
        z.times(factor)
    }

    /// Wᵀ·y, likewise.
    pub fn transposed_product(
        &self,
        parameter: &Parameter,
        map: &mut dyn LinearMap<T>,
        y: &CachedSignal<T>,
    ) -> Signal<T> {
        let x = map.backward(y, self.threads);
        self.with_factor(parameter, x)
    }

    /// x = Wᵀ·y times the factor that the forward pass has set.
    pub fn with_factor(&self, parameter: &Parameter, x: Signal<T>) -> Signal<T> {
        match self.factors.get(&parameter.stream) {
            Some(factor) => x.times(*factor),
            None => x,
        }
    }

    /// The factor by which the forward pass has rescaled a parameter's weights.
    pub fn factor(&self, parameter: &Parameter) -> Option<Wide> {
        self.factors.get(&parameter.stream).copied()
    }

    /// b, rows × 1; `None` where all are zero.
    pub fn bias(&self, parameter: &Parameter) -> Option<Signal<T>> {
        if let Some(arrays) = self.array(parameter) {
            return arrays.bias.as_ref().map(|bias| Signal::new(bias.clone(), 0));
        }
        if parameter.has_zero_biases() {
            return None;
        }
        let key = self.key_of(parameter.stream);
        let drawn = |law: Law| draw::vector(law, parameter.biases, key, stream::Role::Bias);
        let all = drawn(parameter.bias);
        let Some(GateBias { block, law, .. }) = parameter.gate_bias else { return Some(all) };
        let blocks = vec![parameter.biases / parameter.counts.blocks; parameter.counts.blocks];
        let mut parts = unstacked(&all, &blocks);
        parts[block] = unstacked(&drawn(law), &blocks).swap_remove(block);
        Some(stacked(&parts))
    }

    /// The forward pass is recorded.
    pub fn records_forward(&self) -> bool {
        !self.replay && !self.quiet
    }

    /// Records a pre-activation, and as the activation too until an activation follows.
    pub fn observe(&mut self, entry: usize, z: &CachedSignal<T>) {
        if !self.records_forward() {
            return;
        }
        let squares = &z.sums_shared(self.threads).square;
        let positions = (squares.len() / self.batch.max(1)).max(1);
        let samples: Vec<f64> = squares.chunks(positions).map(|sample| sample.iter().sum()).collect();
        let ranked = self.effective_rank.then(|| self.effective_rank_of(z)).flatten();
        let record = &mut self.records[entry];
        record.preactivation = moments(z, 0.0);
        record.activation = record.preactivation;
        record.correlation = correlation_of(z.signal.values.as_slice(), &samples, self.threads);
        record.position_correlation = position_correlation(z, positions, self.threads);
        record.effective_rank = ranked;
        record.unit_symmetry = unit_symmetry(&z.signal, self.threads);
        let above = |cosine: Option<f64>, bound: f64| cosine.is_some_and(|c| c > bound);
        self.doubtful |= (self.samples_meet && above(record.correlation, ALIKE))
            || above(record.position_correlation, ALIKE_POSITIONS);
    }

    fn effective_rank_of(&self, z: &CachedSignal<T>) -> Option<f64> {
        let values = z.signal.values.as_slice();
        let rows = values.len() / self.batch;
        if z.signal.values.ncols() == self.batch && self.batch <= rows {
            return effective_rank_of_gram(z.gram(self.threads).whole());
        }
        let samples = View::of(values, rows, self.batch, rows);
        // Both Gram matrices share their non-zero eigenvalues.
        let side = if self.batch <= rows { samples } else { samples.transposed() };
        effective_rank_of_gram(gram_of(&side, self.threads))
    }

    /// Records ∂C/∂Z.
    pub fn observe_gradient(&mut self, entry: usize, d: &CachedSignal<T>) {
        if !self.quiet {
            d.sums_shared(self.threads);
            self.records[entry].gradient = moments(d, 0.0);
        }
    }

    /// Records ∂C/∂W.
    pub fn observe_weight_gradient(&mut self, entry: usize, moments: Moments) {
        if !self.quiet {
            self.records[entry].weight_gradient = moments;
        }
    }

    /// The gradient of a table over all nodes that the backward pass has met so far, with that of the node at work: they may share it.
    pub fn sum_over_uses(&mut self, parameter: &Parameter, own: Signal<f64>) -> Signal<f64> {
        let sum = match self.table_gradients.remove(&parameter.stream) {
            None => own,
            Some(others) => others.plus(own),
        };
        self.table_gradients.insert(parameter.stream, sum.clone());
        sum
    }

    /// Records what comes out of a norm, where the node at work ends one.
    pub fn observe_norm(&mut self, y: &CachedSignal<T>) {
        let Some(norm) = self.call.norm.filter(|_| self.records_forward()) else { return };
        y.sums_shared(self.threads);
        let found = moments(y, 0.0);
        let record = &mut self.norms[norm];
        (record.preactivation, record.activation) = (found, found);
    }

    /// The node at work ends a norm whose gradients are recorded.
    pub fn records_norm(&self) -> bool {
        self.call.norm.is_some() && !self.quiet
    }

    /// Records ∂C/∂y of a norm's output, and the moments of the gradient of its gain.
    pub fn observe_norm_gradients(&mut self, d: &CachedSignal<T>, gain: Moments) {
        let Some(norm) = self.call.norm.filter(|_| !self.quiet) else { return };
        d.sums_shared(self.threads);
        let record = &mut self.norms[norm];
        (record.gradient, record.weight_gradient) = (moments(d, 0.0), gain);
    }

    /// Records ∂C/∂W at the entry of the node at work.
    pub fn observe_own_weight_gradient(&mut self, moments: Moments) {
        if let Some(entry) = self.call.entry {
            self.observe_weight_gradient(entry, moments);
        }
    }
}
