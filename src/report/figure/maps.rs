//! The figure of `initdiag theory`: the length map and the correlation map, each with its diagonal and the walk of a stack.

use super::axis::Axis;
use super::panel::label_left;
use super::style::{COLORS, FAMILY, GREY, INK, LINE, Ruler};
use super::{Area, ChartError, Drawn, GAP, INDENT, MARGIN, SAMPLE, WIDTH, embedded, put};
use crate::report::theory::{number, place};
use crate::theory::survey::Survey;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const HEIGHT: u32 = 684;
const HEAD: i32 = 118;

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
///
/// # Errors
/// When the drawing library refuses an element.
pub fn svg(survey: &Survey) -> Result<String, ChartError> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT)).into_drawing_area();
        let draw = |fault: DrawingAreaErrorKind<std::io::Error>| ChartError::Draw(fault.to_string());
        root.fill(&WHITE).map_err(draw)?;
        heading(&root, survey).map_err(draw)?;
        let panels = root.margin(HEAD, 10, MARGIN, MARGIN).split_evenly((1, 2));
        for (area, map) in panels.iter().zip([length(survey), correlation(survey)]) {
            map.draw(area).map_err(draw)?;
        }
        root.present().map_err(draw)?;
    }
    embedded(text)
}

fn heading(root: &Area, survey: &Survey) -> Drawn {
    let ruler = Ruler::new();
    let room = f64::from(WIDTH as i32 - 2 * MARGIN);
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
    let title = format!("{} at {}", ruler.fitting(&survey.act, 24.0, 0.4 * room), place(survey));
    for (text, top, size, color) in [(title, 22, 24.0, INK), (facts.join(" · "), 58, 16.0, GREY)] {
        put(root, &ruler.fitting(&ruler.shown(&text), size, room), (MARGIN, top), size, color, HPos::Left)?;
    }
    let mut x = MARGIN;
    for (color, width, text) in [
        (COLORS[0], 3, "from a layer to the next"),
        (GREY, 1, "what is kept"),
        (COLORS[1], 1, "a stack, from unit variance (a) and orthogonal samples (b)"),
    ] {
        root.draw(&PathElement::new(vec![(x, 94), (x + SAMPLE, 94)], color.stroke_width(width)))?;
        put(root, text, (x + INDENT, 86), 16.0, INK, HPos::Left)?;
        x += INDENT + ruler.width(text, 16.0).ceil() as i32 + GAP;
    }
    ring(root, (x + 8, 94))?;
    put(root, "stable fixed point", (x + 24, 86), 16.0, INK, HPos::Left)
}

fn ring(area: &Area, at: (i32, i32)) -> Drawn {
    area.draw(&Circle::new(at, 6, WHITE.filled()))?;
    area.draw(&Circle::new(at, 6, COLORS[1].stroke_width(3)))
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

/// Where a panel's units lie, in pixels.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    range: (f64, f64),
}

impl Frame {
    fn exact(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let share = |v: f64| (v - self.range.0) / (self.range.1 - self.range.0);
        let across = self.left + share(x) * (self.right - self.left);
        (across, self.bottom - share(y) * (self.bottom - self.top))
    }

    fn place(&self, point: (f64, f64)) -> (i32, i32) {
        super::pixel(&self.exact(point))
    }

    fn holds(&self, (x, y): (f64, f64)) -> bool {
        let inside = |v: f64| v >= self.range.0 - 1e-9 && v <= self.range.1 * (1.0 + 1e-9);
        inside(x) && inside(y)
    }
}

impl Map {
    fn draw(&self, area: &Area) -> Drawn {
        let (width, height) = area.dim_in_pixel();
        let side = f64::from((width as i32 - 84 - 24).min(height as i32 - 40 - 58));
        let frame =
            Frame { left: 84.0, right: 84.0 + side, top: 40.0, bottom: 40.0 + side, range: self.range };
        self.scales(area, &frame)?;
        if self.curve.is_empty() {
            let middle = ((frame.left + 0.5 * side) as i32, (frame.top + 0.5 * side) as i32);
            return put(area, &self.absent, middle, 15.0, GREY, HPos::Center);
        }
        let ends = [(self.range.0, self.range.0), (self.range.1, self.range.1)];
        area.draw(&PathElement::new(ends.map(|p| frame.place(p)).to_vec(), GREY.stroke_width(1)))?;
        self.walk(area, &frame)?;
        self.line(area, &frame)?;
        if let Some(fixed) = self.fixed
            && frame.holds((fixed, fixed))
        {
            ring(area, frame.place((fixed, fixed)))?;
        }
        Ok(())
    }

    /// The curve as far as it lies within the frame, cut at its top.
    fn line(&self, area: &Area, frame: &Frame) -> Drawn {
        let top = self.range.1;
        let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
        let mut before: Option<(f64, f64)> = None;
        for point in &self.curve {
            if let Some(last) = before
                && (last.1 > top) != (point.1 > top)
            {
                let part = (top - last.1) / (point.1 - last.1);
                let cut = frame.exact((last.0 + part * (point.0 - last.0), top));
                if point.1 > top {
                    runs.last_mut().into_iter().for_each(|run| run.push(cut));
                    runs.push(Vec::new());
                } else {
                    runs.push(vec![cut]);
                }
            }
            if point.1 <= top {
                runs.last_mut().into_iter().for_each(|run| run.push(frame.exact(*point)));
            }
            before = Some(*point);
        }
        for run in runs.into_iter().filter(|run| run.len() > 1) {
            area.draw(&PathElement::new(super::traced(&run), COLORS[0].stroke_width(3)))?;
        }
        Ok(())
    }

    /// Up or down to the curve, across to the diagonal.
    fn walk(&self, area: &Area, frame: &Frame) -> Drawn {
        let style = COLORS[1].stroke_width(1);
        if let Some(start) = self.walk.first() {
            let foot = (*start, self.range.0);
            if frame.holds((*start, *start)) {
                area.draw(&Circle::new(frame.place(foot), 4, COLORS[1].filled()))?;
                if let Some(first) = self.walk.get(1) {
                    let top = first.min(self.range.1);
                    area.draw(&PathElement::new(vec![frame.place(foot), frame.place((*start, top))], style))?;
                }
            }
        }
        for (k, pair) in self.walk.windows(2).enumerate() {
            let (here, next) = (pair[0], pair[1]);
            if !frame.holds((here, here)) {
                break;
            }
            let level = next.min(self.range.1);
            let mut path = vec![(here, level)];
            if k > 0 {
                path.insert(0, (here, here));
            }
            if frame.holds((next, next)) {
                path.push((next, next));
            }
            let path: Vec<(i32, i32)> = path.into_iter().map(|p| frame.place(p)).collect();
            area.draw(&PathElement::new(path, style))?;
        }
        Ok(())
    }

    fn scales(&self, area: &Area, frame: &Frame) -> Drawn {
        let (left, right) = (frame.left as i32, frame.right as i32);
        let (top, bottom) = (frame.top as i32, frame.bottom as i32);
        put(area, &self.title, (left, 8), 17.0, INK, HPos::Left)?;
        for (value, label) in &self.axis.ticks {
            let (x, y) = frame.place((*value, *value));
            area.draw(&PathElement::new(vec![(left, y), (right, y)], LINE.stroke_width(1)))?;
            area.draw(&PathElement::new(vec![(x, top), (x, bottom)], LINE.stroke_width(1)))?;
            area.draw(&PathElement::new(vec![(x, bottom), (x, bottom + 5)], GREY.stroke_width(1)))?;
            label_left(area, label, (left, y), 15.0)?;
            put(area, label, (x, bottom + 9), 15.0, GREY, HPos::Center)?;
        }
        area.draw(&PathElement::new(vec![(left, bottom), (right, bottom)], GREY.stroke_width(1)))?;
        let middle = (i32::midpoint(left, right), bottom + 29);
        put(area, self.axes.0, middle, 15.0, GREY, HPos::Center)?;
        let font = (FAMILY, 15.0).into_font().transform(FontTransform::Rotate270).color(&GREY);
        let font = font.pos(Pos::new(HPos::Center, VPos::Top));
        area.draw_text(self.axes.1, &font, (left - 74, i32::midpoint(top, bottom)))
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
            let svg = svg(&survey).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{act} {sigma_w2}");
            assert!(png(&svg).is_ok());
        }
    }
}
