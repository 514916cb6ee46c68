//! What panels have in common: a title, levels with their labels, and a horizontal axis.

use super::canvas::{Canvas, Stroke};
use super::geometry::{Point, Rect};
use super::style::{GRAY, LINE, TICK, TITLE};

/// Gives a near coordinate at which a line of one pixel is sharp.
pub fn sharp(v: f64) -> f64 {
    v.floor() + 0.5
}

/// Writes a panel's title over the left side of its plot.
pub fn title(canvas: &mut Canvas, area: Rect, plot: Rect, text: &str) {
    canvas.text(text, (plot.left, area.top + 8.0), TITLE);
}

/// Draws thin lines across the plot, labelled on the left.
pub fn levels<'t>(canvas: &mut Canvas, plot: Rect, ticks: impl Iterator<Item = (f64, &'t str)>) {
    let mut lines: Vec<[Point; 2]> = Vec::new();
    for (y, label) in ticks {
        lines.push([(plot.left, sharp(y)), (plot.right, sharp(y))]);
        label_left(canvas, label, (plot.left, y));
    }
    canvas.lines(lines.iter().map(<[_; 2]>::as_slice), Stroke::new(LINE, 1.0));
}

/// Writes a text that ends beside a vertical axis.
pub fn label_left(canvas: &mut Canvas, text: &str, (x, y): Point) {
    canvas.text(text, (x - 8.0, y), TICK.ending().level());
}

/// Draws the axis below the plot: a line, ticks with their labels, and what it shows.
pub fn below<'t>(
    canvas: &mut Canvas,
    plot: Rect,
    ticks: impl Iterator<Item = (f64, &'t str)>,
    quantity: &str,
) {
    let foot = sharp(plot.bottom);
    let mut lines = vec![[(plot.left, foot), (plot.right, foot)]];
    for (x, label) in ticks {
        lines.push([(sharp(x), foot), (sharp(x), foot + 5.0)]);
        canvas.text(label, (x, foot + 9.0), TICK.centered());
    }
    canvas.lines(lines.iter().map(<[_; 2]>::as_slice), Stroke::new(GRAY, 1.0));
    canvas.text(quantity, (plot.center().0, foot + 29.0), TICK.centered());
}

/// Says beside a vertical axis what it shows.
pub fn beside(canvas: &mut Canvas, plot: Rect, quantity: &str) {
    canvas.text(quantity, (plot.left - 76.0, plot.center().1), TICK.centered().upward());
}

/// Says something in the middle of a plot that shows nothing.
pub fn remark(canvas: &mut Canvas, plot: Rect, text: &str) {
    canvas.text(text, plot.center(), TICK.centered().level());
}
