//! Work on the samples of a batch, each of which writes its own part of some slices.

use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use rayon::prelude::*;

/// Calls with each sample and its part of every slice, of which all samples have parts of one length. The order in which samples
/// are worked on does not matter to what is written.
pub fn each_sample<T: Real, const N: usize>(
    threads: Threads,
    batch: usize,
    mut slices: [&mut [T]; N],
    work: impl Fn(usize, [&mut [T]; N]) + Sync,
) {
    let sizes: [usize; N] = std::array::from_fn(|k| slices[k].len() / batch.max(1));
    let part = |sample: usize| {
        let part = std::array::from_fn(|k| {
            let (part, rest) = std::mem::take(&mut slices[k]).split_at_mut(sizes[k]);
            slices[k] = rest;
            part
        });
        (sample, part)
    };
    let parts: Vec<(usize, [&mut [T]; N])> = (0..batch).map(part).collect();
    match threads {
        Threads::One => parts.into_iter().for_each(|(sample, part)| work(sample, part)),
        Threads::All => parts.into_par_iter().for_each(|(sample, part)| work(sample, part)),
    }
}
