//! Reproducible random streams, each named by what it is for.
//!
//! A stream depends on its name alone, never on what was drawn before it: so trials run in any order on any number of
//! threads, a layer's weights can be drawn again in the backward pass, and every cell of a grid sees the same input
//! batches (common random numbers: differences between cells are differences between laws).

use rand::SeedableRng;
use rand::rngs::{ChaCha8Rng, Xoshiro256PlusPlus};

/// The generator that simulations draw from.
pub type Stream = Xoshiro256PlusPlus;

/// What a stream is for. The numbers are part of what makes a seed reproducible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Entries of the input batch.
    Input = 1,
    /// Entries of W.
    Weights = 2,
    /// Entries of b.
    Bias = 3,
    /// ∂C/∂H of the last layer, or targets of the loss.
    ReadOut = 4,
    /// Trials drawn for a confidence interval.
    Bootstrap = 5,
    /// Entries that dropout lets pass.
    Dropout = 6,
    /// The order of training samples.
    Order = 7,
}

/// Which of a role's independent streams. Draws are cut into blocks, so that threads can share them and so that each piece can
/// be drawn again alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A block of the entries of a matrix or a vector.
    Block(u64),
    /// A block of the draws that answer a query of an implicit map.
    Query {
        /// Number of the query, from 0, below 2²⁵.
        query: u32,
        /// Below 2²⁸.
        block: u32,
    },
    /// A block of one row of a table.
    Row {
        /// Number of the row, below 2⁴⁰.
        row: u64,
        /// Below 2¹³.
        block: u32,
    },
    /// Which entries of a sparse matrix are zero.
    Zeros,
    /// A block of units of a streamed layer.
    Units {
        /// Which draws of the units: the map's, or those of what is left beside the directions that it has shown.
        beside: bool,
        /// Number of the block, below 2⁴⁴.
        units: u64,
        /// A block of its entries, below 2⁸.
        block: u32,
    },
    /// What all samples of an input share.
    Shared(u64),
}

impl Part {
    /// The block that lies `index` blocks further on.
    pub fn block(self, index: usize) -> Self {
        let small = index as u32;
        match self {
            Self::Block(first) => Self::Block(first + index as u64),
            Self::Query { query, block } => Self::Query { query, block: block + small },
            Self::Row { row, block } => Self::Row { row, block: block + small },
            Self::Zeros => Self::Zeros,
            Self::Units { beside, units, block } => Self::Units { beside, units, block: block + small },
            Self::Shared(first) => Self::Shared(first + index as u64),
        }
    }

    /// A number below 2⁵⁶, a different one for each part: three bits of the kind above 53 bits of the numbers.
    fn code(self) -> u64 {
        let (kind, number) = match self {
            Self::Block(block) => (0, block),
            Self::Query { query, block } => (1, fields(query.into(), 25, block, 28)),
            Self::Row { row, block } => (2, fields(row, 40, block, 13)),
            Self::Zeros => (3, 0),
            Self::Units { beside, units, block } => (4 + u64::from(beside), fields(units, 44, block, 8)),
            Self::Shared(block) => (6, block),
        };
        debug_assert!(number < 1 << 53, "a part beyond its range: {self:?}");
        kind << 53 | number
    }
}

/// Two numbers side by side, the second in the low bits.
fn fields(high: u64, high_bits: u32, low: u32, low_bits: u32) -> u64 {
    debug_assert!(high < 1 << high_bits && low < 1 << low_bits, "a stream's part is out of range");
    high << low_bits | u64::from(low)
}

/// Names the streams of one layer in one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Seed of the run.
    pub seed: u64,
    /// 0-based.
    pub trial: u64,
    /// 1-based; 0 for what belongs to no layer.
    pub layer: u64,
}

impl Key {
    /// The streams of a part of a training step: dropout's masks. For trials below 2¹⁶, steps below 2⁴⁰ − 1 and parts below 2⁸.
    pub fn of_step(self, step: u64, part: usize) -> Self {
        debug_assert!(self.trial < 1 << 16 && step + 1 < 1 << 40 && part < 1 << 8, "a step beyond its range");
        Self { trial: self.trial << 48 | (step + 1) << 8 | part as u64, ..self }
    }

    /// The streams of what a law draws for one of a network's inputs, by its number.
    pub fn of_input(self, number: usize) -> Self {
        Self { layer: number as u64, ..self }
    }

    /// The stream of a part of a role.
    ///
    /// The name is the key of a ChaCha8 block cipher whose output seeds the faster generator, so different names give
    /// unrelated streams.
    pub fn stream(self, role: Role, part: Part) -> Stream {
        let mut name = [0; 32];
        name[..8].copy_from_slice(&self.seed.to_le_bytes());
        name[8..16].copy_from_slice(&self.trial.to_le_bytes());
        name[16..24].copy_from_slice(&self.layer.to_le_bytes());
        name[24..].copy_from_slice(&part.code().to_le_bytes());
        name[31] = role as u8;
        Stream::from_rng(&mut ChaCha8Rng::from_seed(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn a_name_is_a_stream_and_every_field_matters() {
        let key = Key { seed: 1, trial: 2, layer: 3 };
        let first = |key: Key, role, part| key.stream(role, part).next_u64();
        let base = first(key, Role::Weights, Part::Block(0));
        assert_eq!(base, first(key, Role::Weights, Part::Block(0)));
        for other in [
            first(Key { seed: 2, ..key }, Role::Weights, Part::Block(0)),
            first(Key { trial: 3, ..key }, Role::Weights, Part::Block(0)),
            first(Key { layer: 4, ..key }, Role::Weights, Part::Block(0)),
            first(key, Role::Bias, Part::Block(0)),
            first(key, Role::Weights, Part::Block(1)),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn every_part_has_a_code_of_its_own() {
        let mut parts = vec![Part::Zeros];
        let ends = |most: u64| [0, 1, 2, 255, 256, 257, most - 2, most - 1];
        for a in ends(1 << 25) {
            parts.extend(ends(1 << 28).map(|b| Part::Query { query: a as u32, block: b as u32 }));
        }
        for a in ends(1 << 40) {
            parts.extend(ends(1 << 13).map(|b| Part::Row { row: a, block: b as u32 }));
        }
        for a in ends(1 << 44) {
            for beside in [false, true] {
                parts.extend([0, 1, 254, 255].map(|block| Part::Units { beside, units: a, block }));
            }
        }
        parts.extend(ends(1 << 53).map(Part::Block));
        parts.extend(ends(1 << 53).map(Part::Shared));
        let mut codes: Vec<u64> = parts.iter().map(|p| p.code()).collect();
        assert!(codes.iter().all(|c| *c < 1 << 56));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), parts.len());
        assert_eq!(Part::Row { row: 3, block: 1 }.block(2), Part::Row { row: 3, block: 3 });
    }
}
