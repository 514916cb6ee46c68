//! Convolutions with kernels of 3×3 taps by Winograd's algorithm F(2×2, 3×3) (Lavin & Gray 2016, § 4.1): four outputs from sixteen
//! products in place of thirty-six, forward, backward and for the weights' gradient.
//!
//! Inputs and outputs are added and subtracted before and behind the products, and weights halved: of all such algorithms this one
//! has the smallest numbers, and loses less than a digit.

use super::window::Window;
use crate::numeric::product::{Threads, View, product_to};
use crate::numeric::real::Real;
use crate::numeric::slice::for_each_machine;
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Places of a transformed tile, each of which has a product of its own.
const PLACES: usize = 16;
/// Tiles of a block, whose transformed entries lie in memory at once.
const BLOCK: usize = 128;
/// Runs of blocks for each thread, so that none waits long for the last.
const RUNS: usize = 4;
/// Fewer channels on a side are left to other algorithms: additions would take longer than the products that they spare.
const LEAST: usize = 32;
/// Fewer tiles are left to them too, for the weights are transformed once for all.
const FEWEST: usize = 32;
/// Channels that a transformation holds in registers.
const LANES: usize = 8;

/// Images and the tiles of 2×2 outputs over them.
#[derive(Clone, Copy, Debug)]
pub struct Tiling {
    /// Height and width of what is read.
    from: [usize; 2],
    /// Height and width of the outputs.
    to: [usize; 2],
    padding: [isize; 2],
    images: usize,
}

impl Tiling {
    /// Over the windows of a batch where the algorithm fits them and pays.
    pub fn new(window: &Window, (channels, units): (usize, usize), batch: usize) -> Option<Self> {
        let fits = window.kernel == [1, 3, 3]
            && window.stride == [1; 3]
            && window.dilation == [1; 3]
            && window.padding[0] == 0
            && channels.min(units) >= LEAST;
        let last = |sides: [usize; 3]| [sides[1], sides[2]];
        let tiling = Self {
            from: last(window.input),
            to: last(window.output),
            padding: [window.padding[1], window.padding[2]],
            images: batch * window.input[0],
        };
        (fits && tiling.tiles() >= FEWEST).then_some(tiling)
    }

    fn tiles(&self) -> usize {
        self.tiles_of_image() * self.images
    }

    /// From outputs back to what is read: a convolution with the kernel turned by half a turn.
    pub fn turned(&self) -> Self {
        Self { from: self.to, to: self.from, padding: self.padding.map(|padding| 2 - padding), ..*self }
    }

    fn tiles_of_image(&self) -> usize {
        self.to[0].div_ceil(2) * self.to[1].div_ceil(2)
    }

    /// Blocks of tiles of about one size.
    fn blocks(&self) -> Vec<Range<usize>> {
        let count = self.tiles();
        let size = count.div_ceil(count.div_ceil(BLOCK).max(1)).max(1);
        (0..count).step_by(size).map(|from| from..(from + size).min(count)).collect()
    }

    /// Image, and top and left of a tile's outputs.
    fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let (image, tile) = (tile / self.tiles_of_image(), tile % self.tiles_of_image());
        let across = self.to[1].div_ceil(2);
        (image, [tile / across * 2, tile % across * 2])
    }

    /// Positions of what a tile's outputs are made of, `None` outside of the image.
    fn read(&self, tile: usize) -> [[Option<usize>; 4]; 4] {
        let (image, start) = self.place(tile);
        let at = |axis: usize, step: usize| {
            let place = (start[axis] + step) as isize - self.padding[axis];
            (0..self.from[axis] as isize).contains(&place).then_some(place as usize)
        };
        std::array::from_fn(|i| {
            std::array::from_fn(|j| Some((image * self.from[0] + at(0, i)?) * self.from[1] + at(1, j)?))
        })
    }

    /// Positions of a tile's outputs, likewise.
    fn written(&self, tile: usize) -> [[Option<usize>; 2]; 2] {
        let (image, start) = self.place(tile);
        let at = |axis: usize, step: usize| {
            let place = start[axis] + step;
            (place < self.to[axis]).then_some(place)
        };
        std::array::from_fn(|i| {
            std::array::from_fn(|j| Some((image * self.to[0] + at(0, i)?) * self.to[1] + at(1, j)?))
        })
    }
}

/// Entries of some channels.
type Lanes<T, const N: usize> = [T; N];

#[inline(always)]
fn plus<T: Real, const N: usize>(mut a: Lanes<T, N>, b: &Lanes<T, N>) -> Lanes<T, N> {
    for i in 0..N {
        a[i] += b[i];
    }
    a
}

#[inline(always)]
fn minus<T: Real, const N: usize>(mut a: Lanes<T, N>, b: &Lanes<T, N>) -> Lanes<T, N> {
    for i in 0..N {
        a[i] -= b[i];
    }
    a
}

#[inline(always)]
fn half<T: Real, const N: usize>(mut a: Lanes<T, N>) -> Lanes<T, N> {
    for v in &mut a {
        *v *= T::of(0.5);
    }
    a
}

/// Bᵀ of four inputs.
#[inline(always)]
fn inputs<T: Real, const N: usize>([a, b, c, d]: [Lanes<T, N>; 4]) -> [Lanes<T, N>; 4] {
    [minus(a, &c), plus(b, &c), minus(c, &b), minus(b, &d)]
}

/// G of three taps.
#[inline(always)]
fn taps<T: Real, const N: usize>([a, b, c]: [Lanes<T, N>; 3]) -> [Lanes<T, N>; 4] {
    let ends = plus(a, &c);
    [a, half(plus(ends, &b)), half(minus(ends, &b)), c]
}

/// Aᵀ of four products.
#[inline(always)]
fn outputs<T: Real, const N: usize>([a, b, c, d]: [Lanes<T, N>; 4]) -> [Lanes<T, N>; 2] {
    [plus(plus(a, &b), &c), minus(minus(b, &c), &d)]
}

/// A of two outputs' gradients.
#[inline(always)]
fn gradients<T: Real, const N: usize>([a, b]: [Lanes<T, N>; 2]) -> [Lanes<T, N>; 4] {
    [a, plus(a, &b), minus(a, &b), minus([T::ZERO; N], &b)]
}

/// Gᵀ of four sums of products.
#[inline(always)]
fn tap_gradients<T: Real, const N: usize>([a, b, c, d]: [Lanes<T, N>; 4]) -> [Lanes<T, N>; 3] {
    let sum = half(plus(b, &c));
    [plus(a, &sum), half(minus(b, &c)), plus(d, &sum)]
}

/// A transformation of the rows of a tile, and of the columns of what comes of it. Loops, for closures would not be compiled for
/// each machine.
#[inline(always)]
fn both<T: Real, const N: usize, const A: usize, const B: usize>(
    tile: [[Lanes<T, N>; A]; A],
    of: impl Fn([Lanes<T, N>; A]) -> [Lanes<T, N>; B],
) -> [[Lanes<T, N>; B]; B] {
    let mut rows = [[[T::ZERO; N]; B]; A];
    for i in 0..A {
        rows[i] = of(tile[i]);
    }
    let mut found = [[[T::ZERO; N]; B]; B];
    for j in 0..B {
        let mut column = [[T::ZERO; N]; A];
        for i in 0..A {
            column[i] = rows[i][j];
        }
        let column = of(column);
        for i in 0..B {
            found[i][j] = column[i];
        }
    }
    found
}

#[inline(always)]
fn lanes<T: Real, const N: usize>(values: &[T], from: usize) -> Lanes<T, N> {
    let mut found = [T::ZERO; N];
    found.copy_from_slice(&values[from..from + N]);
    found
}

/// Writes sixteen places of a transformed tile, `step` entries apart.
#[inline(always)]
fn spread<T: Real, const N: usize>(to: &mut [T], step: usize, from: usize, tile: &[[Lanes<T, N>; 4]; 4]) {
    for (place, values) in tile.as_flattened().iter().enumerate() {
        to[place * step + from..][..N].copy_from_slice(values);
    }
}

/// Reads them.
#[inline(always)]
fn gathered<T: Real, const N: usize>(of: &[T], step: usize, from: usize) -> [[Lanes<T, N>; 4]; 4] {
    let mut found = [[[T::ZERO; N]; 4]; 4];
    for (place, values) in found.as_flattened_mut().iter_mut().enumerate() {
        *values = lanes(of, place * step + from);
    }
    found
}

/// Entries of channels from `channel` on at some positions, zeros outside of the image.
#[inline(always)]
fn patch<T: Real, const N: usize, const SIDE: usize>(
    x: &[T],
    positions: &[[Option<usize>; SIDE]; SIDE],
    channels: usize,
    channel: usize,
) -> [[Lanes<T, N>; SIDE]; SIDE] {
    let mut found = [[[T::ZERO; N]; SIDE]; SIDE];
    for i in 0..SIDE {
        for j in 0..SIDE {
            if let Some(position) = positions[i][j] {
                found[i][j] = lanes(x, position * channels + channel);
            }
        }
    }
    found
}

for_each_machine! {
    /// Transformed inputs of one tile after another, places × (channels × tiles).
    fn transform_inputs<T: Real>(to: &mut [T], x: &[T], tiling: &Tiling, tiles: Range<usize>, channels: usize) {
        let step = tiles.len() * channels;
        for (index, tile) in tiles.enumerate() {
            let positions = tiling.read(tile);
            let mut channel = 0;
            while channel + LANES <= channels {
                let tile = both(patch::<T, LANES, 4>(x, &positions, channels, channel), inputs);
                spread(to, step, index * channels + channel, &tile);
                channel += LANES;
            }
            while channel < channels {
                let tile = both(patch::<T, 1, 4>(x, &positions, channels, channel), inputs);
                spread(to, step, index * channels + channel, &tile);
                channel += 1;
            }
        }
    }
}

for_each_machine! {
    /// The same of gradients of outputs.
    fn transform_gradients<T: Real>(to: &mut [T], d: &[T], tiling: &Tiling, tiles: Range<usize>, units: usize) {
        let step = tiles.len() * units;
        for (index, tile) in tiles.enumerate() {
            let positions = tiling.written(tile);
            let mut unit = 0;
            while unit + LANES <= units {
                let tile = both(patch::<T, LANES, 2>(d, &positions, units, unit), gradients);
                spread(to, step, index * units + unit, &tile);
                unit += LANES;
            }
            while unit < units {
                let tile = both(patch::<T, 1, 2>(d, &positions, units, unit), gradients);
                spread(to, step, index * units + unit, &tile);
                unit += 1;
            }
        }
    }
}

/// An array whose parts several threads write, each those of its own tiles.
#[derive(Clone, Copy)]
struct Target<T>(*mut T);

// SAFETY: it is written through [`Target::write`] alone, at positions that belong to one tile each.
unsafe impl<T: Send> Send for Target<T> {}
// SAFETY: likewise.
unsafe impl<T: Send> Sync for Target<T> {}

impl<T: Real> Target<T> {
    /// # Safety
    /// The array must have N entries from `at` on, and nobody else may read or write them meanwhile.
    #[inline(always)]
    unsafe fn write<const N: usize>(self, at: usize, values: &Lanes<T, N>) {
        // SAFETY: by the caller's promise.
        unsafe { self.0.add(at).cast::<Lanes<T, N>>().write_unaligned(*values) }
    }
}

for_each_machine! {
    /// Outputs of some tiles from their products.
    ///
    /// # Safety
    /// `z` must hold `units` entries for each output, of which nobody else may use those of these tiles meanwhile.
    unsafe fn transform_products<T: Real>(
        z: Target<T>,
        products: &[T],
        tiling: &Tiling,
        tiles: Range<usize>,
        units: usize,
    ) {
        let step = tiles.len() * units;
        for (index, tile) in tiles.enumerate() {
            let positions = tiling.written(tile);
            let mut unit = 0;
            while unit < units {
                let from = index * units + unit;
                if unit + LANES <= units {
                    let tile = both(gathered::<T, LANES>(products, step, from), outputs);
                    for (position, values) in positions.as_flattened().iter().zip(tile.as_flattened()) {
                        if let Some(position) = position {
                            // SAFETY: by the caller's promise: the output is one of this tile's.
                            unsafe { z.write(position * units + unit, values) };
                        }
                    }
                    unit += LANES;
                } else {
                    let tile = both(gathered::<T, 1>(products, step, from), outputs);
                    for (position, values) in positions.as_flattened().iter().zip(tile.as_flattened()) {
                        if let Some(position) = position {
                            // SAFETY: likewise.
                            unsafe { z.write(position * units + unit, values) };
                        }
                    }
                    unit += 1;
                }
            }
        }
    }
}

/// Weights of one convolution: W of `rows` outputs, `columns` inputs and nine taps, in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, T> {
    /// All of them.
    pub values: &'a [T],
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Entries from one output to the next, from one input to the next, and from one tap to the next.
    pub strides: [usize; 3],
    /// The kernel is turned by half a turn.
    pub turned: bool,
    /// What all are multiplied by.
    pub scale: T,
}

/// Transformed weights, places × (rows × columns).
fn transformed<T: Real>(weights: &Weights<T>, threads: Threads) -> Vec<T> {
    let Weights { rows, columns, .. } = *weights;
    let mut to = vec![T::ZERO; PLACES * rows * columns];
    let target = Target(to.as_mut_ptr());
    let fill = |first: usize| {
        // SAFETY: every column of every place has `rows` entries, and each call writes LANES of them or those that are left.
        unsafe { transform_weights(target, weights, first..(first + LANES).min(rows)) };
    };
    match threads {
        Threads::One => (0..rows).step_by(LANES).for_each(fill),
        Threads::All => (0..rows.div_ceil(LANES)).into_par_iter().for_each(|block| fill(block * LANES)),
    }
    to
}

for_each_machine! {
    /// Those of at most LANES outputs.
    ///
    /// # Safety
    /// `to` must have rows × columns entries for each place, and nobody else may use those of these outputs meanwhile.
    unsafe fn transform_weights<T: Real>(to: Target<T>, weights: &Weights<T>, outputs: Range<usize>) {
        let Weights { values, rows, columns, strides: [by_row, by_column, by_tap], turned, scale } = *weights;
        for column in 0..columns {
            let mut kernel = [[[T::ZERO; LANES]; 3]; 3];
            for (tap, lanes) in kernel.as_flattened_mut().iter_mut().enumerate() {
                let tap = if turned { 8 - tap } else { tap };
                let from = column * by_column + tap * by_tap;
                for (lane, row) in lanes.iter_mut().zip(outputs.clone()) {
                    *lane = scale * values[from + row * by_row];
                }
            }
            let tile: [[Lanes<T, LANES>; 4]; 4] = both(kernel, taps);
            for (place, lanes) in tile.as_flattened().iter().enumerate() {
                let at = (place * columns + column) * rows + outputs.start;
                if outputs.len() == LANES {
                    // SAFETY: by the caller's promise.
                    unsafe { to.write(at, lanes) };
                } else {
                    for (i, value) in lanes.iter().enumerate().take(outputs.len()) {
                        // SAFETY: likewise.
                        unsafe { to.write(at + i, &[*value]) };
                    }
                }
            }
        }
    }
}

/// W∗x: rows × outputs, of x with as many channels as the weights have columns.
pub fn convolved<T: Real>(x: &[T], weights: &Weights<T>, tiling: &Tiling, threads: Threads) -> DMatrix<T> {
    let (rows, columns) = (weights.rows, weights.columns);
    let kernel = transformed(weights, threads);
    let count = tiling.images * tiling.to[0] * tiling.to[1];
    assert_eq!(x.len(), tiling.images * tiling.from[0] * tiling.from[1] * columns, "entries of all images");
    let mut z = DMatrix::<MaybeUninit<T>>::uninit(nalgebra::Dyn(rows), nalgebra::Dyn(count));
    let target = Target(z.as_mut_ptr().cast::<T>());
    let blocks = tiling.blocks();
    let side_by_side = threads == Threads::All && blocks.len() >= rayon::current_num_threads();
    let block = |(inputs, products): &mut (Vec<T>, Vec<T>), tiles: Range<usize>| {
        let (size, made) = (tiles.len() * columns, tiles.len() * rows);
        inputs.resize(PLACES * size, T::ZERO);
        products.resize(PLACES * made, T::ZERO);
        transform_inputs(inputs, x, tiling, tiles.clone(), columns);
        let product = |(place, to): (usize, &mut [T])| {
            let kernel = View::of(&kernel[place * rows * columns..], rows, columns, rows);
            let input = View::of(&inputs[place * size..], columns, tiles.len(), columns);
            product_to(to, rows, &kernel, &input, T::ONE, false, Threads::One);
        };
        match side_by_side || threads == Threads::One {
            true => products.chunks_exact_mut(made).enumerate().for_each(product),
            false => products.par_chunks_exact_mut(made).enumerate().for_each(product),
        }
        // SAFETY: the matrix has `rows` entries for each output, and no two blocks have a tile in common.
        unsafe { transform_products(target, products, tiling, tiles, rows) };
    };
    let room = || (Vec::new(), Vec::new());
    let run = |blocks: &[Range<usize>]| {
        let mut room = room();
        blocks.iter().for_each(|tiles| block(&mut room, tiles.clone()));
    };
    // Memory is made and cleared once for several blocks.
    match side_by_side {
        true => blocks.par_chunks(blocks.len().div_ceil(RUNS * rayon::current_num_threads())).for_each(run),
        false => run(&blocks),
    }
    // SAFETY: the tiles have written all outputs.
    unsafe { z.assume_init() }
}

/// Σ and Σ² of the entries of ∂C/∂W, of x with so many channels and gradients of so many units.
pub fn weight_gradient<T: Real>(
    (x, channels): (&[T], usize),
    (d, units): (&[T], usize),
    tiling: &Tiling,
    threads: Threads,
) -> (f64, f64) {
    let each = units * channels;
    let mut sums = vec![T::ZERO; PLACES * each];
    let (mut inputs, mut gradients) = (Vec::new(), Vec::new());
    for (index, tiles) in tiling.blocks().into_iter().enumerate() {
        let (of_x, of_d) = (tiles.len() * channels, tiles.len() * units);
        inputs.resize(PLACES * of_x, T::ZERO);
        gradients.resize(PLACES * of_d, T::ZERO);
        {
            let (to_x, to_d) = (&mut inputs, &mut gradients);
            let mut transform_x = || transform_inputs(to_x, x, tiling, tiles.clone(), channels);
            let mut transform_d = || transform_gradients(to_d, d, tiling, tiles.clone(), units);
            match threads {
                Threads::One => (transform_x(), transform_d()),
                Threads::All => rayon::join(transform_x, transform_d),
            };
        }
        let add = |(place, to): (usize, &mut [T])| {
            let gradient = View::of(&gradients[place * of_d..], units, tiles.len(), units);
            let input = View::of(&inputs[place * of_x..], channels, tiles.len(), channels).transposed();
            product_to(to, units, &gradient, &input, T::ONE, index > 0, Threads::One);
        };
        match threads {
            Threads::One => sums.chunks_exact_mut(each).enumerate().for_each(add),
            Threads::All => sums.par_chunks_exact_mut(each).enumerate().for_each(add),
        }
    }
    let part = |from: usize| moments(&sums, each, from..(from + PART).min(each));
    let parts: Vec<(f64, f64)> = match threads {
        Threads::One => (0..each).step_by(PART).map(part).collect(),
        Threads::All => (0..each.div_ceil(PART)).into_par_iter().map(|index| part(index * PART)).collect(),
    };
    parts.into_iter().fold((0.0, 0.0), |(plain, square), part| (plain + part.0, square + part.1))
}

/// Entries of a place whose gradients are summed at a time.
const PART: usize = 1 << 13;

for_each_machine! {
    /// Σ and Σ² of the gradients of all taps of some pairs of an input and an output.
    fn moments<T: Real>(sums: &[T], step: usize, pairs: Range<usize>) -> (f64, f64) {
        let (mut plain, mut square) = ([0.0f64; LANES], [0.0f64; LANES]);
        let mut from = pairs.start;
        while from + LANES <= pairs.end {
            let kernel: [[Lanes<T, LANES>; 3]; 3] = both(gathered::<T, LANES>(sums, step, from), tap_gradients);
            for tap in kernel.as_flattened() {
                for i in 0..LANES {
                    let v = tap[i].to_f64();
                    plain[i] += v;
                    square[i] += v * v;
                }
            }
            from += LANES;
        }
        while from < pairs.end {
            let kernel: [[Lanes<T, 1>; 3]; 3] = both(gathered::<T, 1>(sums, step, from), tap_gradients);
            for tap in kernel.as_flattened() {
                plain[0] += tap[0].to_f64();
                square[0] += tap[0].to_f64().powi(2);
            }
            from += 1;
        }
        (plain.iter().sum(), square.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Space;
    use super::super::window::Channels;
    use super::*;

    fn numbers(count: usize, step: usize) -> Vec<f64> {
        (0..count).map(|k| ((k * step) % 101) as f64 / 50.0 - 1.0).collect()
    }

    fn close(a: &[f64], b: &[f64], tolerance: f64) {
        assert_eq!(a.len(), b.len());
        let top = b.iter().fold(0.0f64, |top, v| top.max(v.abs()));
        let gap = a.iter().zip(b).fold(0.0f64, |gap, (a, b)| gap.max((a - b).abs()));
        assert!(gap <= tolerance * top, "{gap} of {top}");
    }

    fn single(values: &[f64]) -> Vec<f32> {
        values.iter().map(|v| *v as f32).collect()
    }

    fn double(values: &[f32]) -> Vec<f64> {
        values.iter().map(|v| f64::from(*v)).collect()
    }

    #[test]
    fn agrees_with_gathered_products() {
        for (size, padding, batch, channels, units) in
            [((9, 12), [1, 1], 3, 32, 40), ((8, 7), [0, 2], 4, 45, 33), ((11, 16), [3, 0], 2, 33, 35)]
        {
            let padding = [0, padding[0], padding[1]];
            let space = Space::Image(size.0, size.1);
            let window = Window::place(space, [1, 3, 3], [1; 3], [padding; 2], [1; 3]).unwrap();
            let tiling = Tiling::new(&window, (channels, units), batch).unwrap();
            let (height, count) = (9 * channels, window.windows() * batch);
            let x = numbers(window.positions() * batch * channels, 7);
            let (w, d) = (numbers(units * height, 11), numbers(units * count, 13));
            let mut buffer = Vec::new();
            let seen = Channels { all: channels, first: 0, size: channels };
            window.gathered(&x, seen, &(0..3), &(0..count), &mut buffer, Threads::One);
            let columns = DMatrix::from_column_slice(height, count, &buffer[..height * count]);
            let weights = DMatrix::from_column_slice(units, height, &w);
            let gradients = DMatrix::from_column_slice(units, count, &d);
            let product = &weights * &columns;
            let mut dx = vec![0.0; x.len()];
            let back = weights.transpose() * &gradients;
            window.scatter(&mut dx, seen, &(0..count), back.as_slice(), Threads::One);
            let dw = &gradients * columns.transpose();
            let strides = [1, units, units * channels];
            let forward =
                Weights { values: &w, rows: units, columns: channels, strides, turned: false, scale: 1.0 };
            let strides = [units, 1, units * channels];
            let backward =
                Weights { values: &w, rows: channels, columns: units, strides, turned: true, scale: 1.0 };
            for threads in [Threads::One, Threads::All] {
                close(convolved(&x, &forward, &tiling, threads).as_slice(), product.as_slice(), 1e-14);
                close(convolved(&d, &backward, &tiling.turned(), threads).as_slice(), &dx, 1e-14);
                let (plain, square) = weight_gradient((&x, channels), (&d, units), &tiling, threads);
                assert!((plain - dw.sum()).abs() < 1e-11 * dw.abs().sum(), "{plain}");
                assert!((square / dw.norm_squared() - 1.0).abs() < 1e-13, "{square}");
                // In single precision.
                let (x, d, w) = (single(&x), single(&d), single(&w));
                let forward = Weights {
                    values: &w,
                    rows: units,
                    columns: channels,
                    strides: forward.strides,
                    turned: false,
                    scale: 1.0,
                };
                let z = convolved(&x, &forward, &tiling, threads);
                close(&double(z.as_slice()), product.as_slice(), 2e-6);
                let (_, square) = weight_gradient((&x, channels), (&d, units), &tiling, threads);
                assert!((square / dw.norm_squared() - 1.0).abs() < 1e-5, "{square}");
            }
        }
    }
}
