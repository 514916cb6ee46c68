//! The figure of `initdiag theory`: the length map and the correlation map, each with its diagonal and the walk of a stack.

use super::axis::Axis;
use super::canvas::{Canvas, Stroke};
use super::geometry::{Point, Rect};
use super::legend::{FIRST, GAP, INDENT, SAMPLE};
use super::scales::{below, beside, levels, remark, sharp, title};
use super::style::{COLORS, ENTRY, GRAY, HEADING, LINE, Ruler};
use super::{CONTENT, FOOT, MARGIN, WIDTH, panels, titled};
use crate::report::theory::{number, place};
use crate::theory::survey::Survey;

const HEIGHT: f64 = 684.0;
const HEAD: f64 = 118.0;

/// One map: its curve, the walk along it, and where the walk ends.
struct Map {
    title: String,
    axes: (&'static str, &'static str),
    curve: Vec<(f64, f64)>,
    walk: Vec<f64>,
    fixed: Option<f64>,
    /// Said where there is no curve.
    absent: String,
    range: (f64, f64),
    /// The same scale on both axes.
    axis: Axis,
}

/// The figure as SVG, its font embedded.
pub fn svg(survey: &Survey) -> String {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    heading(&mut canvas, survey);
    for (area, map) in
        panels(HEAD, HEIGHT - FOOT, 1, 2).into_iter().zip([length(survey), correlation(survey)])
    {
        map.draw(&mut canvas, area);
    }
    canvas.finish()
}

fn heading(canvas: &mut Canvas, survey: &Survey) {
    let ruler = Ruler::new();
    let value = |name: &str, value: Option<f64>| value.map(|v| format!("{name} = {}", number(v)));
    let mut facts: Vec<String> = survey.phase.iter().map(ToString::to_string).collect();
    facts.extend(
        [
            value("χ₁", survey.chi1),
            value("q*", survey.q_star),
            value("c*", survey.c_star),
            value("ξ_q", survey.xi_q),
            value("ξ_c", survey.xi_c),
        ]
        .into_iter()
        .flatten(),
    );
    let title = format!("{} at {}", ruler.fitting(&survey.act, HEADING.size, 0.4 * CONTENT), place(survey));
    titled(canvas, &title, &facts, &ruler);
    let mut x = MARGIN;
    for (color, width, text) in [
        (COLORS[0], 3.0, "from a layer to the next"),
        (GRAY, 1.0, "what is kept"),
        (COLORS[1], 1.0, "a stack, from unit variance (a) and orthogonal samples (b)"),
    ] {
        canvas.line(&[(x, FIRST), (x + SAMPLE, FIRST)], Stroke::new(color, width));
        canvas.text(text, (x + INDENT, FIRST), ENTRY);
        x += INDENT + ruler.width(text, ENTRY.size).ceil() + GAP;
    }
    ring(canvas, (x + 8.0, FIRST));
    canvas.text("stable fixed point", (x + 24.0, FIRST), ENTRY);
}

fn ring(canvas: &mut Canvas, at: Point) {
    canvas.ring(at, 6.0, Stroke::new(COLORS[1], 3.0));
}

fn curve(points: &[[f64; 2]]) -> Vec<(f64, f64)> {
    points.iter().map(|p| (p[0], p[1])).collect()
}

fn length(survey: &Survey) -> Map {
    let curve = curve(&survey.maps.length);
    let top = curve.last().map_or(1.0, |p| p.0);
    Map {
        title: "a · Length map: variance of Z from layer to layer".into(),
        axes: ("q, this layer", "q′, the next"),
        curve,
        walk: survey.maps.length_walk.clone(),
        fixed: survey.q_star,
        absent: survey.why.get("q_star").cloned().unwrap_or_default(),
        range: (0.0, top),
        axis: Axis::linear(top),
    }
}

fn correlation(survey: &Survey) -> Map {
    let at = match (survey.maps.correlation_at, survey.limit.name()) {
        (Some(q), _) => format!("at q* = {}", number(q)),
        (None, "every") => "at every q".into(),
        (None, "zero" | "power-law") => "as q goes to 0".into(),
        (None, _) => "as q grows".into(),
    };
    Map {
        title: format!("b · Correlation map: cosine of two samples, {at}"),
        axes: ("c, this layer", "c′, the next"),
        curve: curve(&survey.maps.correlation),
        walk: survey.maps.correlation_walk.clone(),
        fixed: survey.c_star,
        absent: survey.why.get("c_star").cloned().unwrap_or_default(),
        range: (0.0, 1.0),
        axis: Axis::linear(1.0),
    }
}

/// Where a panel's units lie on the figure.
struct Frame {
    plot: Rect,
    range: (f64, f64),
}

impl Frame {
    fn place(&self, (x, y): (f64, f64)) -> Point {
        let share = |v: f64| (v - self.range.0) / (self.range.1 - self.range.0);
        (self.plot.left + share(x) * self.plot.width(), self.plot.bottom - share(y) * self.plot.height())
    }

    fn holds(&self, (x, y): (f64, f64)) -> bool {
        let inside = |v: f64| v >= self.range.0 - 1e-9 && v <= self.range.1 * (1.0 + 1e-9);
        inside(x) && inside(y)
    }
}

impl Map {
    fn draw(&self, canvas: &mut Canvas, area: Rect) {
        let side = (area.width() - 84.0 - 24.0).min(area.height() - 40.0 - 58.0);
        let corner = (area.left + 84.0, area.top + 40.0);
        let plot = Rect::new(corner, (corner.0 + side, corner.1 + side));
        let frame = Frame { plot, range: self.range };
        title(canvas, area, plot, &self.title);
        self.scales(canvas, &frame);
        if self.curve.is_empty() {
            remark(canvas, plot, &self.absent);
            return;
        }
        let ends = [(self.range.0, self.range.0), (self.range.1, self.range.1)];
        canvas.line(&ends.map(|p| frame.place(p)), Stroke::new(GRAY, 1.0));
        // The dot at the foot and the curve along a side are not cut in half.
        canvas.clipped(plot.grown(4.0), |canvas| {
            self.walk(canvas, &frame);
            let points: Vec<Point> = self.curve.iter().map(|p| frame.place(*p)).collect();
            canvas.line(&points, Stroke::new(COLORS[0], 3.0));
        });
        if let Some(fixed) = self.fixed
            && frame.holds((fixed, fixed))
        {
            ring(canvas, frame.place((fixed, fixed)));
        }
    }

    /// Up or down to the curve, across to the diagonal.
    fn walk(&self, canvas: &mut Canvas, frame: &Frame) {
        let Some(start) = self.walk.first().copied().filter(|start| frame.holds((*start, *start))) else {
            return;
        };
        let foot = (start, self.range.0);
        canvas.disc(frame.place(foot), 4.0, &COLORS[1]);
        let mut path = vec![frame.place(foot)];
        for pair in self.walk.windows(2) {
            let (here, next) = (pair[0], pair[1]);
            path.push(frame.place((here, next)));
            if !frame.holds((next, next)) {
                break;
            }
            path.push(frame.place((next, next)));
        }
        canvas.line(&path, Stroke::new(COLORS[1], 1.0));
    }

    fn scales(&self, canvas: &mut Canvas, frame: &Frame) {
        let plot = frame.plot;
        let places: Vec<(Point, &str)> =
            self.axis.ticks.iter().map(|(v, label)| (frame.place((*v, *v)), label.as_str())).collect();
        let lines: Vec<[Point; 2]> =
            places.iter().map(|(p, _)| [(sharp(p.0), plot.top), (sharp(p.0), plot.bottom)]).collect();
        canvas.lines(lines.iter().map(<[_; 2]>::as_slice), Stroke::new(LINE, 1.0));
        levels(canvas, plot, places.iter().map(|(p, label)| (p.1, *label)));
        below(canvas, plot, places.iter().map(|(p, label)| (p.0, *label)), self.axes.0);
        beside(canvas, plot, self.axes.1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::png;
    use super::*;
    use crate::activation::Activation;

    #[test]
    fn every_limit_has_a_picture() {
        for (act, sigma_w2, sigma_b2) in [
            ("tanh", 1.5, 0.05),
            ("relu", 2.0, 0.0),
            ("relu", 2.0, 0.3),
            ("gelu", 4.0, 0.0),
            ("tanh", 0.0, 0.0),
            ("x*x", 0.1, 0.0),
        ] {
            let survey = Survey::new(&Activation::parse(act).unwrap(), sigma_w2, sigma_b2);
            let svg = svg(&survey);
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{act} {sigma_w2}");
            assert!(png(&svg).is_ok());
        }
    }
}
