//! Passes over large arrays, piece by piece: what several passes ask of a piece they ask while it is in the cache, and threads
//! share the pieces where they are free. What comes out depends on neither.

use crate::numeric::product::Threads;
use rayon::prelude::*;

/// Entries of a piece, in single precision a quarter of a mebibyte.
const PIECE: usize = 1 << 16;

/// Entries of a piece of whole `unit`s.
pub fn length(unit: usize) -> usize {
    let unit = unit.max(1);
    (PIECE / unit).max(1) * unit
}

/// What `work` makes of each piece of so many entries and the place of its first, in their order.
pub fn each<T: Send, R: Send>(
    values: &mut [T],
    length: usize,
    threads: Threads,
    work: impl Fn(usize, &mut [T]) -> R + Sync + Send,
) -> Vec<R> {
    let one = |(index, piece): (usize, &mut [T])| work(index * length, piece);
    match threads {
        Threads::All if values.len() > length => values.par_chunks_mut(length).enumerate().map(one).collect(),
        _ => values.chunks_mut(length).enumerate().map(one).collect(),
    }
}

/// The same of entries that are read alone.
pub fn seen<T: Sync, R: Send>(
    values: &[T],
    length: usize,
    threads: Threads,
    work: impl Fn(usize, &[T]) -> R + Sync + Send,
) -> Vec<R> {
    let one = |(index, piece): (usize, &[T])| work(index * length, piece);
    match threads {
        Threads::All if values.len() > length => values.par_chunks(length).enumerate().map(one).collect(),
        _ => values.chunks(length).enumerate().map(one).collect(),
    }
}

/// The same of two arrays of as many entries, both written.
pub fn both<A: Send, B: Send, R: Send>(
    first: &mut [A],
    second: &mut [B],
    length: usize,
    threads: Threads,
    work: impl Fn(usize, &mut [A], &mut [B]) -> R + Sync + Send,
) -> Vec<R> {
    let one = |(index, (first, second)): (usize, (&mut [A], &mut [B]))| work(index * length, first, second);
    match threads {
        Threads::All if first.len() > length => {
            let pairs = first.par_chunks_mut(length).zip(second.par_chunks_mut(length));
            pairs.enumerate().map(one).collect()
        }
        _ => first.chunks_mut(length).zip(second.chunks_mut(length)).enumerate().map(one).collect(),
    }
}

/// The same of an array that is read and one of as many entries that is written.
pub fn mapped<A: Sync, B: Send, R: Send>(
    from: &[A],
    to: &mut [B],
    length: usize,
    threads: Threads,
    work: impl Fn(&[A], &mut [B]) -> R + Sync + Send,
) -> Vec<R> {
    match threads {
        Threads::All if from.len() > length => {
            from.par_chunks(length).zip(to.par_chunks_mut(length)).map(|(from, to)| work(from, to)).collect()
        }
        _ => from.chunks(length).zip(to.chunks_mut(length)).map(|(from, to)| work(from, to)).collect(),
    }
}

/// Sums of vectors of as many entries, one after another.
pub fn added(parts: impl IntoIterator<Item = Vec<f64>>) -> Vec<f64> {
    let sum = parts.into_iter().reduce(|mut sum, part| {
        sum.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
        sum
    });
    sum.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_whoever_makes_them() {
        for threads in [Threads::One, Threads::All] {
            let mut values: Vec<u32> = (0..1000).collect();
            let firsts = each(&mut values, 7, threads, |first, piece| {
                piece.iter_mut().for_each(|v| *v += 1);
                (first, piece.len())
            });
            assert_eq!(firsts.len(), 143);
            assert!(firsts.iter().enumerate().all(|(k, (first, _))| *first == 7 * k));
            assert_eq!(firsts[142].1, 6);
            let sums = seen(&values, 7, threads, |_, piece| piece.iter().sum::<u32>());
            assert_eq!(sums.iter().sum::<u32>(), 500_500);
            let mut other = vec![false; 1000];
            let odd = both(&mut values, &mut other, 7, threads, |_, values, odd| {
                odd.iter_mut().zip(values.iter()).for_each(|(odd, v)| *odd = v % 2 == 1);
                odd.iter().filter(|odd| **odd).count()
            });
            assert_eq!(odd.iter().sum::<usize>(), 500);
            let mut twice = vec![0; 1000];
            let lasts = mapped(&values, &mut twice, 7, threads, |values, twice| {
                twice.iter_mut().zip(values).for_each(|(twice, v)| *twice = 2 * v);
                values[values.len() - 1]
            });
            assert_eq!((lasts.len(), lasts[142], twice[999]), (143, 1000, 2000));
        }
        assert_eq!(length(3) % 3, 0);
        assert_eq!(length(1 << 20), 1 << 20);
    }
}
