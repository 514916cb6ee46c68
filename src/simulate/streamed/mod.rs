//! One trial of a plain stack whose layers are never held: units pass in blocks, and only sums over them stay.
//!
//! Forward, a block of layer l draws its rows of ξ, forms its rows of Z = ξRᵀ with RRᵀ = HᵀH, and adds to the Gram matrix of
//! its own activations. Back, the map of layer l draws WᵀD = Q(ξᵀD) + (η − Q·Qᵀη)·Sᵀ with SSᵀ = DᵀD and Q = H·F in two passes
//! over the units of layer l − 1, which draw their ξ again: the first finds Qᵀη, the second D and its sums (the law is that of
//! [`crate::operator::LazyGaussian`]). Five normals a unit and sample, memory O(B²·depth) whatever the width.

mod accumulate;
mod blocks;

use super::input::Input;
use super::plan::LayerPlan;
use crate::activation::Activation;
use crate::draw::{Affine, Standard, fill_from};
use crate::layer::activate::{Activated, activate, activation, dead_units};
use crate::layer::loss;
use crate::measure::record::{self, LayerRecord, Moments};
use crate::observed::Observed;
use crate::operator::{Factor, gaussian};
use crate::product::{Threads, gram, mul, tr_mul};
use crate::signal::Signal;
use crate::spec::Loss;
use crate::stream::{Key, Role};
use crate::wide::Wide;
use accumulate::{Pool, Ranges, WideSum};
use blocks::{Blocks, Sums};
use nalgebra::DMatrix;

/// A plain stack of layers with independent entries; its weights are named by a key.
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
}

/// Calls of `step` in a trial, but for passes that are done again in double precision.
pub fn steps(layers: &[LayerPlan], batch: usize) -> u64 {
    let groups = |rows: usize| Blocks::new(rows, batch).groups() as u64;
    let forward = groups(layers[0].fan_in) + layers.iter().map(|l| groups(l.fan_out)).sum::<u64>();
    let back: u64 = layers.iter().skip(1).map(|l| 2 * groups(l.fan_in)).sum();
    forward + back + layers.last().map_or(0, |l| groups(l.fan_out))
}

/// A number that names the draws of a block; blocks of very wide batches take several parts of a stream.
fn part(block: u64) -> u64 {
    block << 8
}

/// The draws of η lie apart from those of ξ.
const ETA: u64 = 1 << 48;

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

impl BatchSums {
    fn add(&mut self, h: &Observed<f32>, precise: bool) {
        let values = &h.signal.values;
        let products =
            if precise { gram(&values.map(f64::from), Threads::One) } else { gram(values, Threads::One) };
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
}

impl Batch {
    /// `None` where samples are so nearly collinear that the Gram matrix must be summed in double precision.
    fn new(sums: &BatchSums, batch: usize, precise: bool) -> Option<Self> {
        let exponent = sums.gram.exponent / 2;
        let gram = DMatrix::from_column_slice(batch, batch, &sums.gram.values);
        let factor = Factor::of_gram(&gram, precise)?;
        Some(Self { exponent, gram, plain: sums.plain.at(exponent), factor })
    }

    /// The largest norm of a column.
    fn norm(&self) -> Wide {
        let square = self.gram.diagonal().max();
        Wide::new(square.max(0.0).sqrt(), self.exponent)
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
    fn new(law: (f64, f64), exponent: i64, plain: &[f64], norm: Wide, added: (f64, f64)) -> Self {
        let (mean, std) = (Wide::from(law.0), Wide::from(law.1));
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
    /// Rᵀ, r × B.
    root: DMatrix<f32>,
    /// Law of what a unit's bias adds to the mean, and its factor.
    bias: Option<(Standard, f32)>,
    key: Key,
}

impl Forward {
    fn new(layer: &LayerPlan, h: &Batch, key: Key) -> Self {
        let law = gaussian(layer.weights, layer.fan_in, layer.fan_out);
        let bias = Affine::of(layer.bias).unwrap_or(Affine { standard: None, scale: 0.0, mean: 0.0 });
        let rows = Rows::new(law, h.exponent, &h.plain, h.norm(), (bias.mean, bias.scale));
        let root = h.factor.root.map(|v| v as f32).transpose();
        // A law without spread needs no draws.
        let root = if law.1 == 0.0 { root.resize_vertically(0, 0.0) } else { root };
        let spread = Wide::new(1.0, -rows.exponent) * bias.scale.into();
        let bias = bias.standard.map(|standard| (standard, spread.to_f64() as f32));
        Self { rows, root, bias, key }
    }

    /// ξ and Z of a block.
    fn block(&self, block: u64, height: usize) -> (DMatrix<f32>, Signal<f32>) {
        let xi = normals(height, self.root.nrows(), self.key, part(block));
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

fn normals(rows: usize, columns: usize, key: Key, first: u64) -> DMatrix<f32> {
    let mut values = DMatrix::from_element(rows, columns, 0.0);
    fill_from(values.as_mut_slice(), Standard::Normal, key, Role::Weights, first, Threads::One);
    values
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

/// Hᵀη, B × s.
#[derive(Default)]
struct Onto(WideSum);

impl Sums for Onto {
    fn merge(&mut self, other: Self) {
        self.0.merge(&other.0);
    }
}

const EMPTY: Moments = Moments { mean: Wide::ZERO, variance: Wide::ZERO, second_moment: Wide::ZERO };

/// Says whether to go on; called after each group of blocks.
type Step<'a> = &'a (dyn Fn() -> bool + Sync);

impl Stack<'_> {
    /// Forward and back; `None` when `step` says to stop.
    pub fn pass(&self, step: Step) -> Option<Vec<LayerRecord>> {
        let mut precise = false;
        let mut h = self.settled(&mut precise, &mut |precise| {
            let sums = self.blocks(self.layers[0].fan_in).sum(
                self.threads,
                step,
                |sums: &mut BatchSums, block, rows| {
                    let x = self.input.rows(rows, self.batch, Key { layer: 0, ..self.key }, part(block));
                    sums.add(&x.into(), precise);
                },
            )?;
            Some(((), sums))
        })?;
        let mut tapes = Vec::with_capacity(self.layers.len());
        let mut records = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let forward = Forward::new(layer, &h.1, self.layer_key(index));
            let out = self.settled(&mut precise, &mut |precise| {
                let mut up = self.up(layer, &forward, precise, step)?;
                let output = std::mem::take(&mut up.output);
                Some((up, output))
            })?;
            records.push(self.record(layer, &out.0, &forward));
            tapes.push(Tape { forward, input: h.1 });
            h = ((), out.1);
        }
        self.back(&tapes, &mut records, step)?;
        Some(records)
    }

    /// Sums as `pass` finds them, once more in double precision where that is needed; then the layers above need it as a rule.
    fn settled<A>(
        &self,
        precise: &mut bool,
        pass: &mut dyn FnMut(bool) -> Option<(A, BatchSums)>,
    ) -> Option<(A, Batch)> {
        let (found, sums) = pass(*precise)?;
        if let Some(batch) = Batch::new(&sums, self.batch, *precise) {
            return Some((found, batch));
        }
        *precise = true;
        let (found, sums) = pass(true)?;
        Batch::new(&sums, self.batch, true).map(|batch| (found, batch))
    }

    fn layer_key(&self, index: usize) -> Key {
        Key { layer: index as u64 + 1, ..self.key }
    }

    fn blocks(&self, rows: usize) -> Blocks {
        Blocks::new(rows, self.batch)
    }

    /// All units of a layer, forward.
    fn up(&self, layer: &LayerPlan, forward: &Forward, precise: bool, step: Step) -> Option<Up> {
        let at_zero = self.act.shape.at_zero;
        let threshold = Wide::from(self.act.shape.max_slope.map_or(0.0, |top| super::trial::SATURATED * top));
        self.blocks(layer.fan_out).sum(self.threads, step, |up: &mut Up, block, rows| {
            let (_, z) = forward.block(block, rows.len());
            let Activated { psi, slope } = activate(self.act, &z);
            let (steepest, below) = record::slopes(&slope, threshold);
            up.below += below;
            up.dead += dead_units(self.act, &z, &steepest);
            up.ranges.add(&z, forward.rows.exponent);
            let (z, psi) = (Observed::from(z), Observed::from(psi));
            let count = z.signal.values.len() as f64;
            up.preactivation.add(count, &record::moments(&z, 0.0));
            up.activation.add(count, &record::moments(&psi, at_zero));
            up.gram.add(z.gram(Threads::One).as_slice(), 2 * z.signal.exponent);
            let h = if at_zero == 0.0 { psi } else { activation(psi.signal, at_zero).into() };
            up.output.add(&h, precise);
        })
    }

    fn record(&self, layer: &LayerPlan, up: &Up, forward: &Forward) -> LayerRecord {
        let gram = DMatrix::from_column_slice(self.batch, self.batch, &up.gram.values);
        let entries = layer.fan_out as f64 * self.batch as f64;
        let spread = !forward.root.is_empty() || forward.bias.is_some();
        LayerRecord {
            preactivation: up.preactivation.moments(),
            activation: up.activation.moments(),
            gradient: EMPTY,
            weight_gradient: EMPTY,
            dead_fraction: up.dead as f64 / layer.fan_out as f64,
            saturated_fraction: self.act.shape.max_slope.map(|_| up.below as f64 / entries),
            correlation: record::correlation_of_gram(&gram),
            effective_rank: if self.effective_rank { record::effective_rank_of_gram(gram) } else { None },
            unit_symmetry: if spread {
                up.ranges.unit_symmetry()
            } else {
                up.ranges.unit_symmetry().map(|_| 0.0)
            },
        }
    }

    fn back(&self, tapes: &[Tape], records: &mut [LayerRecord], step: Step) -> Option<()> {
        let mut precise = false;
        let top = self.layers.len() - 1;
        let mut d = self.settled(&mut precise, &mut |precise| {
            let mut down = self.top(&tapes[top].forward, precise, step)?;
            let output = std::mem::take(&mut down.output);
            Some((down, output))
        })?;
        for index in (0..=top).rev() {
            let (down, gradient) = &d;
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
            let map = self.map_back(layer, &tapes[index], down, gradient, &tapes[index - 1].forward, step)?;
            d = self.settled(&mut precise, &mut |precise| {
                let mut down = self.down(layer, &map, &tapes[index - 1].forward, precise, step)?;
                let output = std::mem::take(&mut down.output);
                Some((down, output))
            })?;
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
            let upstream = loss::gradient(self.loss, &h, key, part(block));
            down.add(&xi, upstream.hadamard(&slope), precise);
        })
    }

    /// The first pass over the units below a layer: what η has along Q.
    fn map_back(
        &self,
        layer: &LayerPlan,
        tape: &Tape,
        down: &Down,
        d: &Batch,
        below: &Forward,
        step: Step,
    ) -> Option<Back> {
        let law = gaussian(layer.weights, layer.fan_in, layer.fan_out);
        let rows = Rows::new(law, d.exponent, &d.plain, d.norm(), (0.0, 0.0));
        let rank = if law.1 == 0.0 { 0 } else { d.factor.rank() };
        let root = d.factor.root.columns(0, rank).map(|v| v as f32).transpose();
        let key = tape.forward.key;
        if rank == 0 {
            let onto = DMatrix::zeros(self.batch, self.batch);
            return Some(Back { rows, root, onto, exponent: tape.input.exponent, key });
        }
        let onto: Onto =
            self.blocks(layer.fan_in).sum(self.threads, step, |onto: &mut Onto, block, rows| {
                let (_, z) = below.block(block, rows.len());
                let (h, _) = self.output(&z);
                let eta = normals(rows.len(), rank, key, ETA + part(block));
                let products = tr_mul(&h.values, &eta, 1.0, Threads::One).map(f64::from);
                onto.0.add(products.as_slice(), h.exponent);
            })?;
        // ξᵀD − QᵀηSᵀ with Qᵀη = Fᵀ·Hᵀη, and F in front for Q = H·F.
        let whitener = &tape.input.factor.whitener;
        let h_eta = DMatrix::from_column_slice(self.batch, rank, &onto.0.at(tape.input.exponent));
        let cross = DMatrix::from_column_slice(whitener.ncols(), self.batch, &down.cross.at(d.exponent));
        let onto = whitener * (cross - whitener.transpose() * h_eta * d.factor.root.transpose());
        Some(Back { rows, root, onto: onto.map(|v| v as f32), exponent: tape.input.exponent, key })
    }

    /// The second pass: D of the layer below, and its sums.
    fn down(
        &self,
        layer: &LayerPlan,
        map: &Back,
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
        let d = Observed::from(d);
        self.gradient.add(d.signal.values.len() as f64, &record::moments(&d, 0.0));
        let cross = tr_mul(xi, &d.signal.values, 1.0, Threads::One).map(f64::from);
        self.cross.add(cross.as_slice(), d.signal.exponent);
        self.output.add(&d, precise);
    }
}

/// WᵀD, block by block.
struct Back {
    rows: Rows,
    /// Sᵀ, s × B.
    root: DMatrix<f32>,
    /// F(ξᵀD − Qᵀη·Sᵀ), B × B, for H in units of 2^exponent.
    onto: DMatrix<f32>,
    exponent: i64,
    key: Key,
}

impl Back {
    fn block(&self, block: u64, h: &Signal<f32>) -> Signal<f32> {
        let height = h.values.nrows();
        let eta = normals(height, self.root.nrows(), self.key, ETA + part(block));
        let mut values = mul(&eta, &self.root, self.rows.scale, Threads::One);
        if !self.root.is_empty() {
            let unit = libm::scalbn(1.0, (h.exponent - self.exponent).clamp(-2000, 2000) as i32) as f32;
            values += mul(&h.values, &self.onto, self.rows.scale * unit, Threads::One);
        }
        self.rows.finish(values)
    }
}
