//! Convolutions whose groups have one channel each, without a gathered input.
//!
//! Channels lie side by side, so a tap multiplies some channels of a position by their own weights: both are stretches of memory.
//! Forward and backward are one loop over two tables, which say for each place of the result what it is the sum of.

use super::window::Window;
use crate::numeric::pieces;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::slice::for_each_machine;
use nalgebra::{DMatrix, Dyn};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Channels that a loop holds in registers.
const LANES: usize = 32;
/// The same of what is left of the channels.
const FEW: usize = 8;

/// A tap, and the place that it reads or is read at.
type Term = (usize, usize);

/// Of each place along an axis of the result, the taps and the places that it is a sum over.
type Axis = Vec<Vec<Term>>;

/// What a result over some positions is a sum of.
pub struct Sums {
    axes: [Axis; 3],
    kernel: [usize; 3],
    from: [usize; 3],
    to: [usize; 3],
}

impl Sums {
    /// Of windows over the positions that their taps lie on.
    pub fn forward(window: &Window) -> Self {
        let axes = std::array::from_fn(|axis| {
            let of = |place| {
                (0..window.kernel[axis])
                    .filter_map(|tap| Some((tap, window.at(axis, place, tap)?)))
                    .collect::<Vec<Term>>()
            };
            (0..window.output[axis]).map(of).collect()
        });
        Self { axes, kernel: window.kernel, from: window.input, to: window.output }
    }

    /// Of positions over the windows that have a tap there.
    pub fn backward(window: &Window) -> Self {
        let axes = std::array::from_fn(|axis| {
            let mut all = vec![Vec::new(); window.input[axis]];
            for (tap, place) in (0..window.kernel[axis])
                .flat_map(|tap| (0..window.output[axis]).map(move |place| (tap, place)))
            {
                if let Some(position) = window.at(axis, place, tap) {
                    all[position].push((tap, place));
                }
            }
            all
        });
        Self { axes, kernel: window.kernel, from: window.output, to: window.input }
    }
}

/// Σ over taps of their weights times what they read, channels × (places·samples). `weights` are those of one tap after another.
pub fn convolved<T: Real>(
    x: &[T],
    weights: &[T],
    sums: &Sums,
    (channels, batch): (usize, usize),
    threads: Threads,
) -> DMatrix<T> {
    let places: usize = sums.to.iter().product();
    let read: usize = sums.from.iter().product::<usize>() * channels;
    assert_eq!(weights.len(), sums.kernel.iter().product::<usize>() * channels, "weights of all taps");
    assert_eq!(x.len(), read * batch, "entries of all samples");
    let mut z = DMatrix::<MaybeUninit<T>>::uninit(Dyn(channels), Dyn(places * batch));
    // A piece is a part of a line, so that a sequence has several.
    let part = (pieces::length(channels) / channels.max(1)).min(sums.to[2]).max(1);
    let mut parts = Vec::new();
    let mut rest = z.as_mut_slice();
    for line in 0..batch * sums.to[0] * sums.to[1] {
        for from in (0..sums.to[2]).step_by(part) {
            let range = from..(from + part).min(sums.to[2]);
            let (piece, others) = rest.split_at_mut(range.len() * channels);
            rest = others;
            parts.push((line, range, piece));
        }
    }
    let fill = |(line, range, piece): (usize, Range<usize>, &mut [MaybeUninit<T>])| {
        let (height, sample) = (line % sums.to[1], line / sums.to[1] / sums.to[0]);
        let depth = line / sums.to[1] % sums.to[0];
        let image = &x[sample * read..][..read];
        let mut rows = Vec::new();
        for (z, plane) in &sums.axes[0][depth] {
            for (y, row) in &sums.axes[1][height] {
                let taps = (z * sums.kernel[1] + y) * sums.kernel[2];
                rows.push((taps, (plane * sums.from[1] + row) * sums.from[2]));
            }
        }
        fill_line(piece, image, weights, &rows, &sums.axes[2], range, channels);
    };
    match threads {
        Threads::One => parts.into_iter().for_each(fill),
        Threads::All => parts.into_par_iter().for_each(fill),
    }
    // SAFETY: every part of every line has been written.
    unsafe { z.assume_init() }
}

for_each_machine! {
    /// Some places of a line: `rows` has the first tap and the first position of each row that the line is a sum over.
    fn fill_line<T: Real>(
        to: &mut [MaybeUninit<T>],
        x: &[T],
        weights: &[T],
        rows: &[Term],
        axis: &[Vec<Term>],
        range: Range<usize>,
        channels: usize,
    ) {
        let mut first = 0;
        while first < channels {
            let width = width(channels - first);
            for (index, place) in range.clone().enumerate() {
                let to = &mut to[index * channels + first..][..width];
                let terms = &axis[place];
                match width {
                    LANES => sum::<T, LANES>(to, x, weights, rows, terms, (first, channels)),
                    FEW => sum::<T, FEW>(to, x, weights, rows, terms, (first, channels)),
                    _ => sum::<T, 1>(to, x, weights, rows, terms, (first, channels)),
                }
            }
            first += width;
        }
    }
}

/// Some channels of one place.
#[inline(always)]
fn sum<T: Real, const N: usize>(
    to: &mut [MaybeUninit<T>],
    x: &[T],
    weights: &[T],
    rows: &[Term],
    terms: &[Term],
    (first, channels): (usize, usize),
) {
    let mut sums = [T::ZERO; N];
    for (taps, line) in rows {
        for (tap, place) in terms {
            let w = stretch::<T, N>(weights, (taps + tap) * channels + first);
            let v = stretch::<T, N>(x, (line + place) * channels + first);
            for i in 0..N {
                sums[i] += w[i] * v[i];
            }
        }
    }
    for i in 0..N {
        to[i].write(sums[i]);
    }
}

/// Channels that are taken together of those that are left.
#[inline(always)]
fn width(left: usize) -> usize {
    [LANES, FEW].into_iter().find(|lanes| left >= *lanes).unwrap_or(1)
}

#[inline(always)]
fn stretch<T, const N: usize>(values: &[T], from: usize) -> &[T; N] {
    values[from..].first_chunk().expect("as many channels as are taken")
}

/// Σ over windows of the gradient times what each tap reads there, one tap after another: channels × taps.
pub fn weight_gradient<T: Real>(
    (x, d): (&[T], &[T]),
    window: &Window,
    (channels, batch): (usize, usize),
    threads: Threads,
) -> Vec<f64> {
    let (image, outputs) = (window.positions() * channels, window.windows() * channels);
    assert!(x.len() == image * batch && d.len() == outputs * batch, "entries of all samples");
    let size = window.taps() * channels;
    let line = window.output[2] * channels;
    // Lines of a piece, within a sample.
    let lines = window.output[0] * window.output[1];
    let length = (pieces::length(line) / line.max(1)).clamp(1, lines.max(1));
    let parts: Vec<(usize, Range<usize>)> = (0..batch)
        .flat_map(|sample| {
            (0..lines).step_by(length).map(move |from| (sample, from..(from + length).min(lines)))
        })
        .collect();
    // What a tap of a row reads: the first window and the position there, and how many windows follow.
    let along: Vec<Run> = (0..window.kernel[2])
        .map(|tap| {
            let windows = window.over(tap);
            let place = window.at(2, windows.start, tap).unwrap_or(0);
            Run { windows, place }
        })
        .collect();
    let sum = |(sample, lines): &(usize, Range<usize>)| {
        let (x, d) = (&x[sample * image..][..image], &d[sample * outputs..][..outputs]);
        let mut rows = Vec::new();
        for line in lines.clone() {
            let place = [line / window.output[1], line % window.output[1], 0];
            for row in 0..window.kernel_rows() {
                let taps = [row / window.kernel[1], row % window.kernel[1]];
                if let Some(read) = window.line(place, taps) {
                    rows.push(Row { taps: row * window.kernel[2], line, read });
                }
            }
        }
        let mut sums = vec![0.0; size];
        add_rows(&mut sums, (x, d), &rows, &along, window, channels);
        sums
    };
    let add = |mut all: Vec<f64>, part: Vec<f64>| {
        all.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
        all
    };
    // So many parts at a time that their sums are less than the entries themselves.
    let mut all = vec![0.0; size];
    match threads {
        Threads::One => parts.iter().for_each(|part| all = add(std::mem::take(&mut all), sum(part))),
        Threads::All => {
            for parts in parts.chunks(AT_ONCE) {
                let found: Vec<Vec<f64>> = parts.par_iter().map(sum).collect();
                all = found.into_iter().fold(std::mem::take(&mut all), add);
            }
        }
    }
    all
}

/// Parts whose sums are held before they are added up.
const AT_ONCE: usize = 64;

/// Windows of a line that a tap reads at neighboring places, and the first of these.
struct Run {
    windows: Range<usize>,
    place: usize,
}

/// A line of windows, a row of the kernel, and the line that it reads there.
struct Row {
    /// The first tap of the row.
    taps: usize,
    line: usize,
    read: usize,
}

for_each_machine! {
    fn add_rows<T: Real>(
        sums: &mut [f64],
        (x, d): (&[T], &[T]),
        rows: &[Row],
        along: &[Run],
        window: &Window,
        channels: usize,
    ) {
        let mut first = 0;
        while first < channels {
            let width = width(channels - first);
            for Row { taps, line, read } in rows {
                for (tap, Run { windows, place }) in along.iter().enumerate() {
                    if windows.is_empty() {
                        continue;
                    }
                    let d = &d[(line * window.output[2] + windows.start) * channels + first..];
                    let x = &x[(read * window.input[2] + place) * channels + first..];
                    let sums = &mut sums[(taps + tap) * channels + first..][..width];
                    let steps = (windows.len(), channels, window.stride[2] * channels);
                    match width {
                        LANES => add::<T, LANES>(sums, x, d, steps),
                        FEW => add::<T, FEW>(sums, x, d, steps),
                        _ => add::<T, 1>(sums, x, d, steps),
                    }
                }
            }
            first += width;
        }
    }
}

/// Windows whose products are summed in their own precision.
const RUN: usize = 256;

/// Some channels of a tap over a line of windows.
#[inline(always)]
fn add<T: Real, const N: usize>(
    sums: &mut [f64],
    x: &[T],
    d: &[T],
    (count, step, stride): (usize, usize, usize),
) {
    for from in (0..count).step_by(RUN) {
        let mut run = [T::ZERO; N];
        for window in from..(from + RUN).min(count) {
            let (x, d) = (stretch::<T, N>(x, window * stride), stretch::<T, N>(d, window * step));
            for i in 0..N {
                run[i] += x[i] * d[i];
            }
        }
        for i in 0..N {
            sums[i] += run[i].to_f64();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Space;
    use super::super::window::Channels;
    use super::*;

    /// Whole numbers, whose sums are exact in any order.
    fn numbers(count: usize, step: usize) -> Vec<f64> {
        (0..count).map(|k| ((k * step) % 17) as f64 - 8.0).collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn agrees_with_gathered_products_for_every_geometry() {
        for (kernel, stride, padding, dilation) in [
            ([1, 3, 3], [1, 1, 1], [0, 1, 1], [1, 1, 1]),
            ([1, 2, 3], [1, 2, 2], [0, 0, 2], [1, 1, 2]),
            ([1, 3, 1], [1, 1, 3], [0, 2, 0], [1, 2, 1]),
            ([2, 2, 3], [1, 2, 1], [0, 1, 1], [1, 1, 1]),
            ([1, 1, 2], [2, 1, 1], [0, 0, 9], [1, 1, 3]),
            ([1, 3, 7], [1, 1, 1], [0, 1, 3], [1, 1, 1]),
        ] {
            let plain =
                Window::place(Space::Volume(2, 3, 7), kernel, stride, [padding; 2], dilation).unwrap();
            for (window, channels) in [(plain, 45), (plain, 3), (plain.center(), 8)] {
                let batch = 3;
                let (taps, count) = (window.taps(), window.windows() * batch);
                let x = numbers(batch * 42 * channels, 5);
                let d = numbers(count * channels, 7);
                let w = numbers(taps * channels, 3);
                let mut gathered = Vec::new();
                let (rows, all) = (0..window.kernel_rows(), 0..count);
                let seen = Channels { all: channels, first: 0, size: channels };
                window.gathered(&x, seen, &rows, &all, &mut gathered, Threads::One);
                let (mut product, mut gradient) = (vec![0.0; d.len()], vec![0.0; w.len()]);
                for (place, column) in gathered.chunks_exact(taps * channels).enumerate() {
                    for (k, v) in column.iter().enumerate() {
                        let to = place * channels + k % channels;
                        product[to] += w[k] * v;
                        gradient[k] += d[to] * v;
                    }
                }
                let size = (channels, batch);
                for threads in [Threads::One, Threads::All] {
                    let z = convolved(&x, &w, &Sums::forward(&window), size, threads);
                    assert_eq!(z.as_slice(), product, "{window:?}");
                    let dx = convolved(&d, &w, &Sums::backward(&window), size, threads);
                    assert_eq!(dot(dx.as_slice(), &x), dot(&d, &product), "{window:?}");
                    let single: Vec<f32> = d.iter().map(|v| *v as f32).collect();
                    let wide: Vec<f32> = x.iter().map(|v| *v as f32).collect();
                    assert_eq!(weight_gradient((&x, &d), &window, size, threads), gradient, "{window:?}");
                    assert_eq!(
                        weight_gradient((&wide, &single), &window, size, threads),
                        gradient,
                        "{window:?}"
                    );
                }
            }
        }
    }
}
