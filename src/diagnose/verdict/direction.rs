//! Slope, change and verdict of a quantity that flows through the stack.

use crate::measure::summary::{BEYOND, log10, quantile};
use crate::numeric::stream::{Key, Part, Role};
use crate::op::record::LayerRecord;
use crate::op::record::Moments;
use crate::result::{Direction, Quantity, Severity, Verdict};
use rand::RngExt;

/// Layers that the robust line is fitted through: all, or this many spread evenly.
const POINTS: usize = 64;
/// Bootstrap samples of the trials.
const RESAMPLES: usize = 200;

/// Decades from which on a change is neither chance nor small, is severe, and is fatal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grades {
    /// Below it the verdict is stable.
    pub threshold: f64,
    /// From here on severe.
    pub severe: f64,
    /// From here on fatal.
    pub fatal: f64,
}

impl Grades {
    /// In units of a threshold that a user chooses, and with what is chance.
    pub fn scaled(self, unit: f64, chance: f64) -> Self {
        let scaled = |decades: f64| unit * decades + chance;
        Self { threshold: scaled(self.threshold), severe: scaled(self.severe), fatal: scaled(self.fatal) }
    }

    fn severity(self, change: f64) -> Severity {
        match change.abs() {
            x if x > self.fatal => Severity::Fatal,
            x if x > self.severe => Severity::Severe,
            x if x > self.threshold => Severity::Mild,
            _ => Severity::None,
        }
    }
}

/// What a series comes to.
#[derive(Clone, Debug)]
pub struct Found {
    /// Slope, change, verdict.
    pub direction: Direction,
    /// Why there is no change, or that there is one.
    pub outcome: Outcome,
    /// Median log₁₀ at each place.
    pub medians: Vec<f64>,
}

impl Found {
    /// The change in thresholds; a quantity that is lost is beyond all of them.
    pub fn size(&self) -> f64 {
        self.direction.decisive.map_or(f64::INFINITY, |change| change.abs() / self.direction.threshold)
    }
}

/// log₁₀ of what was recorded: trials × places, places in the direction of flow. −∞ for an exact zero.
pub struct Series {
    pub variance: Vec<Vec<f64>>,
    pub second_moment: Vec<Vec<f64>>,
}

impl Series {
    pub fn new(trials: &[&Vec<LayerRecord>], moments: fn(&LayerRecord) -> Moments) -> Self {
        let logs = |quantity: fn(Moments) -> f64| {
            trials.iter().map(|trial| trial.iter().map(|r| quantity(moments(r))).collect()).collect()
        };
        Self { variance: logs(|m| log10(m.variance)), second_moment: logs(|m| log10(m.second_moment)) }
    }

    /// Some places alone.
    pub fn at(mut self, places: &[usize]) -> Self {
        let pick = |trial: &mut Vec<f64>| *trial = places.iter().map(|place| trial[*place]).collect();
        self.variance.iter_mut().chain(&mut self.second_moment).for_each(pick);
        self
    }

    /// Squared norms of samples: second moments times as many entries as a sample has at each place.
    pub fn norms(mut self, entries: &[f64]) -> Self {
        for trial in &mut self.second_moment {
            trial.iter_mut().zip(entries).for_each(|(log, count)| *log += count.log10());
        }
        self.variance.clone_from(&self.second_moment);
        self
    }

    /// Times the second moments of another series at the same places.
    pub fn times(mut self, other: &Self) -> Self {
        for (trial, factors) in self.second_moment.iter_mut().zip(&other.second_moment) {
            trial.iter_mut().zip(factors).for_each(|(log, factor)| *log += factor);
        }
        self.variance.clone_from(&self.second_moment);
        self
    }

    /// Last layer first.
    pub fn reversed(mut self) -> Self {
        self.variance.iter_mut().chain(&mut self.second_moment).for_each(|trial| trial.reverse());
        self
    }

    /// What enters the first layer, in front: a single layer has no other measure of its own change. Judged by second
    /// moments, which do not change where a mean becomes part of a variance or leaves it.
    pub fn behind(mut self, entering: f64) -> Self {
        self.second_moment.iter_mut().for_each(|trial| trial.insert(0, entering));
        self.variance.iter_mut().for_each(|trial| trial.insert(0, f64::NEG_INFINITY));
        self
    }
}

/// Why a direction has no change, or that it has one. Places count from 0 in the direction of flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// It is there from end to end; from some place on, perhaps, the same number for all samples and units.
    Flows { uniform_from: Option<usize> },
    /// Exactly zero from this place on.
    Zero { place: usize },
    /// Larger or smaller here than [`crate::numeric::wide::Wide`] holds: what follows is no measurement.
    OutOfRange { place: usize, up: bool },
}

/// Slope, interval, change and verdict: of the variance, or of the second moment where an end has no variance.
///
/// The change is between the ends; the line goes through all layers. Where they disagree the larger of the two decides:
/// a jump at one end is a change, and so is a trend that a jump at one end hides.
pub fn direction(series: &Series, grades: Grades, key: Key) -> Found {
    let median = |trials: &[Vec<f64>], place: usize| {
        let mut column: Vec<f64> = trials.iter().map(|t| t[place]).collect();
        column.sort_by(f64::total_cmp);
        quantile(&column, 0.5)
    };
    let zero = |x: f64| x == f64::NEG_INFINITY;
    let depth = series.variance[0].len();
    let varies = [0, depth - 1].iter().all(|place| !zero(median(&series.variance, *place)));
    let (quantity, trials) = match varies {
        true => (Quantity::Variance, &series.variance),
        false => (Quantity::SecondMoment, &series.second_moment),
    };
    let all: Vec<f64> = (0..depth).map(|place| median(trials, place)).collect();
    let (first, last) = (all[0], all[depth - 1]);
    let outcome = if let Some(place) = all.iter().position(|x| x.is_finite() && x.abs() >= BEYOND) {
        Outcome::OutOfRange { place, up: all[place] > 0.0 }
    } else if zero(first) || zero(last) {
        Outcome::Zero { place: all.iter().position(|x| zero(*x)).unwrap_or(0) }
    } else {
        let uniform = (0..depth).rev().take_while(|place| zero(median(&series.variance, *place))).last();
        Outcome::Flows { uniform_from: uniform }
    };
    if !matches!(outcome, Outcome::Flows { .. }) {
        let up = matches!(outcome, Outcome::OutOfRange { up: true, .. });
        let verdict = if up { Verdict::Exploding } else { Verdict::Vanishing };
        let nothing = Direction {
            quantity,
            log10_per_layer: None,
            ci95: None,
            log10_change: None,
            decisive: None,
            threshold: grades.threshold,
            verdict,
            severity: Severity::Fatal,
            judged: Vec::new(),
            budget: Vec::new(),
        };
        return Found { direction: nothing, outcome, medians: all };
    }
    let points = places(depth);
    let slope = theil_sen(&points.iter().map(|p| (*p as f64, all[*p])).collect::<Vec<_>>());
    let change = last - first;
    let line = slope.unwrap_or(0.0) * (depth - 1) as f64;
    let larger = if line.abs() > change.abs() { line } else { change };
    let severity = grades.severity(larger);
    let verdict = match severity {
        Severity::None => Verdict::Stable,
        _ if larger > 0.0 => Verdict::Exploding,
        _ => Verdict::Vanishing,
    };
    let direction = Direction {
        quantity,
        log10_per_layer: slope,
        ci95: interval(trials, &points, slope, key),
        log10_change: Some(change),
        decisive: Some(larger),
        threshold: grades.threshold,
        verdict,
        severity,
        judged: Vec::new(),
        budget: Vec::new(),
    };
    Found { direction, outcome, medians: all }
}

fn places(depth: usize) -> Vec<usize> {
    if depth <= POINTS {
        (0..depth).collect()
    } else {
        (0..POINTS).map(|k| k * (depth - 1) / (POINTS - 1)).collect()
    }
}

/// The robust slope of values at places 0, 1, …; `None` for fewer than two.
pub fn slope(values: &[f64]) -> Option<f64> {
    theil_sen(&places(values.len()).iter().map(|p| (*p as f64, values[*p])).collect::<Vec<_>>())
}

/// The median of the slopes between all pairs of points (Theil 1950, Sen 1968), leaving out points at −∞.
fn theil_sen(points: &[(f64, f64)]) -> Option<f64> {
    let points: Vec<&(f64, f64)> = points.iter().filter(|p| p.1.is_finite()).collect();
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (i, a) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    middle(&mut slopes)
}

/// The median, from the one or two values in the middle: to sort all of them took a tenth of a small run.
fn middle(values: &mut [f64]) -> Option<f64> {
    let half = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let upper = *upper;
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if values.len().is_multiple_of(2) => Some(quantile(&[lower, upper], 0.5)),
        _ => Some(upper),
    }
}

/// 95 % percentile bootstrap over trials.
fn interval(trials: &[Vec<f64>], points: &[usize], slope: Option<f64>, key: Key) -> Option<[f64; 2]> {
    slope?;
    if trials.len() < 2 {
        return None;
    }
    let mut rng = key.stream(Role::Bootstrap, Part::Block(0));
    let mut column = Vec::with_capacity(trials.len());
    let mut slopes: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let chosen: Vec<usize> = trials.iter().map(|_| rng.random_range(0..trials.len())).collect();
            let medians: Option<Vec<(f64, f64)>> = points
                .iter()
                .map(|place| {
                    column.clear();
                    column.extend(chosen.iter().map(|t| trials[*t][*place]));
                    Some((*place as f64, middle(&mut column)?))
                })
                .collect();
            theil_sen(&medians?)
        })
        .collect();
    slopes.sort_by(f64::total_cmp);
    (!slopes.is_empty()).then(|| [quantile(&slopes, 0.025), quantile(&slopes, 0.975)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_median() {
        for count in 1..40usize {
            let mut values: Vec<f64> = (0..count).map(|i| ((i * 29) % 37) as f64).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            assert_eq!(middle(&mut values), Some(quantile(&sorted, 0.5)));
        }
    }

    const KEY: Key = Key { seed: 0, trial: 0, layer: 0 };
    const ZERO: f64 = f64::NEG_INFINITY;
    const FLOWS: Outcome = Outcome::Flows { uniform_from: None };

    fn of(variance: Vec<f64>, second_moment: Vec<f64>) -> (Direction, Outcome) {
        let series = Series { variance: vec![variance; 3], second_moment: vec![second_moment; 3] };
        let found = direction(&series, Grades { threshold: 1.0, severe: 6.0, fatal: 12.0 }, KEY);
        (found.direction, found.outcome)
    }

    #[test]
    fn a_change_is_graded() {
        let grade = |change: f64| of(vec![0.0, change], vec![0.0, change]).0.severity;
        let cases = [
            (0.9, Severity::None),
            (-1.1, Severity::Mild),
            (6.1, Severity::Severe),
            (-12.1, Severity::Fatal),
        ];
        for (change, severity) in cases {
            assert_eq!(grade(change), severity);
        }
        assert_eq!(of(vec![ZERO; 2], vec![ZERO; 2]).0.severity, Severity::Fatal);
        let chance = Grades { threshold: 1.0, severe: 6.0, fatal: 12.0 }.scaled(2.0, 0.5);
        assert_eq!(chance, Grades { threshold: 2.5, severe: 12.5, fatal: 24.5 });
    }

    #[test]
    fn a_line_is_robust_to_an_outlier() {
        let points: Vec<f64> = (0..20).map(|k| if k == 7 { 99.0 } else { -0.3 * f64::from(k) }).collect();
        assert!((slope(&points).unwrap() + 0.3).abs() < 1e-9);
        assert_eq!(slope(&points[..1]), None);
    }

    #[test]
    fn directions_are_judged_by_the_whole_change() {
        let line = |slope: f64| (0..50).map(|l| slope * f64::from(l)).collect::<Vec<f64>>();
        for (slope, verdict) in
            [(0.01, Verdict::Stable), (0.03, Verdict::Exploding), (-0.03, Verdict::Vanishing)]
        {
            let (found, outcome) = of(line(slope), line(slope));
            assert_eq!((found.verdict, outcome, found.quantity), (verdict, FLOWS, Quantity::Variance));
            assert!((found.log10_per_layer.unwrap() - slope).abs() < 1e-12);
            let [low, high] = found.ci95.unwrap();
            assert!((low - slope).abs() < 1e-12 && (high - slope).abs() < 1e-12);
        }
    }

    #[test]
    fn a_jump_at_one_end_neither_hides_a_trend_nor_is_hidden_by_one() {
        let mut hidden: Vec<f64> = (0..20).map(|l| 0.2 * f64::from(l)).collect();
        hidden[0] = 3.5;
        let (found, _) = of(hidden.clone(), hidden);
        assert!(found.log10_change.unwrap() < 1.0);
        assert_eq!(found.verdict, Verdict::Exploding);
        let mut jump = vec![0.0; 20];
        jump[19] = -3.0;
        let (found, _) = of(jump.clone(), jump);
        assert_eq!((found.log10_per_layer, found.verdict), (Some(0.0), Verdict::Vanishing));
    }

    #[test]
    fn zero_uniform_and_beyond_are_told_apart() {
        let rising = vec![0.0, 2.0, 4.0, 6.0];
        let (found, outcome) = of(vec![ZERO; 4], rising.clone());
        assert_eq!((found.verdict, outcome), (Verdict::Exploding, Outcome::Flows { uniform_from: Some(0) }));
        assert_eq!((found.quantity, found.log10_change), (Quantity::SecondMoment, Some(6.0)));
        let (found, outcome) = of(vec![0.0, -9.0, ZERO, ZERO], vec![0.0; 4]);
        assert_eq!((found.verdict, outcome), (Verdict::Stable, Outcome::Flows { uniform_from: Some(2) }));
        let (found, outcome) = of(vec![ZERO; 4], vec![ZERO; 4]);
        assert_eq!(
            (found.verdict, outcome, found.log10_change),
            (Verdict::Vanishing, Outcome::Zero { place: 0 }, None)
        );
        let (found, outcome) = of(vec![0.0, 1e9, 3.4706e17, 3.4706e17], vec![0.0; 4]);
        assert_eq!(
            (found.verdict, outcome),
            (Verdict::Exploding, Outcome::OutOfRange { place: 2, up: true })
        );
        let (found, _) = of(vec![-3.4706e17; 4], vec![-3.4706e17; 4]);
        assert_eq!((found.verdict, found.log10_per_layer), (Verdict::Vanishing, None));
    }
}
