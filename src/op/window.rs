//! Where the windows of a convolution or a pooling lie.

use super::Space;
use super::forms::{Padding, PerAxis};
use crate::numeric::product::{Threads, View};
use crate::numeric::real::Real;
use rayon::prelude::*;
use std::ops::Range;

/// A kernel that slides over images; each list is of depth, height and width. A plain image has depth 1, a sequence depth and
/// height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps.
    pub kernel: [usize; 3],
    /// Positions between two windows.
    pub stride: [usize; 3],
    /// Positions of the first window before the image; negative where it begins inside.
    pub padding: [isize; 3],
    /// Positions between two taps.
    pub dilation: [usize; 3],
    /// Of the image.
    pub input: [usize; 3],
    /// Windows.
    pub output: [usize; 3],
}

/// Largest number of a window.
pub const WIDEST: usize = 1_000_000;

/// A field with a number from `least` on for each axis.
///
/// # Errors
/// A number that is out of range, or a list of another length.
pub fn numbers(field: &str, value: &PerAxis, space: Space, least: usize) -> Result<[usize; 3], String> {
    let numbers = value.along(field, space, least)?;
    if numbers.iter().any(|number| *number < least || *number > WIDEST) {
        return Err(format!("{field} is a whole number from {least} to {WIDEST}"));
    }
    Ok(numbers)
}

/// The fields of a layer that say where its windows lie.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'a> {
    /// Taps.
    pub kernel: &'a PerAxis,
    /// Positions between two windows.
    pub stride: &'a PerAxis,
    /// Positions around the image.
    pub padding: &'a Padding,
    /// Positions between two taps.
    pub dilation: &'a PerAxis,
    /// A window ends at its own position: what `padding` would put on both sides stands before the first.
    pub causal: bool,
}

impl Placement<'_> {
    /// The windows over a sample's positions.
    ///
    /// # Errors
    /// A number that is out of range, or a kernel that does not fit, with what would.
    pub fn window(&self, space: Space) -> Result<Window, String> {
        let kernel = numbers("kernel", self.kernel, space, 1)?;
        let stride = numbers("stride", self.stride, space, 1)?;
        let dilation = numbers("dilation", self.dilation, space, 1)?;
        let reach: [usize; 3] = std::array::from_fn(|axis| dilation[axis] * (kernel[axis] - 1));
        let (before, after) = match self.padding {
            _ if self.causal => (reach, [0; 3]),
            Padding::Of(padding) => {
                let padding = numbers("padding", padding, space, 0)?;
                (padding, padding)
            }
            Padding::Same => {
                let input = space.extent();
                // What the last of ⌈input/stride⌉ windows reaches beyond the sample; an odd position stands behind it, as in TensorFlow.
                let missing = |axis: usize| {
                    let last = (input[axis].max(1) - 1) / stride[axis] * stride[axis];
                    (last + reach[axis] + 1).saturating_sub(input[axis])
                };
                let total: [usize; 3] = std::array::from_fn(missing);
                (total.map(|total| total / 2), total.map(|total| total.div_ceil(2)))
            }
        };
        Window::place(space, kernel, stride, [before, after], dilation)
    }
}

impl Window {
    /// Places windows on a sample's positions, with so many positions before and behind them.
    ///
    /// # Errors
    /// When the kernel is larger than the padded image, with what would fit.
    pub fn place(
        space: Space,
        kernel: [usize; 3],
        stride: [usize; 3],
        [before, after]: [[usize; 3]; 2],
        dilation: [usize; 3],
    ) -> Result<Self, String> {
        let (input, names) = (space.extent(), space.axes());
        let mut output = [1; 3];
        for axis in 0..3 {
            let reach = dilation[axis] * (kernel[axis] - 1) + 1;
            let room = input[axis] + before[axis] + after[axis];
            if reach > room {
                let name = names.get((axis + names.len()).wrapping_sub(3)).unwrap_or(&"length");
                let missing = (reach - input[axis]).div_ceil(2);
                return Err(format!(
                    "a kernel that spans {reach} does not fit the {name} of {} with padding {}: a kernel of at most {} or a \
                     padding of at least {missing} would",
                    input[axis],
                    before[axis],
                    (room - 1) / dilation[axis] + 1,
                ));
            }
            output[axis] = (room - reach) / stride[axis] + 1;
        }
        let padding = before.map(|p| p as isize);
        Ok(Self { kernel, stride, padding, dilation, input, output })
    }

    /// The same windows with their center tap alone.
    pub fn center(&self) -> Self {
        let shift =
            |axis: usize| self.padding[axis] - (self.dilation[axis] * ((self.kernel[axis] - 1) / 2)) as isize;
        Self { kernel: [1; 3], padding: std::array::from_fn(shift), ..*self }
    }

    /// Each window is one position, in the image's order.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1; 3] && self.stride == [1; 3] && self.padding == [0; 3] && self.input == self.output
    }

    /// Taps of a window.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Rows of taps in a window, those of one depth after those of another.
    pub fn kernel_rows(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Positions of an image.
    pub fn positions(&self) -> usize {
        self.input.iter().product()
    }

    /// Windows of an image.
    pub fn windows(&self) -> usize {
        self.output.iter().product()
    }

    /// Place of a tap along an axis, where it lies on the image.
    pub(super) fn at(&self, axis: usize, window: usize, tap: usize) -> Option<usize> {
        let place = (window * self.stride[axis] + tap * self.dilation[axis]) as isize - self.padding[axis];
        (place >= 0 && (place as usize) < self.input[axis]).then_some(place as usize)
    }

    /// Depth, height and width of a window's place among all.
    fn place_of(&self, window: usize) -> [usize; 3] {
        let line = window / self.output[2];
        [line / self.output[1], line % self.output[1], window % self.output[2]]
    }

    /// The line of the image under a row of taps, where it lies on the image.
    pub(super) fn line(&self, [depth, row, _]: [usize; 3], [z, y]: [usize; 2]) -> Option<usize> {
        Some(self.at(0, depth, z)? * self.input[1] + self.at(1, row, y)?)
    }

    /// Windows of a line whose tap of this place in a row lies on the image.
    pub(super) fn over(&self, tap: usize) -> Range<usize> {
        let inside = |window: &usize| self.at(2, *window, tap).is_some();
        let first = (0..self.output[2]).find(inside).unwrap_or(0);
        first..first + (first..self.output[2]).take_while(inside).count()
    }

    /// Depth and height of rows of taps.
    fn rows_of_taps(&self, rows: &Range<usize>) -> Vec<[usize; 2]> {
        rows.clone().map(|row| [row / self.kernel[1], row % self.kernel[1]]).collect()
    }

    /// Calls with each tap of a window that lies on the image, and its position there.
    pub fn each(&self, window: usize, mut call: impl FnMut(usize, usize)) {
        let place = self.place_of(window);
        for row in 0..self.kernel_rows() {
            let taps = [row / self.kernel[1], row % self.kernel[1]];
            let Some(line) = self.line(place, taps) else { continue };
            for x in 0..self.kernel[2] {
                if let Some(left) = self.at(2, place[2], x) {
                    call(row * self.kernel[2] + x, line * self.input[2] + left);
                }
            }
        }
    }

    /// Taps of one row of a window that lie on the image.
    fn inside(&self, column: usize) -> Range<usize> {
        let first = (0..self.kernel[2]).find(|x| self.at(2, column, *x).is_some()).unwrap_or(0);
        let count = (first..self.kernel[2]).take_while(|x| self.at(2, column, *x).is_some()).count();
        first..first + count
    }

    /// Where the entries under some kernel rows of some windows of an image lie.
    fn runs(&self, channels: Channels, rows: &Range<usize>, windows: Range<usize>) -> Runs {
        let mut found =
            Runs { first: windows.start, all: Vec::new(), ends: Vec::with_capacity(windows.len()) };
        // The same in every row of windows.
        let inside: Vec<Range<usize>> = (0..self.output[2]).map(|column| self.inside(column)).collect();
        let rows = self.rows_of_taps(rows);
        for window in windows {
            let place = self.place_of(window);
            let inside = &inside[place[2]];
            for (index, taps) in rows.iter().enumerate() {
                let Some(line) = self.line(place, *taps).filter(|_| !inside.is_empty()) else { continue };
                let tap = index * self.kernel[2];
                let mut put = |x: usize, taps: usize| {
                    let left = (place[2] * self.stride[2] + x * self.dilation[2]) as isize - self.padding[2];
                    let from = (line * self.input[2] + left as usize) * channels.all + channels.first;
                    let to = (tap + x) * channels.size;
                    found.all.push(Run { from, to, length: taps * channels.size });
                };
                if self.dilation[2] == 1 && channels.size == channels.all {
                    put(inside.start, inside.len());
                } else {
                    inside.clone().for_each(|x| put(x, 1));
                }
            }
            found.ends.push(found.all.len());
        }
        found
    }
}

/// Entries that lie side by side in an image and in a column.
#[derive(Clone, Copy)]
struct Run {
    from: usize,
    to: usize,
    length: usize,
}

/// The runs of some windows of an image, the same for all samples.
struct Runs {
    /// The first window.
    first: usize,
    all: Vec<Run>,
    /// Behind the last run of each window.
    ends: Vec<usize>,
}

impl Runs {
    fn of(&self, window: usize) -> &[Run] {
        let place = window - self.first;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.all[start..self.ends[place]]
    }
}

/// A copy without a call where there is little to copy.
#[inline(always)]
fn copy<T: Real>(to: &mut [T], from: &[T]) {
    macro_rules! short {
        ($($n:literal)*) => {
            match from.len() {
                $($n => if let (Some(to), Some(from)) = (to.first_chunk_mut::<$n>(), from.first_chunk::<$n>()) {
                    *to = *from;
                },)*
                _ => to.copy_from_slice(from),
            }
        };
    }
    short!(1 2 3 4 5 6 7 8 9 10 12 15 16 18 24);
}

/// Some channels of images: channels × (positions·samples), of which the layer sees `size` from `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Channels {
    /// Of the image.
    pub all: usize,
    /// The first that is seen.
    pub first: usize,
    /// How many are seen.
    pub size: usize,
}

/// Windows that one thread gathers at a time.
const CHUNK: usize = 64;

impl Window {
    /// Runs of all windows that occur in a range over samples.
    fn occurring(&self, channels: Channels, rows: &Range<usize>, windows: &Range<usize>) -> Runs {
        let count = self.windows();
        let within = match windows.start / count == windows.end.saturating_sub(1) / count {
            true => windows.start % count..windows.start % count + windows.len(),
            false => 0..count,
        };
        self.runs(channels, rows, within)
    }

    /// The entries under some kernel rows of some windows, a column for each window (im2col): tap after tap, all channels of
    /// each, zeros outside of the image. They lie in `buffer`, which grows where it must.
    pub fn gathered<'a, T: Real>(
        &self,
        x: &[T],
        channels: Channels,
        rows: &Range<usize>,
        windows: &Range<usize>,
        buffer: &'a mut Vec<T>,
        threads: Threads,
    ) -> View<'a, T> {
        let height = rows.len() * self.kernel[2] * channels.size;
        let room = height * windows.len();
        if buffer.len() < room {
            buffer.resize(room, T::ZERO);
        }
        // Of a single channel, neighboring windows see neighboring entries: long copies instead of many short ones.
        if channels.all == 1 && self.stride[2] == 1 {
            self.gather_taps(x, rows, windows, &mut buffer[..room], threads);
            return View::of(buffer, windows.len(), height, windows.len()).transposed();
        }
        self.gather(x, channels, rows, windows, buffer, threads);
        View::of(buffer, height, windows.len(), height)
    }

    /// One tap after the other, each for all windows.
    fn gather_taps<T: Real>(
        &self,
        x: &[T],
        rows: &Range<usize>,
        windows: &Range<usize>,
        buffer: &mut [T],
        threads: Threads,
    ) {
        let (count, image) = (self.windows(), self.positions());
        let rows = self.rows_of_taps(rows);
        let fill = |(tap, buffer): (usize, &mut [T])| {
            let taps = rows[tap / self.kernel[2]];
            let shift = (tap % self.kernel[2] * self.dilation[2]) as isize - self.padding[2];
            let mut window = windows.start;
            while window < windows.end {
                let place = self.place_of(window % count);
                let column = place[2];
                let length = (self.output[2] - column).min(windows.end - window);
                let to = &mut buffer[window - windows.start..][..length];
                window += length;
                let Some(line) = self.line(place, taps) else {
                    to.fill(T::ZERO);
                    continue;
                };
                let from = &x[(window - 1) / count * image + line * self.input[2]..][..self.input[2]];
                // Columns of the image under the first and behind the last of these windows.
                let (left, right) = (column as isize + shift, (column + length) as isize + shift);
                let first = (-left).clamp(0, length as isize) as usize;
                let last =
                    length - (right - self.input[2] as isize).clamp(0, (length - first) as isize) as usize;
                to[..first].fill(T::ZERO);
                to[last..].fill(T::ZERO);
                if first < last {
                    to[first..last]
                        .copy_from_slice(&from[(left + first as isize) as usize..][..last - first]);
                }
            }
        };
        match threads {
            Threads::One => buffer.chunks_mut(windows.len().max(1)).enumerate().for_each(fill),
            Threads::All => buffer.par_chunks_mut(windows.len().max(1)).enumerate().for_each(fill),
        }
    }

    /// The same with the columns one after another.
    fn gather<T: Real>(
        &self,
        x: &[T],
        channels: Channels,
        rows: &Range<usize>,
        windows: &Range<usize>,
        buffer: &mut [T],
        threads: Threads,
    ) {
        let height = rows.len() * self.kernel[2] * channels.size;
        let image = self.positions() * channels.all;
        let count = self.windows();
        let runs = self.occurring(channels, rows, windows);
        let fill = |(chunk, columns): (usize, &mut [T])| {
            let first = windows.start + chunk * CHUNK;
            let (mut sample, mut window) = (first / count, first % count);
            for column in columns.chunks_exact_mut(height) {
                let entries = &x[sample * image..][..image];
                let runs = runs.of(window);
                if runs.iter().map(|run| run.length).sum::<usize>() < height {
                    column.fill(T::ZERO);
                }
                for run in runs {
                    copy(&mut column[run.to..][..run.length], &entries[run.from..][..run.length]);
                }
                window += 1;
                if window == count {
                    (sample, window) = (sample + 1, 0);
                }
            }
        };
        let buffer = &mut buffer[..height * windows.len()];
        match threads {
            Threads::One => buffer.chunks_mut(CHUNK * height).enumerate().for_each(fill),
            Threads::All => buffer.par_chunks_mut(CHUNK * height).enumerate().for_each(fill),
        }
    }

    /// Adds the columns of `buffer`, laid out as [`Window::gathered`] does with all kernel rows, to the positions that they
    /// came from (col2im). `dx` begins at the sample of the first window.
    pub fn scatter<T: Real>(
        &self,
        dx: &mut [T],
        channels: Channels,
        windows: &Range<usize>,
        buffer: &[T],
        threads: Threads,
    ) {
        let height = self.taps() * channels.size;
        let image = self.positions() * channels.all;
        let count = self.windows();
        let first = windows.start / count;
        let runs = self.occurring(channels, &(0..self.kernel_rows()), windows);
        let add = |(sample, dx): (usize, &mut [T])| {
            let start = ((first + sample) * count).max(windows.start);
            let end = ((first + sample + 1) * count).min(windows.end);
            for window in start..end {
                let column = &buffer[(window - windows.start) * height..][..height];
                for run in runs.of(window - (first + sample) * count) {
                    let (to, from) = (&mut dx[run.from..][..run.length], &column[run.to..][..run.length]);
                    to.iter_mut().zip(from).for_each(|(a, b)| *a += *b);
                }
            }
        };
        let samples = if windows.is_empty() { 0 } else { (windows.end - 1) / count + 1 - first };
        let dx = &mut dx[..samples * image];
        match threads {
            Threads::One => dx.chunks_mut(image).enumerate().for_each(add),
            Threads::All => dx.par_chunks_mut(image).enumerate().for_each(add),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_and_scatter_are_transposes() {
        // ⟨gather(x), y⟩ = ⟨x, scatter(y)⟩ for every geometry, whole channels and groups.
        for (kernel, stride, padding, dilation) in [
            ([1, 3, 3], [1, 1, 1], [0, 1, 1], [1, 1, 1]),
            ([1, 2, 3], [1, 2, 1], [0, 0, 2], [1, 1, 2]),
            ([1, 3, 1], [1, 1, 3], [0, 2, 0], [1, 2, 1]),
            ([2, 2, 3], [1, 2, 1], [0, 1, 1], [1, 1, 1]),
            ([3, 1, 2], [2, 1, 1], [2, 0, 1], [2, 1, 3]),
        ] {
            let plain =
                Window::place(Space::Volume(2, 3, 7), kernel, stride, [padding; 2], dilation).unwrap();
            for (window, first, size) in [(plain, 0, 4), (plain, 1, 2), (plain.center(), 0, 4)] {
                let channels = Channels { all: 4, first, size };
                let samples = 3;
                let x: Vec<f64> = (0..samples * 42 * 4).map(|k| ((k * 37) % 19) as f64 - 9.0).collect();
                let height = window.taps() * size;
                let all = 0..samples * window.windows();
                let y: Vec<f64> = (0..all.len() * height).map(|k| ((k * 23) % 17) as f64 - 8.0).collect();
                let mut gathered = vec![9.0; y.len()];
                let rows = 0..window.kernel_rows();
                window.gather(&x, channels, &rows, &all, &mut gathered, Threads::One);
                let mut scattered = vec![0.0; x.len()];
                window.scatter(&mut scattered, channels, &all, &y, Threads::All);
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                assert_eq!(dot(&gathered, &y), dot(&x, &scattered));
                assert!(dot(&gathered, &gathered) > 0.0);
                // In parts, as large convolutions are.
                let mut parts = vec![0.0; x.len()];
                for from in all.clone().step_by(5) {
                    let part = from..(from + 5).min(all.end);
                    let start = from / window.windows() * 42 * 4;
                    let columns = &y[from * height..part.end * height];
                    window.scatter(&mut parts[start..], channels, &part, columns, Threads::One);
                }
                assert_eq!(parts, scattered);
            }
        }
    }

    #[test]
    fn one_channel_is_gathered_as_many_are() {
        for (kernel, padding, dilation) in [
            ([1, 3, 3], [0, 1, 1], [1, 1, 1]),
            ([2, 2, 3], [1, 0, 4], [1, 1, 2]),
            ([2, 3, 1], [0, 2, 3], [1, 1, 1]),
        ] {
            let window =
                Window::place(Space::Volume(2, 3, 7), kernel, [1, 2, 1], [padding; 2], dilation).unwrap();
            let channels = Channels { all: 1, first: 0, size: 1 };
            let x: Vec<f64> = (0..3 * 42).map(|k| f64::from(k) + 1.0).collect();
            for rows in [0..window.kernel_rows(), 1..2] {
                let all = 3 * window.windows();
                for part in [0..all, 3..all - 2, all / 2..all / 2 + 3] {
                    let height = rows.len() * kernel[2];
                    let mut plain = vec![9.0; height * part.len()];
                    window.gather(&x, channels, &rows, &part, &mut plain, Threads::One);
                    let mut taps = vec![9.0; height * part.len()];
                    window.gather_taps(&x, &rows, &part, &mut taps, Threads::All);
                    let turned = |k: usize| taps[k % height * part.len() + k / height];
                    assert_eq!(
                        plain,
                        (0..plain.len()).map(turned).collect::<Vec<_>>(),
                        "{kernel:?} {rows:?} {part:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_kernel_too_large_says_what_fits() {
        let fault = Window::place(Space::Image(2, 9), [1, 5, 5], [1; 3], [[0; 3]; 2], [1; 3]).unwrap_err();
        assert!(fault.contains("height of 2") && fault.contains("at most 2"), "{fault}");
    }
}
