//! Tests of one number a trial.

use super::TOLERANCE;
use crate::result::{Quantiles, Sample};
use statrs::distribution::{Binomial, ContinuousCDF, Discrete, DiscreteCDF, Normal, StudentsT};

/// Decades of spread below which Student's law is not trusted alone: a quantity of two possible values, each alike in all
/// its trials, has no spread in either run and may still differ by chance.
const DISCRETE: f64 = 1e-4;

/// Where values lie, and how surely that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Center {
    value: f64,
    /// Variance of the value.
    variance: f64,
    /// Degrees of freedom of that variance.
    freedom: f64,
    count: usize,
}

impl Center {
    /// The mean; `None` for fewer than two values, which have no spread.
    pub fn mean(sample: Sample) -> Option<Self> {
        let count = sample.count as f64;
        let sound = sample.mean.is_finite() && sample.sd.is_finite() && sample.sd >= 0.0;
        (sample.count > 1 && sound).then(|| Self {
            value: sample.mean,
            variance: sample.sd * sample.sd / count,
            freedom: count - 1.0,
            count: sample.count,
        })
    }

    /// The median, for results that hold quantiles alone. The standard deviation is the larger of what the middle half and
    /// the middle 90 % say, each over its expectation for so many normal values (Blom 1958); the degrees of freedom
    /// are those of the 5–95 % range, whose asymptotic efficiency is 0.64 (2(p(1 − p) − p²)/(2z·φ(z))² against 1/2). A quantile that is missing is a zero's, and then there is no test.
    pub fn median(q: &Quantiles, trials: usize) -> Option<Self> {
        let (median, inner, outer) = (q.median?, q.q75? - q.q25?, q.q95? - q.q05?);
        let width = |p: f64| expected(trials, 1.0 - p) - expected(trials, p);
        let sd = (inner / width(0.25)).max(outer / width(0.05));
        let count = trials as f64;
        let sound = trials > 1 && median.is_finite() && sd.is_finite() && sd >= 0.0;
        sound.then(|| Self {
            value: median,
            variance: std::f64::consts::FRAC_PI_2 * sd * sd / count,
            freedom: 0.64 * (count - 1.0),
            count: trials,
        })
    }
}

/// Expected type-7 quantile of `count` standard normal values, by Blom's scores Φ⁻¹((i − 3/8)/(n + 1/4)).
fn expected(count: usize, p: f64) -> f64 {
    let Ok(normal) = Normal::new(0.0, 1.0) else { return 0.0 };
    let score = |i: f64| normal.inverse_cdf((i + 0.625) / (count as f64 + 0.25));
    let place = p * count.saturating_sub(1) as f64;
    let (low, part) = (place.floor(), place.fract());
    if part == 0.0 { score(low) } else { (1.0 - part) * score(low) + part * score(low + 1.0) }
}

/// What a test finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// New less old, in decades.
    pub difference: Option<f64>,
    /// Standard error of the difference.
    pub standard_error: Option<f64>,
    /// Trials that are zero, where they are compared.
    pub zeros: Option<[usize; 2]>,
    /// Two-sided, for this test alone.
    pub p: f64,
    /// No correction makes it smaller than this.
    pub least: f64,
    /// Difference over standard error; orders tests whose p underflows.
    pub score: f64,
    freedom: f64,
}

impl Outcome {
    /// The smallest difference in decades that such a test calls one at this level.
    pub fn resolution(&self, level: f64) -> Option<f64> {
        let (mut low, mut high) = (0.0f64, 1e9f64);
        for _ in 0..100 {
            // By halves of its logarithm, for it may be of any size.
            let middle = (low.max(1e-3) * high).sqrt();
            if two_sided(middle, self.freedom) > level { low = middle } else { high = middle }
        }
        Some(high * self.standard_error? + TOLERANCE)
    }
}

/// P(|T| ≥ t) of Student's law.
fn two_sided(t: f64, freedom: f64) -> f64 {
    if t <= 0.0 {
        return 1.0;
    }
    if !t.is_finite() {
        return 0.0;
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(1.0, |law| (2.0 * law.cdf(-t)).clamp(0.0, 1.0))
}

/// Whether two centers differ by more than [`TOLERANCE`]: the larger p of Welch's test (1947) and of Student's with one
/// spread for both, which equal laws have.
///
/// Welch's alone takes a few values that lie close together by chance for exact; Student's alone takes a few values among
/// which an outlier is for certain, where the other run has many. Welch's degrees of freedom are at most twice those of the
/// smaller sample, so that many trials on one side do not vouch for few on the other.
pub fn compare(new: &Center, old: &Center) -> Option<Outcome> {
    let difference = new.value - old.value;
    let beyond = difference.abs() - TOLERANCE;
    let counts = (new.count as f64, old.count as f64);
    let total = new.freedom + old.freedom;
    // Of one value.
    let spreads = (new.variance * counts.0, old.variance * counts.1);
    let pooled = (new.freedom * spreads.0 + old.freedom * spreads.1) / total;
    let test = |variance: f64, freedom: f64| {
        let score = match variance {
            v if v > 0.0 => beyond / v.sqrt(),
            _ if beyond > 0.0 => f64::INFINITY,
            _ => 0.0,
        };
        Outcome {
            difference: Some(difference),
            standard_error: Some(variance.sqrt()),
            zeros: None,
            p: two_sided(score, freedom),
            least: 0.0,
            score,
            freedom,
        }
    };
    let own = new.variance + old.variance;
    let parts = new.variance.powi(2) / new.freedom + old.variance.powi(2) / old.freedom;
    let smaller = new.freedom.min(old.freedom);
    let freedom = if parts > 0.0 { (own * own / parts).min(2.0 * smaller) } else { smaller };
    let (welch, student) = (test(own, freedom), test(pooled * (1.0 / counts.0 + 1.0 / counts.1), total));
    let found = if welch.p >= student.p { welch } else { student };
    let spread = (0.5 * (spreads.0 + spreads.1)).sqrt();
    let least = if spread < DISCRETE { 0.5f64.powf(counts.0 + counts.1 - 1.0) } else { 0.0 };
    difference.is_finite().then_some(Outcome { least, ..found })
}

/// Whether the share of trials that are zero differs: the exact test without conditions (Barnard 1945), whose p is the
/// largest over all chances of a zero. `None` where no trial is zero in either run.
///
/// Where all trials of one run are zero and none of the other, it is at most `chance`, that of a trial to die by chance in a
/// run whose laws are symmetric: depth·2^(−units of the narrowest layer).
pub fn zeros(zeros: (usize, usize), trials: (usize, usize), chance: f64) -> Option<Outcome> {
    let ((x, y), (a, b)) = (zeros, trials);
    if a == 0 || b == 0 || x + y == 0 {
        return None;
    }
    let share = |k: usize, of: usize| k as f64 / of as f64;
    let seen = (share(x, a) - share(y, b)).abs();
    let mut p = if seen > 0.0 { largest(seen, a, b) } else { 1.0 };
    if (x == a && y == 0) || (x == 0 && y == b) {
        p = p.min(chance);
    }
    Some(Outcome {
        difference: None,
        standard_error: None,
        zeros: Some([x, y]),
        p,
        least: 0.0,
        score: seen,
        freedom: 1.0,
    })
}

/// The largest over p of P(|X/a − Y/b| ≥ seen), X and Y binomial with this p.
///
/// For many trials Hoeffding's bound (1963) of it, 2 exp(−2·seen²/(1/a + 1/b)).
fn largest(seen: f64, a: usize, b: usize) -> f64 {
    const GRID: usize = 200;
    const MANY: usize = 200;
    if a.max(b) > MANY {
        return (2.0 * (-2.0 * seen * seen / (1.0 / a as f64 + 1.0 / b as f64)).exp()).min(1.0);
    }
    let at = |k: usize| {
        let p = (k as f64 + 0.5) / (2 * GRID) as f64;
        let (Ok(first), Ok(second)) = (Binomial::new(p, a as u64), Binomial::new(p, b as u64)) else {
            return 1.0;
        };
        (0..=a)
            .map(|x| {
                let share = x as f64 / a as f64;
                let below = ((share - seen) * b as f64 + 1e-9).floor();
                let above = ((share + seen) * b as f64 - 1e-9).ceil();
                let low = if below >= 0.0 { second.cdf(below as u64) } else { 0.0 };
                let high = match above {
                    k if k > b as f64 => 0.0,
                    k if k < 1.0 => 1.0,
                    k => second.sf(k as u64 - 1),
                };
                first.pmf(x as u64) * (low + high).min(1.0)
            })
            .sum::<f64>()
    };
    // Symmetric about ½ with X → a − X, Y → b − Y.
    (0..=GRID).map(at).fold(0.0, f64::max).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn center(mean: f64, sd: f64, count: usize) -> Center {
        Center::mean(Sample { mean, sd, count }).unwrap()
    }

    #[test]
    fn welch_by_hand() {
        // Equal spreads and counts: 18 degrees of freedom; t = 2.1009 has p = 0.05 two-sided (any table).
        let error = (0.01f64 * 2.0 / 10.0).sqrt();
        let shift = 2.100_922 * error + TOLERANCE;
        let found = compare(&center(shift, 0.1, 10), &center(0.0, 0.1, 10)).unwrap();
        assert!((found.p - 0.05).abs() < 1e-6, "{}", found.p);
        assert!((found.standard_error.unwrap() - error).abs() < 1e-12);
        assert!((found.resolution(0.05).unwrap() - shift).abs() < 1e-6);
        // One degree of freedom on one side, all of the spread there: Cauchy's law, P(|t| ≥ 1) = 1/2 with Welch's error
        // √½; Student's is √(1/9·(½ + 1/10)) and its p smaller.
        let found = compare(&center(TOLERANCE + 0.5f64.sqrt(), 1.0, 2), &center(0.0, 0.0, 10)).unwrap();
        assert!((found.p - 0.5).abs() < 1e-9, "{}", found.p);
        // Two values that are equal by chance are not known exactly: Student's test, spread √(99/100), 100 freedoms.
        let found = compare(&center(2.0, 0.0, 2), &center(0.0, 1.0, 100)).unwrap();
        let error = (0.99f64 * 0.51).sqrt();
        assert!((found.standard_error.unwrap() - error).abs() < 1e-12 && found.p > 0.004, "{found:?}");
    }

    #[test]
    fn no_spread_is_a_difference_only_where_chance_is_not() {
        let far = compare(&center(1.0, 0.0, 10), &center(0.0, 0.0, 10)).unwrap();
        assert_eq!((far.p, far.least), (0.0, 0.5f64.powi(19)));
        assert_eq!(compare(&center(1.0, 0.0, 2), &center(0.0, 0.0, 2)).unwrap().least, 0.125);
        assert_eq!(compare(&center(1e-3, 0.0, 9), &center(0.0, 0.0, 9)).unwrap().p, 1.0);
        assert_eq!(Center::mean(Sample { mean: 0.0, sd: 0.0, count: 1 }), None);
    }

    #[test]
    fn zeros_by_hand() {
        // All of ten against none of ten: 2·p¹⁰(1 − p)¹⁰ is largest at p = ½.
        let p = zeros((10, 0), (10, 10), 1.0).unwrap().p;
        assert!((p - 0.5f64.powi(19)).abs() < 1e-9, "{p}");
        assert!(zeros((2, 0), (2, 2), 1.0).unwrap().p > 0.12);
        assert!(zeros((2, 0), (2, 2), 1e-9).unwrap().p <= 1e-9);
        assert_eq!(zeros((3, 3), (10, 10), 1.0).unwrap().p, 1.0);
        assert!(zeros((0, 0), (10, 10), 1.0).is_none());
        // One of one against none of four: p(1 − p)⁴ + (1 − p)p⁴ is largest near p = 1/5, 0.0819 + 0.0013.
        let p = zeros((1, 0), (1, 4), 1.0).unwrap().p;
        assert!((p - 0.0832).abs() < 1e-3, "{p}");
        assert!(zeros((5000, 0), (5000, 5000), 1.0).unwrap().p < 1e-300);
    }

    #[test]
    fn a_spread_from_quantiles_is_that_of_the_values() {
        use crate::measure::summary::quantile;
        use crate::numeric::stream::{Key, Part, Role};
        use rand_distr::{Distribution, StandardNormal};
        for (count, low, high) in [(3, 0.9, 1.35), (10, 0.95, 1.2), (100, 0.97, 1.1)] {
            let mut total = 0.0;
            for trial in 0..2000 {
                let mut rng = Key { seed: 5, trial, layer: 0 }.stream(Role::Bootstrap, Part::Block(0));
                let mut values: Vec<f64> = (0..count).map(|_| StandardNormal.sample(&mut rng)).collect();
                values.sort_by(f64::total_cmp);
                let at = |p| Some(quantile(&values, p));
                let q = Quantiles {
                    median: at(0.5),
                    q05: at(0.05),
                    q25: at(0.25),
                    q75: at(0.75),
                    q95: at(0.95),
                    log10_of_mean: None,
                };
                let center = Center::median(&q, count).unwrap();
                total += (center.variance * count as f64 / std::f64::consts::FRAC_PI_2).sqrt() / 2000.0;
            }
            // The larger of two estimates is above the truth, by less the more values there are.
            assert!((low..high).contains(&total), "{count}: {total}");
        }
    }
}
