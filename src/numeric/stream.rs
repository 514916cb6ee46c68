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
    /// The stream of a role; `part` numbers independent pieces of it, such as the blocks of a weight matrix.
    ///
    /// The name is the key of a ChaCha8 block cipher whose output seeds the faster generator, so different names give
    /// unrelated streams.
    pub fn stream(self, role: Role, part: u64) -> Stream {
        let mut name = [0; 32];
        name[..8].copy_from_slice(&self.seed.to_le_bytes());
        name[8..16].copy_from_slice(&self.trial.to_le_bytes());
        name[16..24].copy_from_slice(&self.layer.to_le_bytes());
        name[24..].copy_from_slice(&part.to_le_bytes());
        // Parts are numbered below 2⁵⁶.
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
        let base = first(key, Role::Weights, 0);
        assert_eq!(base, first(key, Role::Weights, 0));
        for other in [
            first(Key { seed: 2, ..key }, Role::Weights, 0),
            first(Key { trial: 3, ..key }, Role::Weights, 0),
            first(Key { layer: 4, ..key }, Role::Weights, 0),
            first(key, Role::Bias, 0),
            first(key, Role::Weights, 1),
        ] {
            assert_ne!(base, other);
        }
    }
}
