//! Labels at the ends of lines.

use super::canvas::{Canvas, Stroke, TextStyle};
use super::geometry::{Point, Rect};
use super::style::Ruler;
use plotters::style::{Color, RGBColor};

/// Labels are set in this size.
pub const SIZE: f64 = 11.0;
/// Two labels are as far apart, from baseline to baseline.
const STEP: f64 = 13.0;
/// From the plot's side to a label.
const GAP: f64 = 12.0;
/// A line that ends before this share of the plot is labelled where it ends.
const EARLY: f64 = 0.5;

/// What a line is, to be said at its end.
pub struct Label {
    pub text: String,
    pub end: Point,
    pub color: RGBColor,
}

/// Room that labels take right of the plot.
pub fn room<'t>(texts: impl Iterator<Item = &'t str>, ruler: &Ruler) -> f64 {
    let widest = texts.map(|text| ruler.width(text, SIZE)).fold(0.0, f64::max);
    if widest > 0.0 { GAP + widest.ceil() + 2.0 } else { 0.0 }
}

/// A color of text that is dark enough to be read.
fn dark(color: RGBColor) -> RGBColor {
    let RGBColor(r, g, b) = color;
    let luminance = 0.3 * f64::from(r) + 0.59 * f64::from(g) + 0.11 * f64::from(b);
    let share = (100.0 / luminance.max(1.0)).min(1.0);
    let part = |c: u8| (f64::from(c) * share).round() as u8;
    RGBColor(part(r), part(g), part(b))
}

/// Writes every label right of the plot as near to the end of its line as the others leave room, joined to it by a thin line; what
/// ends early is labelled there, where `curves` leave room.
pub fn draw(canvas: &mut Canvas, mut labels: Vec<Label>, curves: &[Vec<Point>], plot: Rect, ruler: &Ruler) {
    let early = plot.left + EARLY * plot.width();
    labels.retain(|label| {
        if label.end.0 < early {
            let style = TextStyle::new(SIZE, dark(label.color)).above();
            let at = beside(label, curves, plot, ruler);
            canvas.text(&label.text, at, style);
        }
        label.end.0 >= early
    });
    labels.sort_by(|a, b| a.end.1.total_cmp(&b.end.1));
    let wanted: Vec<f64> = labels.iter().map(|label| label.end.1).collect();
    let places = spread(&wanted, STEP, (plot.top - 4.0, plot.bottom + 2.0));
    for (label, y) in labels.iter().zip(places) {
        let leader = Stroke::new(label.color.mix(0.55), 0.8);
        let (x, end) = (label.end.0.max(plot.left), label.end.1);
        let path = [(x + 3.0, end), (plot.right.max(x) + 2.0, end), (plot.right + GAP - 2.0, y)];
        canvas.line(&path, leader);
        canvas.text(&label.text, (plot.right + GAP, y), TextStyle::new(SIZE, dark(label.color)).level());
    }
}

/// Where the label of a line that ends early begins: the nearest place that no curve leads through, on its baseline.
fn beside(label: &Label, curves: &[Vec<Point>], plot: Rect, ruler: &Ruler) -> Point {
    let width = ruler.width(&label.text, SIZE);
    let (x, y) = label.end;
    let rises = [-6.0, 8.0 + SIZE, 4.0, -20.0, 36.0, -36.0, 52.0];
    let places =
        [6.0, 14.0, 28.0, 48.0].into_iter().flat_map(|along| rises.map(|rise| (x + along, y + rise)));
    let inside = |(left, base): &Point| {
        *base - SIZE > plot.top - 2.0 && *base + 3.0 < plot.bottom && left + width < plot.right
    };
    let crossed = |(left, base): &Point| {
        let rect = Rect::new((left - 2.0, base - SIZE + 1.0), (left + width + 2.0, base + 3.0));
        curves.iter().filter(|curve| crosses(rect, curve)).count()
    };
    places.filter(inside).min_by_key(crossed).unwrap_or((x + 6.0, y - 6.0))
}

/// A curve, or a point that stands alone, leads through a rectangle.
pub fn crosses(rect: Rect, curve: &[Point]) -> bool {
    curve.iter().any(|point| rect.contains(*point)) || !rect.clip_line(curve).is_empty()
}

/// Places at least `step` apart within the ends, as near to the wanted ones, which ascend, as can be: the least sum of squares, found by
/// pooling neighbors that would come too near. Where there is no room for all, they are nearer to each other.
pub fn spread(wanted: &[f64], step: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let count = wanted.len();
    if count == 0 {
        return Vec::new();
    }
    let step = step.min((high - low) / (count.max(2) - 1) as f64);
    // (mean of what is wanted, less the steps before it; members)
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (k, place) in wanted.iter().enumerate() {
        let mut pool = (place - step * k as f64, 1);
        while let Some(before) = pools.last().filter(|before| before.0 > pool.0) {
            let members = before.1 + pool.1;
            pool = ((before.0 * before.1 as f64 + pool.0 * pool.1 as f64) / members as f64, members);
            pools.pop();
        }
        pools.push(pool);
    }
    let top = high - step * (count - 1) as f64;
    let bases =
        pools.iter().flat_map(|(base, members)| std::iter::repeat_n(base.clamp(low, top.max(low)), *members));
    bases.enumerate().map(|(k, base)| base + step * k as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_crosses_a_label_between_its_points_too() {
        let rect = Rect::new((10.0, 10.0), (20.0, 20.0));
        assert!(crosses(rect, &[(0.0, 15.0), (40.0, 15.0)]) && crosses(rect, &[(12.0, 12.0)]));
        assert!(!crosses(rect, &[(0.0, 25.0), (40.0, 25.0)]));
    }

    #[test]
    fn a_label_inside_of_the_plot_keeps_away_from_curves() {
        let plot = Rect::new((0.0, 0.0), (200.0, 100.0));
        let label = Label { text: "embedding".into(), end: (0.0, 50.0), color: RGBColor(0, 0, 0) };
        let ruler = Ruler::new();
        let steep = vec![vec![(2.0, 0.0), (6.0, 45.0), (200.0, 46.0)], vec![(0.0, 50.0)]];
        let (left, base) = beside(&label, &steep, plot, &ruler);
        let rect = Rect::new((left, base - 8.0), (left + ruler.width("embedding", SIZE), base));
        assert!(steep.iter().all(|curve| !crosses(rect, curve)));
    }

    #[test]
    fn labels_keep_apart_and_stay_near_their_lines() {
        let places = spread(&[10.0, 11.0, 12.0, 80.0], 10.0, (0.0, 100.0));
        assert!(places.windows(2).all(|p| p[1] - p[0] >= 10.0 - 1e-9), "{places:?}");
        assert_eq!(places[3], 80.0);
        assert!((places[1] - 11.0).abs() < 1e-9);
        let crowded = spread(&[50.0; 9], 20.0, (0.0, 100.0));
        assert!(crowded[0] >= 0.0 && crowded[8] <= 100.0 + 1e-9, "{crowded:?}");
        assert!(crowded.windows(2).all(|p| p[1] > p[0]));
        let foot = spread(&[99.0, 99.5, 100.0], 10.0, (0.0, 100.0));
        assert_eq!(foot, [80.0, 90.0, 100.0]);
        assert!(spread(&[], 10.0, (0.0, 1.0)).is_empty());
    }
}
