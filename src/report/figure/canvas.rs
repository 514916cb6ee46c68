//! A drawing as SVG: typed shapes, coordinates with two decimals, lines and areas cut to what can be seen.

use super::geometry::{Point, Rect};
use super::path::{Path, hundredths, push_decimal};
use super::style::{FAMILY, FONT};
use base64::Engine as _;
use plotters::style::{Color, RGBAColor, RGBColor};
use std::fmt::Write as _;

/// How far outside its clip path, or outside the figure, something is still written: more than half of any stroke's width.
const BEYOND: f64 = 16.0;
/// The end of a line no wider than this shows no slant, so it need not cross the side that it is cut at.
const THIN: f64 = 2.0;

/// Says how a line is drawn.
#[derive(Clone, Copy)]
pub struct Stroke {
    color: RGBAColor,
    width: f64,
    dash: &'static [f64],
    offset: f64,
}

impl Stroke {
    /// Makes an unbroken line.
    pub fn new(color: impl Color, width: f64) -> Self {
        Self { color: color.to_rgba(), width, dash: &[], offset: 0.0 }
    }

    /// Takes lengths that are drawn and left out in turn; the line is unbroken where there are none.
    pub fn dashed(self, dash: &'static [f64]) -> Self {
        Self { dash, ..self }
    }

    /// Continues the dashes of a line of this length.
    pub fn after(self, length: f64) -> Self {
        let period: f64 = self.dash.iter().sum();
        Self { offset: if period > 0.0 { length % period } else { 0.0 }, ..self }
    }
}

/// Says which part of a text stands at its point, in the words of SVG's `text-anchor`.
#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// Says what of a line of text stands at the height of its point.
#[derive(Clone, Copy)]
enum Level {
    Top,
    Middle,
    Baseline,
}

/// Says how a text is set; its point is its top left corner unless another is chosen.
#[derive(Clone, Copy)]
pub struct TextStyle {
    /// This is the em in pixels.
    pub size: f64,
    color: RGBColor,
    anchor: Anchor,
    level: Level,
    upward: bool,
    edged: bool,
}

impl TextStyle {
    /// Makes a style of a size in pixels and a color.
    pub const fn new(size: f64, color: RGBColor) -> Self {
        Self { size, color, anchor: Anchor::Start, level: Level::Top, upward: false, edged: false }
    }

    /// Sets it in another size.
    pub const fn sized(self, size: f64) -> Self {
        Self { size, ..self }
    }

    /// Puts the middle of the text at its point.
    pub const fn centered(self) -> Self {
        Self { anchor: Anchor::Middle, ..self }
    }

    /// Puts the end of the text at its point.
    pub const fn ending(self) -> Self {
        Self { anchor: Anchor::End, ..self }
    }

    /// Puts the middle of the capitals at the height of the point.
    pub const fn level(self) -> Self {
        Self { level: Level::Middle, ..self }
    }

    /// Puts the baseline at the height of the point.
    pub const fn above(self) -> Self {
        Self { level: Level::Baseline, ..self }
    }

    /// Gives its letters a white edge, which parts them from what is beneath.
    pub const fn edged(self) -> Self {
        Self { edged: true, ..self }
    }

    /// Turns the text about its point, so that it reads upward.
    pub const fn upward(self) -> Self {
        Self { upward: true, ..self }
    }
}

/// This is a figure while it is drawn.
pub struct Canvas {
    text: String,
    /// Nothing is written beyond it.
    bounds: Rect,
    /// Says whether something crossed the innermost clip path.
    crossed: bool,
    clip: Option<Rect>,
    clips: usize,
}

impl Canvas {
    /// Begins a white figure with its font inside.
    pub fn new(width: f64, height: f64) -> Self {
        let font = base64::engine::general_purpose::STANDARD.encode(FONT);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"{FAMILY}\" fill=\"none\" stroke-linejoin=\"round\">\n\
             <style>@font-face{{font-family:\"{FAMILY}\";src:url(data:font/otf;base64,{font}) format(\"opentype\");}}</style>\n"
        );
        let page = Rect::new((0.0, 0.0), (width, height));
        let mut canvas = Self { text, bounds: page.grown(BEYOND), crossed: false, clip: None, clips: 0 };
        canvas.tiles(&[page], &RGBColor(255, 255, 255));
        canvas
    }

    /// Begins a figure whose width in print is known; its height keeps the proportions.
    pub fn printed(width: f64, height: f64, centimeters: f64) -> Self {
        let mut canvas = Self::new(width, height);
        let tall = height * centimeters / width;
        let (given, sized) = (
            format!("width=\"{width}\" height=\"{height}\""),
            format!("width=\"{centimeters:.2}cm\" height=\"{tall:.3}cm\""),
        );
        canvas.text = canvas.text.replacen(&given, &sized, 1);
        canvas
    }

    /// Ends the figure and gives its SVG.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    /// Draws within a rectangle alone. Areas and thin lines are cut at its sides; a clip path is written only where a wide line or a
    /// circle crosses them, for a renderer makes a picture of its own for each.
    pub fn clipped(&mut self, rect: Rect, draw: impl FnOnce(&mut Self)) {
        let outer = (self.bounds, self.clip, self.crossed);
        (self.bounds, self.clip, self.crossed) = (rect.grown(BEYOND), Some(rect), false);
        let start = self.text.len();
        draw(self);
        if self.crossed {
            let name = format!("clip{}", self.clips);
            self.clips += 1;
            let mut head = std::mem::take(&mut self.text);
            let inside = head.split_off(start);
            self.text = head;
            let _ = write!(self.text, "<clipPath id=\"{name}\"><rect");
            self.sides(rect);
            let _ = write!(self.text, "/></clipPath>\n<g clip-path=\"url(#{name})\">\n{inside}</g>\n");
        }
        (self.bounds, self.clip, self.crossed) = outer;
    }

    /// Draws a line through points.
    pub fn line(&mut self, points: &[Point], stroke: Stroke) {
        self.lines([points], stroke);
    }

    /// Draws lines of one stroke; the dashes of each begin anew.
    pub fn lines<'p>(&mut self, lines: impl IntoIterator<Item = &'p [Point]>, stroke: Stroke) {
        let mut path = Path::default();
        let clip = self.clip.unwrap_or(self.bounds);
        let within = if stroke.width > THIN { self.bounds } else { clip };
        for line in lines {
            self.crossed |= stroke.width > THIN && !line.iter().all(|p| clip.contains(*p));
            for run in within.clip_line(line) {
                path.run(&run, false);
            }
        }
        if path.data().is_empty() {
            return;
        }
        let _ = write!(self.text, "<path d=\"{}\"", path.data());
        self.stroke(stroke);
        self.text.push_str("/>\n");
    }

    /// Fills a polygon.
    pub fn area(&mut self, outline: &[Point], color: &impl Color) {
        let mut path = Path::default();
        path.run(&self.clip.unwrap_or(self.bounds).clip_polygon(outline), true);
        self.filled_path(&path, color, "");
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, rect: Rect, color: &impl Color) {
        self.text.push_str("<rect");
        self.sides(rect);
        self.color("fill", color);
        self.text.push_str("/>\n");
    }

    /// Fills rectangles whose sides are whole pixels with one color, without the seams that smoothed edges of neighbors would show.
    pub fn tiles(&mut self, tiles: &[Rect], color: &impl Color) {
        let mut path = Path::default();
        for t in tiles {
            path.run(&[(t.left, t.top), (t.right, t.top), (t.right, t.bottom), (t.left, t.bottom)], true);
        }
        self.filled_path(&path, color, " shape-rendering=\"crispEdges\"");
    }

    /// Draws the outline of a rectangle.
    pub fn outline(&mut self, rect: Rect, stroke: Stroke) {
        self.text.push_str("<rect");
        self.sides(rect);
        self.stroke(stroke);
        self.text.push_str("/>\n");
    }

    /// Fills a circle.
    pub fn disc(&mut self, center: Point, radius: f64, color: &impl Color) {
        if self.circle(center, radius) {
            self.color("fill", color);
            self.text.push_str("/>\n");
        }
    }

    /// Draws a circle's line about white.
    pub fn ring(&mut self, center: Point, radius: f64, stroke: Stroke) {
        if self.circle(center, radius) {
            self.color("fill", &RGBColor(255, 255, 255));
            self.stroke(stroke);
            self.text.push_str("/>\n");
        }
    }

    /// Writes one line of text. Control characters, which XML cannot hold, become question marks.
    pub fn text(&mut self, text: &str, (x, y): Point, style: TextStyle) {
        if text.is_empty() || !self.bounds.contains((x, y)) {
            return;
        }
        // Inter's capitals are 0.73 em high; with a little room above them.
        let down = match style.level {
            Level::Top => 0.76,
            Level::Middle => 0.36,
            Level::Baseline => 0.0,
        } * style.size;
        let (x, y) = if style.upward { (x + down, y) } else { (x, y + down) };
        self.text.push_str("<text");
        self.number("x", x);
        self.number("y", y);
        if style.upward {
            self.text.push_str(" transform=\"rotate(-90");
            for value in [x, y] {
                self.text.push(' ');
                push_decimal(&mut self.text, hundredths(value));
            }
            self.text.push_str(")\"");
        }
        match style.anchor {
            Anchor::Start => {}
            Anchor::Middle => self.text.push_str(" text-anchor=\"middle\""),
            Anchor::End => self.text.push_str(" text-anchor=\"end\""),
        }
        self.number("font-size", style.size);
        self.color("fill", &style.color);
        if style.edged {
            self.text.push_str(" stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\"");
        }
        self.text.push('>');
        for c in text.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => self.text.push('?'),
                c => self.text.push(c),
            }
        }
        self.text.push_str("</text>\n");
    }

    fn circle(&mut self, center: Point, radius: f64) -> bool {
        let seen = self.bounds.contains(center);
        if seen {
            self.crossed |= self.clip.is_some_and(|clip| !clip.grown(-radius).contains(center));
            self.text.push_str("<circle");
            self.number("cx", center.0);
            self.number("cy", center.1);
            self.number("r", radius);
        }
        seen
    }

    fn filled_path(&mut self, path: &Path, color: &impl Color, more: &str) {
        if !path.data().is_empty() {
            let _ = write!(self.text, "<path d=\"{}\"{more}", path.data());
            self.color("fill", color);
            self.text.push_str("/>\n");
        }
    }

    fn sides(&mut self, rect: Rect) {
        self.number("x", rect.left);
        self.number("y", rect.top);
        self.number("width", rect.width());
        self.number("height", rect.height());
    }

    fn stroke(&mut self, stroke: Stroke) {
        self.color("stroke", &stroke.color);
        self.number("stroke-width", stroke.width);
        if !stroke.dash.is_empty() {
            self.text.push_str(" stroke-dasharray=\"");
            for (k, length) in stroke.dash.iter().enumerate() {
                if k > 0 {
                    self.text.push(' ');
                }
                push_decimal(&mut self.text, hundredths(*length));
            }
            self.text.push('"');
            if stroke.offset > 0.0 {
                self.number("stroke-dashoffset", stroke.offset);
            }
        }
    }

    /// Opacity is said of the fill or the stroke: said of a shape as a whole, it costs a renderer a picture of its own for each.
    fn color(&mut self, name: &str, color: &impl Color) {
        let (red, green, blue) = color.rgb();
        let _ = write!(self.text, " {name}=\"#{red:02x}{green:02x}{blue:02x}\"");
        if color.alpha() < 1.0 {
            self.number(&format!("{name}-opacity"), color.alpha());
        }
    }

    fn number(&mut self, name: &str, value: f64) {
        let _ = write!(self.text, " {name}=\"");
        push_decimal(&mut self.text, hundredths(value));
        self.text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resvg::usvg::roxmltree::Document;

    const BLACK: RGBColor = RGBColor(0, 0, 0);

    fn drawn(draw: impl FnOnce(&mut Canvas)) -> String {
        let mut canvas = Canvas::new(100.0, 50.0);
        draw(&mut canvas);
        let text = canvas.finish();
        assert!(Document::parse(&text).is_ok(), "{text}");
        // What stands behind the font and the white page.
        text.splitn(4, '\n')
            .nth(3)
            .unwrap_or_default()
            .trim_end()
            .trim_end_matches("</svg>")
            .trim_end()
            .into()
    }

    #[test]
    fn a_line_is_a_path_of_steps() {
        let points = [(1.0, 2.0), (3.5, 1.0), (3.501, 1.0), (4.0, 1.25)];
        let stroke = Stroke::new(BLACK, 1.5).dashed(&[6.0, 4.5]).after(23.0);
        assert_eq!(
            drawn(|c| c.line(&points, stroke)),
            "<path d=\"M1 2l2.5-1 .5 .25\" stroke=\"#000000\" stroke-width=\"1.5\" stroke-dasharray=\"6 4.5\" stroke-dashoffset=\"2\"/>"
        );
    }

    #[test]
    fn a_figure_for_print_says_its_size_in_centimeters() {
        let text = Canvas::printed(370.5, 741.0, 8.5).finish();
        assert!(text.contains("width=\"8.50cm\" height=\"17.000cm\" viewBox=\"0 0 370.5 741\""));
        let tree = resvg::usvg::Tree::from_str(&text, &resvg::usvg::Options::default()).unwrap();
        assert!((f64::from(tree.size().width()) - 8.5 / 2.54 * 96.0).abs() < 1e-3);
    }

    #[test]
    fn text_is_escaped_and_holds_no_control_characters() {
        let text = drawn(|c| c.text("a<b & \"c\" ]]> \u{1b}[0m", (5.0, 5.0), TextStyle::new(10.0, BLACK)));
        assert!(text.ends_with(">a&lt;b &amp; \"c\" ]]&gt; ?[0m</text>"), "{text}");
    }

    #[test]
    fn nothing_far_off_is_written() {
        let far = [(10.0, 10.0), (20.0, -1e300), (30.0, f64::INFINITY), (f64::NAN, 0.0), (40.0, 1e17)];
        let text = drawn(|c| {
            c.line(&far, Stroke::new(BLACK, 1.0).dashed(&[1.0, 1.0]));
            c.area(&far, &BLACK);
            c.disc((1e17, 4.0), 3.0, &BLACK);
            c.ring((f64::NAN, 4.0), 3.0, Stroke::new(BLACK, 1.0));
            c.text("far", (5.0, 1e9), TextStyle::new(10.0, BLACK));
        });
        assert!(!text.contains("NaN") && !text.contains("inf") && !text.contains("far"), "{text}");
        let digits = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
        assert!(digits <= Some(6), "{text}");
    }

    #[test]
    fn areas_and_thin_lines_end_at_the_sides_that_they_are_clipped_at() {
        let rect = Rect::new((10.0, 10.0), (90.0, 40.0));
        let points = [(20.0, 20.0), (1e12, 20.0), (1e12, 30.0), (20.0, 30.0)];
        let text = drawn(|c| {
            c.clipped(rect, |c| {
                c.line(&points[..2], Stroke::new(BLACK, 1.0));
                c.area(&points, &BLACK);
            });
        });
        assert!(text.starts_with("<path d=\"M20 20l70 0\""), "{text}");
        assert!(text.contains("M20 20l70 0 0 10-70 0z"), "{text}");
    }

    #[test]
    fn a_clip_path_is_written_where_something_crosses_it() {
        let rect = Rect::new((10.0, 10.0), (90.0, 40.0));
        let line = |to: f64| {
            move |c: &mut Canvas| {
                c.clipped(rect, |c| c.line(&[(20.0, 20.0), (to, 30.0)], Stroke::new(BLACK, 3.0)));
            }
        };
        assert!(!drawn(line(80.0)).contains("clip"));
        let crossing = drawn(line(1e12));
        assert!(
            crossing
                .starts_with("<clipPath id=\"clip0\"><rect x=\"10\" y=\"10\" width=\"80\" height=\"30\"/>")
        );
        assert!(crossing.contains("<g clip-path=\"url(#clip0)\">\n<path d=\"M20 20l86 0\""), "{crossing}");
    }
}
