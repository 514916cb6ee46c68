//! What a sample is at some place of a network.

use std::fmt;

/// Channels, and where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Features at each position.
    pub channels: usize,
    /// The positions.
    pub space: Space,
}

/// The positions of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// One.
    Flat,
    /// In time.
    Sequence(usize),
    /// Height and width.
    Image(usize, usize),
    /// In time, tokens that have no features yet.
    Tokens(usize),
}

impl Shape {
    /// Positions of a sample.
    pub fn positions(self) -> usize {
        match self.space {
            Space::Flat => 1,
            Space::Sequence(length) | Space::Tokens(length) => length,
            Space::Image(height, width) => height * width,
        }
    }

    /// Entries of a sample.
    pub fn size(self) -> usize {
        self.channels * self.positions()
    }

    /// Other features at the same positions.
    pub fn with(self, channels: usize) -> Self {
        Self { channels, ..self }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.space {
            Space::Flat => write!(f, "[{}]", self.channels),
            Space::Sequence(length) => write!(f, "[{length}, {}]", self.channels),
            Space::Image(height, width) => write!(f, "[{}, {height}, {width}]", self.channels),
            Space::Tokens(length) => write!(f, "{length} tokens"),
        }
    }
}
