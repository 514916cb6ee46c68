//! A straight line through points of known error.

use super::Point;
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

/// Least error of a point, in decades: rounding, and what a power law with whole units can be.
const LEAST: f64 = 1e-3;

/// The line log₁₀ y = a·log₁₀ width + b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// a.
    pub exponent: f64,
    /// 95 % interval of a. It has the errors of the points, with Student's quantile; where their distances from the line
    /// exceed these errors (χ² beyond its 95 % quantile), or no errors are known, the distances decide and the interval
    /// widens. `None` for two points without errors.
    pub ci95: Option<[f64; 2]>,
    /// Largest distance of a point from the line, in decades.
    pub misfit: f64,
}

impl Fit {
    /// Least squares with weights 1/error², or equal weights where an error is unknown. `None` for fewer than two
    /// different places.
    pub fn through(points: &[(f64, Point)]) -> Option<Self> {
        let known = points.iter().all(|(_, p)| p.error.is_some());
        let weight = |p: &Point| match p.error {
            Some(error) if known => error.max(LEAST).powi(-2),
            _ => 1.0,
        };
        let total: f64 = points.iter().map(|(_, p)| weight(p)).sum();
        let mean = |of: &dyn Fn(&(f64, Point)) -> f64| {
            points.iter().map(|p| weight(&p.1) * of(p)).sum::<f64>() / total
        };
        let (x, y) = (mean(&|p| p.0), mean(&|p| p.1.value));
        let spread = mean(&|p| (p.0 - x).powi(2));
        let exponent = mean(&|p| (p.0 - x) * (p.1.value - y)) / spread;
        if points.len() < 2 || !exponent.is_finite() {
            return None;
        }
        let distance = |p: &(f64, Point)| p.1.value - y - exponent * (p.0 - x);
        let squares: f64 = points.iter().map(|p| weight(&p.1) * distance(p).powi(2)).sum();
        let error = (total * spread).sqrt().recip();
        let freedom = points.len() as f64 - 2.0;
        let quantile = |freedom: f64| StudentsT::new(0.0, 1.0, freedom).map(|law| law.inverse_cdf(0.975));
        let by_distances = || quantile(freedom).ok().map(|t| t * error * (squares / freedom).sqrt());
        let usual = ChiSquared::new(freedom).map_or(f64::INFINITY, |law| law.inverse_cdf(0.95));
        let half = if !known || squares > usual {
            by_distances()
        } else {
            let trials: usize = points.iter().map(|p| p.1.freedom).sum();
            quantile(trials as f64).ok().map(|t| t * error)
        };
        let half = half.filter(|half| half.is_finite());
        Some(Self {
            exponent,
            ci95: half.map(|half| [exponent - half, exponent + half]),
            misfit: points.iter().map(|p| distance(p).abs()).fold(0.0, f64::max),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64], error: Option<f64>) -> Vec<(f64, Point)> {
        let point = |(k, value): (usize, &f64)| (k as f64, Point { value: *value, error, freedom: 9 });
        values.iter().enumerate().map(point).collect()
    }

    #[test]
    fn a_line_and_its_interval_by_hand() {
        // Three points: the slope is half of the outer difference, its error error/√2.
        let fit = Fit::through(&points(&[1.0, 3.05, 5.0], Some(0.1))).unwrap();
        assert!((fit.exponent - 2.0).abs() < 1e-12);
        let [low, high] = fit.ci95.unwrap();
        // Student's 97.5 % quantile at 27 degrees of freedom is 2.0518.
        assert!((high - low - 2.0 * 2.051_83 * 0.1 / 2f64.sqrt()).abs() < 1e-4);
        assert!((fit.misfit - 0.05 * 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_power_law_widens_the_interval() {
        let bent = Fit::through(&points(&[0.0, 1.0, 0.0, 1.0], Some(0.01))).unwrap();
        let [low, high] = bent.ci95.unwrap();
        // Slope 0.2; distances 0.3, −0.5… : squares 0.8 over 2, error √(0.4/5) and quantile 4.3027.
        assert!((bent.exponent - 0.2).abs() < 1e-12);
        assert!((high - low - 2.0 * 4.302_65 * (0.4f64 / 5.0).sqrt()).abs() < 1e-3, "{low} {high}");
        assert_eq!(Fit::through(&points(&[0.0, 1.0, 0.0, 1.0], None)).unwrap().ci95, bent.ci95);
    }

    #[test]
    fn too_few_points_have_no_line_or_no_interval() {
        assert_eq!(Fit::through(&points(&[1.0], Some(0.1))), None);
        assert_eq!(Fit::through(&points(&[1.0, 2.0], None)).unwrap().ci95, None);
        assert!(Fit::through(&points(&[1.0, 2.0], Some(0.1))).unwrap().ci95.is_some());
    }
}
