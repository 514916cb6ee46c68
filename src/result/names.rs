//! The words of a result: every one is a value of an enumeration, and its name is what JSON holds.

use super::{Layer, Summary};
use crate::law::named::named;

named! {
    /// What else is wrong with a cell, beside its two directions; see [`crate::diagnose::verdict`].
    #[non_exhaustive]
    pub enum Flag {
        /// More than half of a layer's units lie where a bounded activation is flat.
        Saturated = "saturated",
        /// More units than chance explains have φ′ = 0 on the whole batch.
        DeadUnits = "dead-units",
        /// All samples look alike at the last layer.
        CorrelationCollapse = "correlation-collapse",
        /// Samples that were alike at the first layer are not at the last.
        Decorrelated = "decorrelated",
        /// All units of a layer are identical, so training cannot tell them apart.
        SymmetricUnits = "symmetric-units",
        /// The positions of a sample look alike.
        RankCollapse = "rank-collapse",
        /// The signal or the gradient is exactly zero in some layer.
        ZeroSignal = "zero-signal",
        /// The logits of a classifier are so large that softmax bets on single classes before it has learnt anything.
        LargeLogits = "large-logits",
        /// Trials differ by more than the layers' widths explain.
        HeavyTailed = "heavy-tailed",
        /// The measurement is not what theory expects.
        OffTheory = "off-theory",
        /// The cell does not follow the laws of an earlier run, see [`crate::study::baseline`].
        Drift = "drift",
    }
}

impl Flag {
    /// Nothing is learnt where a cell has it, or not by all of the network.
    pub fn stops_learning(self) -> bool {
        matches!(
            self,
            Self::Saturated
                | Self::DeadUnits
                | Self::CorrelationCollapse
                | Self::SymmetricUnits
                | Self::RankCollapse
                | Self::ZeroSignal
                | Self::LargeLogits
        )
    }
}

named! {
    /// How products with the weights were drawn.
    #[non_exhaustive]
    pub enum EngineUsed {
        /// Every weight was drawn.
        Dense = "dense",
        /// The products were drawn from their joint law, and no weight was.
        Implicit = "implicit" | "lazy",
        /// Some matrices were drawn, of the others the products alone; each layer says which.
        Mixed = "mixed",
    }
}

named! {
    /// Whether the engine drew from the law that was asked for.
    #[non_exhaustive]
    pub enum Exactness {
        /// The law that was asked for.
        Exact = "exact",
        /// Its limit for large fan-in.
        Asymptotic = "asymptotic",
    }
}

named! {
    /// What the numbers of a layer were computed in.
    #[non_exhaustive]
    #[derive(Default)]
    pub enum Rounding {
        /// Single precision, which resolves them.
        #[default]
        Single = "single",
        /// Double precision.
        Double = "double",
        /// Double precision, which does not resolve some of them: see [`Summary::below_trials`].
        Below = "below",
    }
}

named! {
    /// What a [`super::Direction`] follows.
    #[non_exhaustive]
    #[derive(Default)]
    pub enum Quantity {
        /// Population variance over all entries.
        #[default]
        Variance = "variance",
        /// Mean square over all entries: of a signal that has no variance, and of one layer against its input.
        SecondMoment = "second-moment",
        /// Squared norm of a sample: of a gradient where the number of a sample's entries changes.
        SquaredNorm = "squared-norm",
        /// Mean square of the pre-activation times the squared norm of a sample's gradient, E z²·‖∂C/∂z‖²: what the loss answers to a
        /// change in proportion to the signal. Of a network with norms, which do not change it.
        RelativeGradient = "relative-gradient",
    }
}

named! {
    /// What a stack does to a signal, judged by its change through all layers.
    #[non_exhaustive]
    pub enum Verdict {
        /// Within the threshold, ±1 decade by default.
        Stable = "stable",
        /// Smaller by more than the threshold, or zero.
        Vanishing = "vanishing",
        /// Larger by more than the threshold.
        Exploding = "exploding",
    }
}

named! {
    /// How much a verdict matters to training.
    #[non_exhaustive]
    #[derive(Default)]
    pub enum Severity {
        /// Nothing to grade: the verdict is `stable`.
        #[default]
        None = "none",
        /// Networks like it train, perhaps with a smaller learning rate or a few more steps.
        Mild = "mild",
        /// Few networks like it train as they are.
        Severe = "severe",
        /// None is known to train.
        Fatal = "fatal",
    }
}

named! {
    /// One of the four arrays that are recorded at every layer.
    #[non_exhaustive]
    pub enum Recorded {
        /// Z = W·H + b.
        Preactivation = "preactivation",
        /// H = φ(Z).
        Activation = "activation",
        /// The gradient with respect to Z.
        Gradient = "gradient",
        /// The gradient with respect to W.
        WeightGradient = "weight_gradient",
    }
}

impl Recorded {
    /// Its summary at a layer.
    pub fn of(self, layer: &Layer) -> &Summary {
        match self {
            Self::Preactivation => &layer.preactivation,
            Self::Activation => &layer.activation,
            Self::Gradient => &layer.gradient,
            Self::WeightGradient => &layer.weight_gradient,
        }
    }

    /// It flows from the input to the output.
    pub fn is_forward(self) -> bool {
        matches!(self, Self::Preactivation | Self::Activation)
    }
}

named! {
    /// What a [`super::Difference`] is of.
    #[non_exhaustive]
    pub enum Kind {
        /// The quantity at the layer.
        Level = "level",
        /// Its change from the layer before in the direction of flow.
        Step = "step",
        /// How many trials are exactly zero.
        Zeros = "zeros",
    }
}
