//! The data of an SVG path, written with two decimals and in few characters.

use super::geometry::Point;
use std::fmt::Write as _;

/// This is a path's data: every run begins at a point, and steps follow. Rounded points are subtracted, so roundings do not add up.
#[derive(Default)]
pub struct Path {
    text: String,
}

impl Path {
    pub fn data(&self) -> &str {
        &self.text
    }

    pub fn run(&mut self, points: &[Point], closed: bool) {
        let mut rounded = points.iter().map(|p| (hundredths(p.0), hundredths(p.1)));
        let Some(mut at) = rounded.next() else { return };
        self.text.push('M');
        push_decimal(&mut self.text, at.0);
        self.next(at.1);
        let mut first = true;
        for to in rounded {
            let (dx, dy) = (to.0 - at.0, to.1 - at.1);
            if (dx, dy) == (0, 0) {
                continue;
            }
            if first {
                self.text.push('l');
                push_decimal(&mut self.text, dx);
            } else {
                self.next(dx);
            }
            self.next(dy);
            (at, first) = (to, false);
        }
        if closed {
            self.text.push('z');
        }
    }

    /// Writes a further number; its sign separates it from the one before, and else a space.
    fn next(&mut self, value: i64) {
        if value >= 0 {
            self.text.push(' ');
        }
        push_decimal(&mut self.text, value);
    }
}

pub fn hundredths(value: f64) -> i64 {
    (100.0 * value).round() as i64
}

/// Writes at most two decimals, without zeros at the end nor before the point.
pub fn push_decimal(text: &mut String, hundredths: i64) {
    if hundredths < 0 {
        text.push('-');
    }
    let size = hundredths.unsigned_abs();
    let (whole, part) = (size / 100, size % 100);
    if whole > 0 || part == 0 {
        let _ = write!(text, "{whole}");
    }
    if part > 0 && part.is_multiple_of(10) {
        let _ = write!(text, ".{}", part / 10);
    } else if part > 0 {
        let _ = write!(text, ".{part:02}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_decimals_at_most() {
        let shown = |value: f64| {
            let mut text = String::new();
            push_decimal(&mut text, hundredths(value));
            text
        };
        let values = [0.0, -0.001, 0.5, -0.25, 12.0, 100.004, 99.999, -3.1, 7.05];
        assert_eq!(values.map(shown), ["0", "0", ".5", "-.25", "12", "100", "100", "-3.1", "7.05"]);
    }

    #[test]
    fn roundings_do_not_add_up() {
        let mut path = Path::default();
        let points: Vec<Point> = (0..=1000).map(|k| (f64::from(k) * 0.1234, 5.0)).collect();
        path.run(&points, false);
        let steps = path.data().split_once('l').map_or("", |d| d.1).split(' ').step_by(2);
        let across: f64 = steps.map(|step| step.parse::<f64>().unwrap()).sum();
        assert!((across - 123.4).abs() < 0.006, "{across}");
    }
}
