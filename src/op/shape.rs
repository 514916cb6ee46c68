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
    /// Depth, height and width.
    Volume(usize, usize, usize),
    /// In time, tokens that have no features yet.
    Tokens(usize),
}

impl Space {
    /// The names of the axes that its positions lie along.
    pub fn axes(self) -> &'static [&'static str] {
        match self {
            Self::Flat => &[],
            Self::Sequence(_) | Self::Tokens(_) => &["length"],
            Self::Image(..) => &["height", "width"],
            Self::Volume(..) => &["depth", "height", "width"],
        }
    }

    /// Positions along each axis as depth, height and width: a sequence is as wide as it is long, and what is missing is 1.
    pub fn extent(self) -> [usize; 3] {
        match self {
            Self::Flat => [1; 3],
            Self::Sequence(length) | Self::Tokens(length) => [1, 1, length],
            Self::Image(height, width) => [1, height, width],
            Self::Volume(depth, height, width) => [depth, height, width],
        }
    }

    /// The same axes with so many positions along each, as [`Space::extent`] counts them.
    #[must_use]
    pub fn resized(self, [depth, height, width]: [usize; 3]) -> Self {
        match self {
            Self::Flat => Self::Flat,
            Self::Sequence(_) => Self::Sequence(width),
            Self::Tokens(_) => Self::Tokens(width),
            Self::Image(..) => Self::Image(height, width),
            Self::Volume(..) => Self::Volume(depth, height, width),
        }
    }

    /// A user's numbers of a sample come channel by channel, as those of images do, and not position by position.
    pub fn has_channels_first(self) -> bool {
        matches!(self, Self::Image(..) | Self::Volume(..))
    }
}

impl Shape {
    /// Positions of a sample.
    pub fn positions(self) -> usize {
        self.space.extent().iter().product()
    }

    /// Entries of a sample.
    pub fn size(self) -> usize {
        self.channels * self.positions()
    }

    /// Entries of a sample that are drawn or read where it is an input: none of tokens, which the embedding draws.
    pub fn features(self) -> usize {
        if matches!(self.space, Space::Tokens(_)) { 0 } else { self.size() }
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
            Space::Volume(depth, height, width) => {
                write!(f, "[{}, {depth}, {height}, {width}]", self.channels)
            }
            Space::Tokens(length) => write!(f, "{length} tokens"),
        }
    }
}
