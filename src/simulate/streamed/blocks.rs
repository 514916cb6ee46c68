//! Blocks of units: small enough for a core's cache, in groups that threads share, summed in one order.

use crate::numeric::product::Threads;
use rayon::prelude::*;
use std::ops::Range;

/// Entries of a block: six matrices of this many live at once and fit half a megabyte.
const ENTRIES: usize = 1 << 14;
/// Blocks of a group, which one thread works through.
const GROUP: usize = 4;
/// Groups whose sums wait to be added up.
pub const WAVE: usize = 64;

/// What is summed over units.
pub trait Sums: Default + Send {
    /// Adds the sums over other units.
    fn merge(&mut self, other: Self);
}

/// Rows of a layer cut into blocks.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    rows: usize,
    height: usize,
}

impl Blocks {
    /// For a layer of `rows` units and a batch.
    pub fn new(rows: usize, batch: usize) -> Self {
        Self { rows, height: (ENTRIES / batch).next_multiple_of(32).clamp(32, 4096) }
    }

    /// Groups in all; each is a step of the progress.
    pub fn groups(&self) -> usize {
        self.rows.div_ceil(self.height).div_ceil(GROUP)
    }

    fn group<S: Sums>(&self, group: usize, add: &impl Fn(&mut S, u64, Range<usize>)) -> S {
        let mut sums = S::default();
        for block in (group * GROUP) as u64..((group + 1) * GROUP) as u64 {
            let rows = self.rows(block);
            if !rows.is_empty() {
                add(&mut sums, block, rows);
            }
        }
        sums
    }

    /// Rows of a block; none beyond the last.
    pub fn rows(&self, block: u64) -> Range<usize> {
        let start = (block as usize * self.height).min(self.rows);
        start..(start + self.height).min(self.rows)
    }

    /// `add` for every block with its number and its rows; the sums, or `None` when `step`, called after each group, says
    /// to stop. Groups are added in their order whatever the threads, so the result is the same to the last bit.
    pub fn sum<S: Sums>(
        &self,
        threads: Threads,
        step: &(dyn Fn() -> bool + Sync),
        add: impl Fn(&mut S, u64, Range<usize>) + Sync,
    ) -> Option<S> {
        let mut total = S::default();
        let groups: Vec<usize> = (0..self.groups().min(WAVE)).collect();
        let mut first = 0;
        while first < self.groups() {
            let one = |offset: &usize| {
                let group = first + offset;
                let sums = (group < self.groups()).then(|| self.group(group, &add));
                (sums.is_none() || step()).then_some(sums)
            };
            let wave: Vec<Option<Option<S>>> = match threads {
                Threads::One => groups.iter().map(one).collect(),
                Threads::All => groups.par_iter().with_max_len(1).map(one).collect(),
            };
            for sums in wave {
                if let Some(sums) = sums? {
                    total.merge(sums);
                }
            }
            first += WAVE;
        }
        Some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<(u64, Range<usize>)>);

    impl Sums for Seen {
        fn merge(&mut self, other: Self) {
            self.0.extend(other.0);
        }
    }

    #[test]
    fn every_row_is_met_once_and_in_order() {
        for (rows, batch) in [(1, 1), (31, 7), (4096, 4), (1_000_001, 16), (70_000, 20_000)] {
            for threads in [Threads::One, Threads::All] {
                let blocks = Blocks::new(rows, batch);
                let seen: Seen = blocks
                    .sum(threads, &|| true, |s: &mut Seen, block, rows| s.0.push((block, rows)))
                    .unwrap();
                let mut next = 0;
                for (k, (block, rows)) in seen.0.iter().enumerate() {
                    assert_eq!((*block, rows.start), (k as u64, next));
                    assert!(rows.len() <= blocks.height);
                    next = rows.end;
                }
                assert_eq!(next, rows);
            }
        }
        let stopped = Blocks::new(1_000_000, 16).sum(Threads::All, &|| false, |_: &mut Seen, _, _| ());
        assert!(stopped.is_none());
    }
}
