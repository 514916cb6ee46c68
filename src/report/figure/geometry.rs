//! Points and rectangles of a figure, and what of a line or of an area lies within a rectangle.

/// A point is given by pixels to the right and down from the figure's top left corner.
pub type Point = (f64, f64);

/// Coordinates are taken as no larger than this before they are cut, so that their differences are finite and exact enough.
const FARTHEST: f64 = 1e9;

/// A rectangle is given by its sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    /// This is the least coordinate across.
    pub left: f64,
    /// This is the least coordinate down.
    pub top: f64,
    /// This is the largest coordinate across.
    pub right: f64,
    /// This is the largest coordinate down.
    pub bottom: f64,
}

impl Rect {
    /// Makes a rectangle from its top left corner to its bottom right one.
    pub const fn new((left, top): Point, (right, bottom): Point) -> Self {
        Self { left, top, right, bottom }
    }

    /// Gives its extent across.
    pub fn width(self) -> f64 {
        self.right - self.left
    }

    /// Gives its extent down.
    pub fn height(self) -> f64 {
        self.bottom - self.top
    }

    /// Gives its middle.
    pub fn center(self) -> Point {
        (f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom))
    }

    /// Moves every side outward.
    pub fn grown(self, by: f64) -> Self {
        Self { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }

    /// Divides it into equal parts, row by row.
    pub fn grid(self, rows: usize, columns: usize) -> Vec<Self> {
        let (width, height) = (self.width() / columns as f64, self.height() / rows as f64);
        let corner =
            |row: usize, column: usize| (self.left + width * column as f64, self.top + height * row as f64);
        let cell = |k: usize| {
            let (row, column) = (k / columns, k % columns);
            Self::new(corner(row, column), corner(row + 1, column + 1))
        };
        (0..rows * columns).map(cell).collect()
    }

    /// Says whether a point lies within or on its sides; none does whose coordinate is not a number.
    pub fn contains(self, (x, y): Point) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }

    /// Gives the stretches of a line that lie within, cut at the sides after Liang and Barsky (1984); the line breaks at what is not a number.
    pub fn clip_line(self, line: &[Point]) -> Vec<Vec<Point>> {
        let mut runs: Vec<Vec<Point>> = Vec::new();
        let mut joined = false;
        for ends in line.windows(2) {
            let (Some(a), Some(b)) = (bounded(ends[0]), bounded(ends[1])) else {
                joined = false;
                continue;
            };
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            let (mut from, mut to) = (0.0f64, 1.0f64);
            for (p, q) in [
                (-dx, a.0 - self.left),
                (dx, self.right - a.0),
                (-dy, a.1 - self.top),
                (dy, self.bottom - a.1),
            ] {
                if p == 0.0 && q < 0.0 {
                    to = -1.0;
                } else if p < 0.0 {
                    from = from.max(q / p);
                } else if p > 0.0 {
                    to = to.min(q / p);
                }
            }
            if from > to {
                joined = false;
                continue;
            }
            let at = |t: f64| if t == 1.0 { b } else { (a.0 + t * dx, a.1 + t * dy) };
            match runs.last_mut() {
                Some(run) if joined && from == 0.0 => run.push(at(to)),
                _ => runs.push(vec![at(from), at(to)]),
            }
            joined = to == 1.0;
        }
        runs
    }

    /// Gives the part of a polygon that lies within, cut side by side after Sutherland and Hodgman (1974); corners that are no
    /// numbers are left out.
    pub fn clip_polygon(self, outline: &[Point]) -> Vec<Point> {
        let mut corners: Vec<Point> = outline.iter().filter_map(|p| bounded(*p)).collect();
        let sides = [
            (false, 1.0, self.left),
            (false, -1.0, self.right),
            (true, 1.0, self.top),
            (true, -1.0, self.bottom),
        ];
        for (down, sign, side) in sides {
            let coordinate = |p: Point| sign * if down { p.1 } else { p.0 };
            let least = sign * side;
            let mut kept = Vec::with_capacity(corners.len());
            for (k, here) in corners.iter().enumerate() {
                let before = corners[(k + corners.len() - 1) % corners.len()];
                let (inside, was_inside) = (coordinate(*here) >= least, coordinate(before) >= least);
                if inside != was_inside {
                    let t = (least - coordinate(before)) / (coordinate(*here) - coordinate(before));
                    kept.push((before.0 + t * (here.0 - before.0), before.1 + t * (here.1 - before.1)));
                }
                if inside {
                    kept.push(*here);
                }
            }
            corners = kept;
        }
        corners
    }
}

/// Gives the point with coordinates of moderate size, or nothing where one is not a number.
fn bounded((x, y): Point) -> Option<Point> {
    let within = |v: f64| v.clamp(-FARTHEST, FARTHEST);
    (!x.is_nan() && !y.is_nan()).then(|| (within(x), within(y)))
}

/// Gives the length of a line.
pub fn length(line: &[Point]) -> f64 {
    line.windows(2).map(|ends| (ends[1].0 - ends[0].0).hypot(ends[1].1 - ends[0].1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEN: Rect = Rect::new((0.0, 0.0), (10.0, 10.0));

    #[test]
    fn a_line_is_cut_at_the_sides() {
        let line = [(-5.0, 5.0), (5.0, 5.0), (5.0, 15.0), (8.0, 15.0), (8.0, 5.0)];
        let runs = TEN.clip_line(&line);
        assert_eq!(runs, [vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(8.0, 10.0), (8.0, 5.0)]]);
    }

    #[test]
    fn a_line_through_the_infinite_leaves_upward_and_breaks_at_what_is_no_number() {
        let line = [(1.0, 5.0), (2.0, f64::NEG_INFINITY), (3.0, f64::NAN), (4.0, 1.0), (5.0, 1.0)];
        let runs = TEN.clip_line(&line);
        assert_eq!(runs.len(), 2);
        assert!((runs[0][1].0 - 1.0).abs() < 1e-6 && runs[0][1].1 == 0.0, "{runs:?}");
        assert_eq!(runs[1], [(4.0, 1.0), (5.0, 1.0)]);
    }

    #[test]
    fn a_polygon_is_cut_at_the_sides() {
        let cut = TEN.clip_polygon(&[(2.0, 5.0), (4.0, -1e300), (6.0, 5.0)]);
        assert!(cut.iter().all(|p| TEN.grown(1e-6).contains(*p)) && cut.len() == 4, "{cut:?}");
        assert!(TEN.clip_polygon(&[(20.0, 20.0), (30.0, 20.0), (30.0, 30.0)]).is_empty());
    }

    proptest! {
        #[test]
        fn whatever_the_line_its_parts_are_within(line in prop::collection::vec((any::<f64>(), any::<f64>()), 0..9)) {
            let near = TEN.grown(1e-5);
            prop_assert!(TEN.clip_line(&line).iter().flatten().all(|p| near.contains(*p)));
            prop_assert!(TEN.clip_polygon(&line).iter().all(|p| near.contains(*p)));
        }
    }
}
