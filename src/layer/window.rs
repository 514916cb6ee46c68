//! Where the windows of a convolution or a pooling lie.

use crate::product::Threads;
use crate::real::Real;
use rayon::prelude::*;
use std::ops::Range;

/// A kernel that slides over images; each pair is of height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps.
    pub kernel: [usize; 2],
    /// Positions between two windows.
    pub stride: [usize; 2],
    /// Positions of the first window before the image; negative where it begins inside.
    pub padding: [isize; 2],
    /// Positions between two taps.
    pub dilation: [usize; 2],
    /// Of the image.
    pub input: [usize; 2],
    /// Windows.
    pub output: [usize; 2],
}

impl Window {
    /// Places windows on an image of this height and width.
    ///
    /// # Errors
    /// When the kernel is larger than the padded image, with what would fit.
    pub fn place(
        input: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
    ) -> Result<Self, String> {
        let mut output = [0; 2];
        for axis in 0..2 {
            let reach = dilation[axis] * (kernel[axis] - 1) + 1;
            let room = input[axis] + 2 * padding[axis];
            if reach > room {
                let name = ["height", "width"][axis];
                let missing = (reach - input[axis]).div_ceil(2);
                return Err(format!(
                    "a kernel that spans {reach} does not fit the {name} of {} with padding {}: a kernel of at most {} or a \
                     padding of at least {missing} would",
                    input[axis],
                    padding[axis],
                    (room - 1) / dilation[axis] + 1,
                ));
            }
            output[axis] = (room - reach) / stride[axis] + 1;
        }
        let padding = padding.map(|p| p as isize);
        Ok(Self { kernel, stride, padding, dilation, input, output })
    }

    /// The same windows with their centre tap alone.
    pub fn centre(&self) -> Self {
        let shift =
            |axis: usize| self.padding[axis] - (self.dilation[axis] * ((self.kernel[axis] - 1) / 2)) as isize;
        Self { kernel: [1, 1], padding: [shift(0), shift(1)], ..*self }
    }

    /// Each window is one position, in the image's order.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0] && self.input == self.output
    }

    /// Taps of a window.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Positions of an image.
    pub fn positions(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Windows of an image.
    pub fn windows(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Where a tap of a window lies on one axis; `None` outside of the image.
    fn at(&self, axis: usize, window: usize, tap: usize) -> Option<usize> {
        let place = (window * self.stride[axis] + tap * self.dilation[axis]) as isize - self.padding[axis];
        (place >= 0 && (place as usize) < self.input[axis]).then_some(place as usize)
    }

    /// Calls with each tap of a window that lies on the image, and its position there.
    pub fn each(&self, window: usize, mut call: impl FnMut(usize, usize)) {
        let (row, column) = (window / self.output[1], window % self.output[1]);
        for y in 0..self.kernel[0] {
            let Some(top) = self.at(0, row, y) else { continue };
            for x in 0..self.kernel[1] {
                if let Some(left) = self.at(1, column, x) {
                    call(y * self.kernel[1] + x, top * self.input[1] + left);
                }
            }
        }
    }

    /// Taps of one row of a window that lie on the image.
    fn inside(&self, column: usize) -> Range<usize> {
        let first = (0..self.kernel[1]).find(|x| self.at(1, column, *x).is_some()).unwrap_or(0);
        let count = (first..self.kernel[1]).take_while(|x| self.at(1, column, *x).is_some()).count();
        first..first + count
    }

    /// Calls with each run of taps of some kernel rows of a window: the first tap counted from those rows, the position
    /// that it lies at, and how many taps lie side by side.
    fn runs(&self, window: usize, rows: &Range<usize>, mut call: impl FnMut(usize, usize, usize)) {
        let (row, column) = (window / self.output[1], window % self.output[1]);
        let inside = self.inside(column);
        if inside.is_empty() {
            return;
        }
        for y in rows.clone() {
            let Some(top) = self.at(0, row, y) else { continue };
            let base = (y - rows.start) * self.kernel[1];
            let position = |x: usize| {
                let left = (column * self.stride[1] + x * self.dilation[1]) as isize - self.padding[1];
                top * self.input[1] + left as usize
            };
            if self.dilation[1] == 1 {
                call(base + inside.start, position(inside.start), inside.len());
            } else {
                inside.clone().for_each(|x| call(base + x, position(x), 1));
            }
        }
    }
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
    /// Writes the entries under some kernel rows of some windows into the columns of `buffer` (im2col): tap after tap, all
    /// channels of each, zeros outside of the image.
    pub fn gather<T: Real>(
        &self,
        x: &[T],
        channels: Channels,
        rows: &Range<usize>,
        windows: &Range<usize>,
        buffer: &mut [T],
        threads: Threads,
    ) {
        let height = rows.len() * self.kernel[1] * channels.size;
        let image = self.positions() * channels.all;
        let count = self.windows();
        let fill = |(chunk, columns): (usize, &mut [T])| {
            for (k, column) in columns.chunks_exact_mut(height).enumerate() {
                let window = windows.start + chunk * CHUNK + k;
                let sample = &x[window / count * image..][..image];
                let full = self.covers(window % count, rows);
                if !full {
                    column.fill(T::ZERO);
                }
                self.runs(window % count, rows, |tap, position, taps| {
                    if channels.size == channels.all {
                        let from = &sample[position * channels.all..][..taps * channels.all];
                        column[tap * channels.all..][..from.len()].copy_from_slice(from);
                    } else {
                        for t in 0..taps {
                            let from =
                                &sample[(position + t) * channels.all + channels.first..][..channels.size];
                            column[(tap + t) * channels.size..][..channels.size].copy_from_slice(from);
                        }
                    }
                });
            }
        };
        let buffer = &mut buffer[..height * windows.len()];
        match threads {
            Threads::One => buffer.chunks_mut(CHUNK * height).enumerate().for_each(fill),
            Threads::All => buffer.par_chunks_mut(CHUNK * height).enumerate().for_each(fill),
        }
    }

    /// All taps in these rows of a window lie on the image.
    fn covers(&self, window: usize, rows: &Range<usize>) -> bool {
        let (row, column) = (window / self.output[1], window % self.output[1]);
        self.inside(column).len() == self.kernel[1] && rows.clone().all(|y| self.at(0, row, y).is_some())
    }

    /// Adds the columns of `buffer`, laid out as [`Window::gather`] does with all kernel rows, to the positions that they
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
        let rows = 0..self.kernel[0];
        let add = |(sample, dx): (usize, &mut [T])| {
            let start = ((first + sample) * count).max(windows.start);
            let end = ((first + sample + 1) * count).min(windows.end);
            for window in start..end {
                let column = &buffer[(window - windows.start) * height..][..height];
                self.runs(window % count, &rows, |tap, position, taps| {
                    if channels.size == channels.all {
                        let to = &mut dx[position * channels.all..][..taps * channels.all];
                        let from = &column[tap * channels.all..][..taps * channels.all];
                        to.iter_mut().zip(from).for_each(|(a, b)| *a += *b);
                    } else {
                        for t in 0..taps {
                            let to =
                                &mut dx[(position + t) * channels.all + channels.first..][..channels.size];
                            let from = &column[(tap + t) * channels.size..][..channels.size];
                            to.iter_mut().zip(from).for_each(|(a, b)| *a += *b);
                        }
                    }
                });
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
            ([3, 3], [1, 1], [1, 1], [1, 1]),
            ([2, 3], [2, 1], [0, 2], [1, 2]),
            ([3, 1], [1, 3], [2, 0], [2, 1]),
        ] {
            let plain = Window::place([6, 7], kernel, stride, padding, dilation).unwrap();
            for (window, first, size) in [(plain, 0, 4), (plain, 1, 2), (plain.centre(), 0, 4)] {
                let channels = Channels { all: 4, first, size };
                let samples = 3;
                let x: Vec<f64> = (0..samples * 42 * 4).map(|k| ((k * 37) % 19) as f64 - 9.0).collect();
                let height = window.taps() * size;
                let all = 0..samples * window.windows();
                let y: Vec<f64> = (0..all.len() * height).map(|k| ((k * 23) % 17) as f64 - 8.0).collect();
                let mut gathered = vec![9.0; y.len()];
                let rows = 0..window.kernel[0];
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
    fn a_kernel_too_large_says_what_fits() {
        let fault = Window::place([2, 9], [5, 5], [1, 1], [0, 0], [1, 1]).unwrap_err();
        assert!(fault.contains("height of 2") && fault.contains("at most 2"), "{fault}");
    }
}
