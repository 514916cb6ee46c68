//! One trial of a plain stack whose layers are never held: units pass in blocks, and only sums over them stay.
//!
//! Forward, a block of layer l draws its rows of ξ, forms its rows of Z = ξRᵀ with RRᵀ = HᵀH, and adds to the Gram matrix of
//! its own activations. BackwardMap, the map of layer l draws WᵀD = Q(ξᵀD) + (η − Q·Qᵀη)·Sᵀ with SSᵀ = DᵀD and Q = H·F in two passes
//! over the units of layer l − 1, which draw their ξ again: the first finds Qᵀη, the second D and its sums (the law is that of
//! [`crate::weights::ImplicitGaussian`]). Five normals a unit and sample, memory O(B²·depth) whatever the width.
//!
//! An orthogonal layer ([`crate::weights::ImplicitHaar`]) has V = ξ(ξᵀξ)^(−½) in place of ξ, up to a rotation, and U in place of
//! the η-part: both need one more Gram matrix of draws, which a pass over ξ and the first pass back find.

mod accumulate;
mod blocks;

use super::input::Input;
use super::plan::LayerPlan;
use crate::activation::Activation;
use crate::law::Law;
use crate::law::draw::{Affine, Standard, fill_from};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, add_mul, gram, mul, tr_mul};
use crate::numeric::signal::{Signal, widened};
use crate::numeric::stream::{Key, Part, Role};
use crate::numeric::wide::Wide;
use crate::op::activate::{Activated, activate, activation, dead_units};
use crate::op::loss;
use crate::op::record::{self, LayerRecord, Moments};
use crate::spec::Loss;
use crate::weights::{Factor, gaussian, largest_square};
use accumulate::{Pool, Ranges, WideSum, power};
use blocks::{Blocks, Sums};
use nalgebra::DMatrix;
use std::borrow::Cow;

/// A plain stack of layers that [`can_draw`] allows; its weights are named by a key.
pub struct Stack<'a> {
    /// First to last.
    pub layers: &'a [LayerPlan],
    /// Behind every layer.
    pub act: &'a Activation,
    /// What the batch is drawn from.
    pub input: &'a Input,
    /// Samples.
    pub batch: usize,
    /// Random or mean squared error; cross-entropy would need whole columns.
    pub loss: Loss,
    /// Names the streams of this trial.
    pub key: Key,
    /// Threads that this trial may use.
    pub threads: Threads,
    /// Compute the effective rank at each layer.
    pub effective_rank: bool,
    /// An entry whose |φ′| is below this share of its maximum is saturated.
    pub saturation: f64,
}

/// Whether streams can draw a layer: independent entries, or a frame far from filling its space.
pub fn can_draw(layer: &LayerPlan, batch: usize) -> bool {
    match layer.weights {
        Law::Haar { .. } => side(layer) >= 4 * batch,
        Law::Identity { .. } | Law::Mirrored { .. } => false,
        _ => true,
    }
}

/// The side of the square matrix that an orthogonal layer is a block of.
fn side(layer: &LayerPlan) -> usize {
    layer.fan_in.max(layer.fan_out)
}

/// Calls of `step` in a trial, but for passes that are done again in double precision.
pub fn steps(layers: &[LayerPlan], batch: usize) -> u64 {
    let groups = |rows: usize| Blocks::new(rows, batch).groups() as u64;
    let forward = groups(layers[0].fan_in) + layers.iter().map(|l| groups(l.fan_out)).sum::<u64>();
    let frames: u64 = layers.iter().filter(|l| l.weights.is_orthogonal()).map(|l| groups(side(l))).sum();
    let onto = |l: &LayerPlan| groups(if l.weights.is_orthogonal() { side(l) } else { l.fan_in });
    let back: u64 = layers.iter().skip(1).map(|l| onto(l) + groups(l.fan_in)).sum();
    forward + frames + back + layers.last().map_or(0, |l| groups(l.fan_out))
}

/// Sums that wait at once to be added up.
pub fn waiting(layers: &[LayerPlan], batch: usize) -> usize {
    let wave = |rows: usize| Blocks::new(rows, batch).groups().min(blocks::WAVE);
    layers.iter().map(|l| wave(l.fan_in.max(l.fan_out))).max().unwrap_or(0)
}

/// Names the draws of a block of units: the map's ξ.
fn part(units: u64) -> Part {
    Part::Units { beside: false, units, block: 0 }
}

/// Sums over the units of H, n × B.
#[derive(Default)]
struct BatchSums {
    /// HᵀH; its exponent is even.
    gram: WideSum,
    /// 1ᵀH.
    plain: WideSum,
}

impl Sums for BatchSums {
    fn merge(&mut self, other: Self) {
        self.gram.merge(&other.gram);
        self.plain.merge(&other.plain);
    }
}

/// What is summed in a pass over the units of a layer, with what the next layer needs of it.
trait OverUnits: Sums {
    /// Sums of what goes on to the next layer.
    fn output(&self) -> &BatchSums;
}

impl OverUnits for BatchSums {
    fn output(&self) -> &BatchSums {
        self
    }
}

impl OverUnits for Up {
    fn output(&self) -> &BatchSums {
        &self.output
    }
}

impl OverUnits for Down {
    fn output(&self) -> &BatchSums {
        &self.output
    }
}

impl BatchSums {
    fn add(&mut self, h: &CachedSignal<f32>, precise: bool) {
        let values = &h.signal.values;
        let products =
            if precise { gram(&widened(values), Threads::One) } else { gram(values, Threads::One) };
        self.gram.add(products.as_slice(), 2 * h.signal.exponent);
        self.plain.add(&h.sums().plain, h.signal.exponent);
    }
}

/// H of a whole layer as the next one needs it.
struct Batch {
    /// Of H: the Gram matrix is in units of its square.
    exponent: i64,
    gram: DMatrix<f64>,
    plain: Vec<f64>,
    factor: Factor,
    /// The Gram matrix was summed in double precision.
    precise: bool,
}

impl Batch {
    /// `None` where samples are so nearly collinear that the Gram matrix must be summed in double precision.
    fn new(sums: &BatchSums, batch: usize, precise: bool) -> Option<Self> {
        let exponent = sums.gram.exponent / 2;
        let gram = DMatrix::from_column_slice(batch, batch, &sums.gram.values);
        let factor = Factor::of_gram(&gram, precise)?;
        Some(Self { exponent, gram, plain: sums.plain.at(exponent), factor, precise })
    }

    /// The largest norm of a column.
    fn norm(&self) -> Wide {
        Wide::new(largest_square(&self.gram).sqrt(), self.exponent)
    }
}

/// A product with W or Wᵀ as blocks draw it: Gaussian rows with a common covariance, and one row for all units.
struct Rows {
    /// Of what comes out.
    exponent: i64,
    /// Factor of the Gaussian part.
    scale: f32,
    /// mean·(1ᵀX), and the mean of the biases.
    row: Vec<f32>,
}

impl Rows {
    /// std·X and mean·1(1ᵀX), with `plain` = 1ᵀX in units of 2^exponent, `norm` that of X's longest column, and what is added
    /// to every entry with its own spread.
    fn new(law: (Wide, Wide), exponent: i64, plain: &[f64], norm: Wide, added: (f64, f64)) -> Self {
        let (mean, std) = law;
        let unit = Wide::new(1.0, exponent);
        let longest = plain.iter().fold(0.0, |top: f64, sum| top.max(sum.abs()));
        let parts = [std * norm, mean * Wide::from(longest) * unit, added.0.into(), added.1.into()];
        let top = parts.iter().filter(|part| !part.is_zero()).map(|part| part.exponent()).max().unwrap_or(0);
        let below = Wide::new(1.0, -top);
        let row = plain
            .iter()
            .map(|sum| ((mean * Wide::from(*sum) * unit + added.0.into()) * below).to_f64() as f32);
        Self { exponent: top, scale: (std * unit * below).to_f64() as f32, row: row.collect() }
    }

    /// Adds the common row and names the scale.
    fn finish(&self, mut values: DMatrix<f32>) -> Signal<f32> {
        for (mut column, sum) in values.column_iter_mut().zip(&self.row) {
            if *sum != 0.0 {
                column.add_scalar_mut(*sum);
            }
        }
        Signal::new(values, self.exponent)
    }
}

/// Z of a layer, block by block.
struct Forward {
    rows: Rows,
    /// Rᵀ, r × B; of an orthogonal layer (ξᵀξ)^(−½)·Rᵀ, which makes a frame of ξ.
    root: DMatrix<f32>,
    /// F with ξ·F orthonormal, of an orthogonal layer.
    frame: Option<DMatrix<f64>>,
    /// Mean and spread of W, as factors of what its products are drawn from.
    law: (Wide, Wide),
    /// Law of what a unit's bias adds to the mean, and its factor.
    bias: Option<(Standard, f32)>,
    /// Of the draws: the layer's units, or all rows of the square matrix that it is a block of.
    draws: Blocks,
    key: Key,
}

impl Forward {
    /// `frame` is of an orthogonal layer.
    fn new(layer: &LayerPlan, h: &Batch, frame: Option<Frame>, draws: Blocks, key: Key) -> Self {
        let law = match (&frame, layer.weights) {
            (Some(frame), _) if layer.rescaled => (Wide::ZERO, frame.unit_gain(h, layer.fan_out)),
            (Some(_), Law::Haar { gain }) => (Wide::ZERO, gain.into()),
            _ => {
                let (mean, std) = gaussian(layer.weights, layer.fan_in, layer.fan_out);
                (mean.into(), std.into())
            }
        };
        let bias = Affine::of(layer.bias).unwrap_or(Affine::ZERO);
        let rows = Rows::new(law, h.exponent, &h.plain, h.norm(), (bias.mean, bias.scale));
        let frame = frame.map(|frame| frame.whitener);
        let root = h.factor.root.transpose();
        let root = frame.as_ref().map_or_else(|| root.clone(), |frame| frame * &root).map(|v| v as f32);
        // A law without spread needs no draws.
        let root = if law.1.is_zero() { root.resize_vertically(0, 0.0) } else { root };
        let spread = Wide::new(1.0, -rows.exponent) * bias.scale.into();
        let bias = bias.standard.map(|standard| (standard, spread.to_f64() as f32));
        Self { rows, root, frame, law, bias, draws, key }
    }

    /// ξ and Z of a block.
    fn block(&self, block: u64, height: usize) -> (DMatrix<f32>, Signal<f32>) {
        let xi = normals(self.draws, block, height, self.root.nrows(), self.key, false);
        let mut z = mul(&xi, &self.root, self.rows.scale, Threads::One);
        if let Some((standard, scale)) = self.bias {
            let mut bias = vec![0.0f32; height];
            fill_from(&mut bias, standard, self.key, Role::Bias, part(block), Threads::One);
            for mut column in z.column_iter_mut() {
                column.iter_mut().zip(&bias).for_each(|(v, b)| *v += scale * b);
            }
        }
        (xi, self.rows.finish(z))
    }
}

/// The first `rows` rows of a block of draws. All of the block is drawn, whoever needs only a part of it.
fn normals(draws: Blocks, block: u64, rows: usize, columns: usize, key: Key, beside: bool) -> DMatrix<f32> {
    let height = draws.rows(block).len();
    let mut values = DMatrix::from_element(height, columns, 0.0);
    let part = Part::Units { beside, units: block, block: 0 };
    fill_from(values.as_mut_slice(), Standard::Normal, key, Role::Weights, part, Threads::One);
    if rows < height { values.rows(0, rows).into_owned() } else { values }
}

/// Sums over the rows of ξ, the draws of an orthogonal layer.
#[derive(Default)]
struct DrawSums {
    /// ξᵀξ over all rows of the square matrix.
    all: WideSum,
    /// Over the rows that are units of the layer.
    units: WideSum,
    /// 1ᵀξ over these.
    plain: WideSum,
}

impl Sums for DrawSums {
    fn merge(&mut self, other: Self) {
        self.all.merge(&other.all);
        self.units.merge(&other.units);
        self.plain.merge(&other.plain);
    }
}

/// What makes a uniform frame of the draws of an orthogonal layer.
struct Frame {
    whitener: DMatrix<f64>,
    sums: DrawSums,
}

impl Frame {
    /// The gain that gives the entries of Z = gain·ξ·F·Rᵀ unit variance (LSUV); one where they have none.
    fn unit_gain(&self, h: &Batch, units: usize) -> Wide {
        let rank = self.whitener.nrows();
        let map = &self.whitener * h.factor.root.transpose();
        let gram = DMatrix::from_column_slice(rank, rank, &self.sums.units.at(0));
        let plain = DMatrix::from_row_slice(1, rank, &self.sums.plain.at(0));
        let count = units as f64 * h.gram.nrows() as f64;
        let square = (map.transpose() * gram * &map).trace() / count;
        let mean = (plain * map).sum() / count;
        let variance = square - mean * mean;
        if variance > 0.0 { Wide::new(variance.sqrt().recip(), -h.exponent) } else { 1.0.into() }
    }
}

/// What the backward pass keeps of a layer.
struct Tape {
    forward: Forward,
    /// The layer's input.
    input: Batch,
}

/// Sums over the units of a layer on the way up.
#[derive(Default)]
struct Up {
    preactivation: Pool,
    activation: Pool,
    dead: usize,
    below: usize,
    ranges: Ranges,
    /// ZᵀZ.
    gram: WideSum,
    output: BatchSums,
}

impl Sums for Up {
    fn merge(&mut self, other: Self) {
        self.preactivation.merge(&other.preactivation);
        self.activation.merge(&other.activation);
        self.dead += other.dead;
        self.below += other.below;
        self.ranges.merge(&other.ranges);
        self.gram.merge(&other.gram);
        self.output.merge(other.output);
    }
}

/// Sums over the units of a layer on the way down.
#[derive(Default)]
struct Down {
    gradient: Pool,
    /// ξᵀD, r × B.
    cross: WideSum,
    output: BatchSums,
}

impl Sums for Down {
    fn merge(&mut self, other: Self) {
        self.gradient.merge(&other.gradient);
        self.cross.merge(&other.cross);
        self.output.merge(other.output);
    }
}

/// Sums over η.
#[derive(Default)]
struct Onto {
    /// Hᵀη, B × s, or Qᵀη, see [`Directions`].
    along: WideSum,
    /// ηᵀη, s × s, of an orthogonal layer.
    gram: WideSum,
}

impl Sums for Onto {
    fn merge(&mut self, other: Self) {
        self.along.merge(&other.along);
        self.gram.merge(&other.gram);
    }
}

/// Says whether to go on; called after each group of blocks.
type Step<'a> = &'a (dyn Fn() -> bool + Sync);

impl Stack<'_> {
    /// Forward and back; `None` when `step` says to stop.
    pub fn pass(&self, step: Step) -> Option<Vec<LayerRecord>> {
        let mut precise = false;
        let key = Key { layer: 0, ..self.key };
        let (_, mut h) = self.settled(&mut precise, |precise| {
            let blocks = self.blocks(self.layers[0].fan_in);
            blocks.sum(self.threads, step, |sums: &mut BatchSums, block, rows| {
                sums.add(&self.input.rows(rows, self.batch, key, part(block)).into(), precise);
            })
        })?;
        let mut tapes = Vec::with_capacity(self.layers.len());
        let mut records = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let frame = match layer.weights.is_orthogonal() {
                true => Some(self.frame(layer, h.factor.rank(), self.layer_key(index), step)?),
                false => None,
            };
            let draws = self.draws(layer.fan_out, layer);
            let forward = Forward::new(layer, &h, frame, draws, self.layer_key(index));
            let (up, output) =
                self.settled(&mut precise, |precise| self.up(layer, &forward, precise, step))?;
            records.push(self.record(layer, &up));
            tapes.push(Tape { forward, input: std::mem::replace(&mut h, output) });
        }
        self.back(&tapes, &mut records, step)?;
        Some(records)
    }

    /// Sums as `pass` finds them, once more in double precision where that is needed; then the layers above need it as a rule.
    fn settled<S: OverUnits>(
        &self,
        precise: &mut bool,
        pass: impl Fn(bool) -> Option<S>,
    ) -> Option<(S, Batch)> {
        let sums = pass(*precise)?;
        if let Some(batch) = Batch::new(sums.output(), self.batch, *precise) {
            return Some((sums, batch));
        }
        *precise = true;
        let sums = pass(true)?;
        Batch::new(sums.output(), self.batch, true).map(|batch| (sums, batch))
    }

    fn layer_key(&self, index: usize) -> Key {
        Key { layer: index as u64 + 1, ..self.key }
    }

    fn blocks(&self, rows: usize) -> Blocks {
        Blocks::new(rows, self.batch)
    }

    /// Blocks of draws for one side of a layer.
    fn draws(&self, units: usize, layer: &LayerPlan) -> Blocks {
        self.blocks(if layer.weights.is_orthogonal() { side(layer) } else { units })
    }

    /// All draws of an orthogonal layer.
    fn frame(&self, layer: &LayerPlan, rank: usize, key: Key, step: Step) -> Option<Frame> {
        let draws = self.draws(layer.fan_out, layer);
        let sums: DrawSums = draws.sum(self.threads, step, |sums: &mut DrawSums, block, rows| {
            let xi = normals(draws, block, rows.len(), rank, key, false);
            let products = gram(&xi, Threads::One);
            sums.all.add(products.as_slice(), 0);
            let units = layer.fan_out.saturating_sub(rows.start).min(rows.len());
            let xi = CachedSignal::from(Signal { values: xi.rows(0, units).into_owned(), exponent: 0 });
            if units == rows.len() {
                sums.units.add(products.as_slice(), 0);
            } else {
                sums.units.add(xi.gram(Threads::One).whole().as_slice(), 0);
            }
            if units > 0 {
                sums.plain.add(&xi.sums().plain, 0);
            }
        })?;
        let all = DMatrix::from_column_slice(rank, rank, &sums.all.at(0));
        Some(Frame { whitener: Factor::of_gram(&all, true)?.whitener, sums })
    }

    /// All units of a layer, forward.
    fn up(&self, layer: &LayerPlan, forward: &Forward, precise: bool, step: Step) -> Option<Up> {
        let at_zero = self.act.shape.at_zero;
        let threshold = Wide::from(self.act.shape.max_slope.map_or(0.0, |top| self.saturation * top));
        self.blocks(layer.fan_out).sum(self.threads, step, |up: &mut Up, block, rows| {
            let (_, z) = forward.block(block, rows.len());
            let Activated { psi, slope } = activate(self.act, &z);
            let (steepest, below) = record::slopes(&slope, threshold);
            up.below += below;
            up.dead += dead_units(self.act, &z, &steepest);
            up.ranges.add(&z, forward.rows.exponent);
            let (z, psi) = (CachedSignal::from(z), CachedSignal::from(psi));
            let count = z.signal.values.len() as f64;
            up.preactivation.add(count, &record::moments(&z, 0.0));
            up.activation.add(count, &record::moments(&psi, at_zero));
            up.gram.add(z.gram(Threads::One).whole().as_slice(), 2 * z.signal.exponent);
            let h = if at_zero == 0.0 { psi } else { activation(psi.signal, at_zero).into() };
            up.output.add(&h, precise);
        })
    }

    fn record(&self, layer: &LayerPlan, up: &Up) -> LayerRecord {
        let gram = DMatrix::from_column_slice(self.batch, self.batch, &up.gram.values);
        let entries = layer.fan_out as f64 * self.batch as f64;
        LayerRecord {
            position_correlation: None,
            below: record::Floors::default(),
            preactivation: up.preactivation.moments(),
            activation: up.activation.moments(),
            gradient: Moments::ZERO,
            weight_gradient: Moments::ZERO,
            dead_fraction: up.dead as f64 / layer.fan_out as f64,
            saturated_fraction: self.act.shape.max_slope.map(|_| up.below as f64 / entries),
            correlation: record::correlation_of_gram(&gram),
            effective_rank: if self.effective_rank { record::effective_rank_of_gram(gram) } else { None },
            unit_symmetry: up.ranges.unit_symmetry(),
        }
    }

    fn back(&self, tapes: &[Tape], records: &mut [LayerRecord], step: Step) -> Option<()> {
        let mut precise = false;
        let top = self.layers.len() - 1;
        let (mut down, mut gradient) =
            self.settled(&mut precise, |precise| self.top(&tapes[top].forward, precise, step))?;
        for index in (0..=top).rev() {
            let input = &tapes[index].input;
            let layer = &self.layers[index];
            records[index].gradient = down.gradient.moments();
            records[index].weight_gradient = record::product_moments(
                (layer.fan_in, layer.fan_out),
                input.gram.dot(&gradient.gram),
                input.plain.iter().zip(&gradient.plain).map(|(a, b)| a * b).sum(),
                input.exponent + gradient.exponent,
            );
            if index == 0 {
                break;
            }
            let below = &tapes[index - 1].forward;
            let map = self.map_back(layer, &tapes[index], &down, &gradient, below, step)?;
            (down, gradient) =
                self.settled(&mut precise, |precise| self.down(layer, &map, below, precise, step))?;
        }
        Some(())
    }

    /// D of the last layer.
    fn top(&self, forward: &Forward, precise: bool, step: Step) -> Option<Down> {
        let key = Key { layer: self.layers.len() as u64 + 1, ..self.key };
        let units = self.layers[self.layers.len() - 1].fan_out;
        self.blocks(units).sum(self.threads, step, |down: &mut Down, block, rows| {
            let (xi, z) = forward.block(block, rows.len());
            let (h, slope) = self.output(&z);
            let upstream = loss::gradient(self.loss, &h, units, (key, part(block)), Threads::One);
            down.add(&xi, upstream.hadamard(&slope), precise);
        })
    }

    /// The first pass over the units below a layer: what η has along Q.
    fn map_back<'t>(
        &self,
        layer: &LayerPlan,
        tape: &'t Tape,
        down: &Down,
        d: &Batch,
        below: &Forward,
        step: Step,
    ) -> Option<BackwardMap<'t>> {
        let law = tape.forward.law;
        let rows = Rows::new(law, d.exponent, &d.plain, d.norm(), (0.0, 0.0));
        let key = tape.forward.key;
        let directions = Directions { input: &tape.input };
        let draws = self.draws(layer.fan_in, layer);
        if law.1.is_zero() || d.factor.rank() == 0 {
            // Every unit the same.
            let (root, onto) = (DMatrix::zeros(0, self.batch), DMatrix::zeros(0, self.batch));
            return Some(BackwardMap { rows, root, onto, directions, draws, key });
        }
        // ξᵀD; of an orthogonal layer VᵀD, and S is of what D has beside V.
        let cross = DMatrix::from_column_slice(directions.rank(), self.batch, &down.cross.at(d.exponent));
        let (known, beside) = match &tape.forward.frame {
            None => (cross, None),
            Some(frame) => {
                let known = frame.transpose() * cross;
                let beside = Factor::beside(&d.gram, known.tr_mul(&known), d.precise);
                (known, Some(beside))
            }
        };
        let factor = beside.as_ref().unwrap_or(&d.factor);
        let (rank, orthogonal) = (factor.rank(), beside.is_some());
        let onto: Onto = draws.sum(self.threads, step, |onto: &mut Onto, block, rows| {
            let eta = normals(draws, block, rows.len(), rank, key, true);
            if orthogonal {
                onto.gram.add(gram(&eta, Threads::One).as_slice(), 0);
            }
            let units = layer.fan_in.saturating_sub(rows.start).min(rows.len());
            if units > 0 {
                let (_, z) = below.block(block, units);
                let (h, _) = self.output(&z);
                let products =
                    tr_mul(&directions.of(&h), &eta.rows(0, units).into_owned(), 1.0, Threads::One);
                onto.along.add(products.map(f64::from).as_slice(), directions.exponent(&h));
            }
        })?;
        // Qᵀη. The draws that answer are η, or the frame U that η beside Q is made into.
        let along = directions.coordinates(&onto.along, rank);
        let root = factor.root.transpose();
        let root = if orthogonal {
            let draws = DMatrix::from_column_slice(rank, rank, &onto.gram.at(0));
            Factor::of_gram(&(draws - along.tr_mul(&along)), true)?.whitener * root
        } else {
            root
        };
        let onto = directions.weights(known - along * &root).map(|v| v as f32);
        Some(BackwardMap { rows, root: root.map(|v| v as f32), onto, directions, draws, key })
    }

    /// The second pass: D of the layer below, and its sums.
    fn down(
        &self,
        layer: &LayerPlan,
        map: &BackwardMap<'_>,
        below: &Forward,
        precise: bool,
        step: Step,
    ) -> Option<Down> {
        self.blocks(layer.fan_in).sum(self.threads, step, |down: &mut Down, block, rows| {
            let (xi, z) = below.block(block, rows.len());
            let (h, slope) = self.output(&z);
            let upstream = map.block(block, &h);
            down.add(&xi, upstream.hadamard(&slope), precise);
        })
    }

    /// H = φ(Z) and φ′(Z).
    fn output(&self, z: &Signal<f32>) -> (Signal<f32>, Signal<f32>) {
        let Activated { psi, slope } = activate(self.act, z);
        let at_zero = self.act.shape.at_zero;
        (if at_zero == 0.0 { psi } else { activation(psi, at_zero) }, slope)
    }
}

impl Down {
    fn add(&mut self, xi: &DMatrix<f32>, d: Signal<f32>, precise: bool) {
        let d = CachedSignal::from(d);
        self.gradient.add(d.signal.values.len() as f64, &record::moments(&d, 0.0));
        let values = &d.signal.values;
        let cross = if precise {
            tr_mul(&widened(xi), &widened(values), 1.0, Threads::One)
        } else {
            tr_mul(xi, values, 1.0, Threads::One).map(f64::from)
        };
        self.cross.add(cross.as_slice(), d.signal.exponent);
        self.output.add(&d, precise);
    }
}

/// Q = H·F of a layer's input, orthonormal.
///
/// Where samples are nearly collinear F is so large that products with H in single precision are noise: then every block's
/// rows of Q are formed in double precision first.
#[derive(Clone, Copy)]
struct Directions<'a> {
    input: &'a Batch,
}

impl Directions<'_> {
    fn rank(self) -> usize {
        self.input.factor.rank()
    }

    /// What is multiplied in place of Q: H, or Q itself.
    fn of<'h>(self, h: &'h Signal<f32>) -> Cow<'h, DMatrix<f32>> {
        if !self.input.precise {
            return Cow::Borrowed(&h.values);
        }
        let unit = power(h.exponent - self.input.exponent);
        Cow::Owned(
            mul(&widened(&h.values), &self.input.factor.whitener, unit, Threads::One).map(|v| v as f32),
        )
    }

    /// Of the sums over a block.
    fn exponent(self, h: &Signal<f32>) -> i64 {
        if self.input.precise { 0 } else { h.exponent }
    }

    /// Qᵀη, r × s, from its sums.
    fn coordinates(self, along: &WideSum, rank: usize) -> DMatrix<f64> {
        let Batch { factor, exponent, precise, gram, .. } = self.input;
        if *precise {
            return DMatrix::from_column_slice(factor.rank(), rank, &along.at(0));
        }
        let products = DMatrix::from_column_slice(gram.nrows(), rank, &along.at(*exponent));
        factor.whitener.tr_mul(&products)
    }

    /// What C (r × B) is to be multiplied with for Q·C.
    fn weights(self, c: DMatrix<f64>) -> DMatrix<f64> {
        if self.input.precise { c } else { &self.input.factor.whitener * c }
    }

    /// Adds `scale`·Q·C to a block, for H in its units and the weights of C.
    fn add(self, values: &mut DMatrix<f32>, h: &Signal<f32>, weights: &DMatrix<f32>, scale: f32) {
        // A block of zeros has no scale of its own.
        if weights.is_empty() || h.is_zero() {
            return;
        }
        let unit = if self.input.precise { 1.0 } else { power(h.exponent - self.input.exponent) as f32 };
        add_mul(values, &self.of(h), weights, scale * unit, Threads::One);
    }
}

/// WᵀD, block by block.
struct BackwardMap<'a> {
    rows: Rows,
    /// Sᵀ, s × B.
    root: DMatrix<f32>,
    /// The weights of ξᵀD − Qᵀη·Sᵀ.
    onto: DMatrix<f32>,
    directions: Directions<'a>,
    draws: Blocks,
    key: Key,
}

impl BackwardMap<'_> {
    fn block(&self, block: u64, h: &Signal<f32>) -> Signal<f32> {
        let eta = normals(self.draws, block, h.values.nrows(), self.root.nrows(), self.key, true);
        let mut values = mul(&eta, &self.root, self.rows.scale, Threads::One);
        self.directions.add(&mut values, h, &self.onto, self.rows.scale);
        self.rows.finish(values)
    }
}
