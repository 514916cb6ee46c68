//! What a user asks of a run's figure, and the page that it is drawn on.

use super::canvas::{Canvas, TextStyle};
use super::style::{FACTS, HEADING, Ruler};
use crate::law::named::named;

named! {
    /// What the small multiples of a figure are of.
    #[non_exhaustive]
    pub enum Facet {
        /// A panel for each initializer; in a network with a line for each role.
        Init = "init",
        /// A panel for each role of a network, with a line for each initializer.
        Role = "role",
    }
}

named! {
    /// A panel of a run's figure.
    #[non_exhaustive]
    pub enum PanelName {
        /// Variance of the activations.
        Activation = "activation",
        /// Variance of the gradient.
        Gradient = "gradient",
        /// Mean square of the weight gradient.
        WeightGradient = "weight-gradient",
        /// Cosine of samples, and dead or saturated units.
        Samples = "samples",
    }
}

/// What a user asks of a run's figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FigureOptions {
    /// Small multiples; of a network's grid by initializer where nothing is asked for.
    pub facet: Option<Facet>,
    /// Width in print, in centimeters.
    pub width: Option<f64>,
    /// In place of the title; an empty one leaves out the whole heading.
    pub title: Option<String>,
    /// These panels alone, in this order; all where there are none.
    pub panels: Vec<PanelName>,
}

/// Widths that a figure may have in print, in centimeters: narrower ones have no room for text that can be read.
pub const WIDTHS: std::ops::RangeInclusive<f64> = 8.0..=100.0;
/// A network's figure is as wide as the text of an A4 page where nobody says otherwise.
pub const TEXT_WIDTH: f64 = 17.0;
/// Points that a unit has in print: the smallest text, of ten units, has six and a half.
const POINTS: f64 = 0.65;
const POINTS_A_CENTIMETER: f64 = 72.0 / 2.54;

/// The page of a figure, in units.
#[derive(Clone, Copy)]
pub struct Page {
    /// Of the whole page.
    pub width: f64,
    /// On every side.
    pub margin: f64,
    /// Width in print in centimeters, where it is known.
    pub printed: Option<f64>,
}

impl Page {
    /// A page for screens, whose units are their pixels.
    pub const SCREEN: Self = Self { width: super::WIDTH, margin: super::MARGIN, printed: None };

    /// A page of so many centimeters.
    pub fn printed(centimeters: f64) -> Self {
        Self { width: centimeters * POINTS_A_CENTIMETER / POINTS, margin: 8.0, printed: Some(centimeters) }
    }

    /// Width between the margins.
    pub fn content(self) -> f64 {
        self.width - 2.0 * self.margin
    }

    /// An empty figure of this width.
    pub fn canvas(self, height: f64) -> Canvas {
        match self.printed {
            None => Canvas::new(self.width, height),
            Some(centimeters) => Canvas::printed(self.width, height, centimeters),
        }
    }

    fn title(self) -> TextStyle {
        if self.printed.is_some() { HEADING.sized(15.0) } else { HEADING }
    }

    fn facts(self) -> TextStyle {
        if self.printed.is_some() { FACTS.sized(11.0) } else { FACTS }
    }
}

/// Title and facts of a figure, in lines that fit its page.
pub struct Heading {
    page: Page,
    title: Vec<String>,
    facts: Vec<String>,
}

impl Heading {
    /// A heading; without both there is none.
    pub fn new(page: Page, title: &str, facts: &str, ruler: &Ruler) -> Self {
        let fitting = |text: &str, style: TextStyle| match page.printed {
            None => vec![ruler.fitting(&ruler.shown(text), style.size, page.content())],
            Some(_) => {
                let (text, room) = (ruler.shown(text), page.content());
                // What is said of the lines is a line of its own where not all fit in one.
                match text.split_once(" — ") {
                    Some((facts, remarks)) if ruler.width(&text, style.size) > room => {
                        let parts = [facts, remarks].map(|part| wrapped(part, style.size, room, ruler));
                        parts.concat()
                    }
                    _ => wrapped(&text, style.size, room, ruler),
                }
            }
        };
        let lines = |text: &str, style| if text.is_empty() { Vec::new() } else { fitting(text, style) };
        Self { page, title: lines(title, page.title()), facts: lines(facts, page.facts()) }
    }

    /// Where what follows begins.
    pub fn foot(&self) -> f64 {
        if self.page.printed.is_none() {
            // The legend's first row is 96 units down, as in all figures for screens.
            return if self.title.is_empty() && self.facts.is_empty() { 4.0 } else { 80.0 };
        }
        let (title, facts) = (self.title.len() as f64, self.facts.len() as f64);
        let between = if self.title.is_empty() && self.facts.is_empty() { 0.0 } else { 8.0 };
        self.page.margin + 20.0 * title + 15.0 * facts + between
    }

    /// Draws it.
    pub fn draw(&self, canvas: &mut Canvas) {
        let x = self.page.margin;
        if self.page.printed.is_none() {
            for (lines, top, style) in
                [(&self.title, 22.0, self.page.title()), (&self.facts, 58.0, self.page.facts())]
            {
                lines.iter().for_each(|line| canvas.text(line, (x, top), style));
            }
            return;
        }
        let mut y = self.page.margin;
        for (lines, step, style) in
            [(&self.title, 20.0, self.page.title()), (&self.facts, 15.0, self.page.facts())]
        {
            for line in lines {
                canvas.text(line, (x, y), style);
                y += step;
            }
        }
    }
}

/// Lines of at most this width, broken at spaces; a word that is wider is cut in its middle.
fn wrapped(text: &str, size: f64, room: f64, ruler: &Ruler) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let line = lines.last_mut().expect("there is a line");
        let longer = if line.is_empty() { word.to_string() } else { format!("{line} {word}") };
        if line.is_empty() || ruler.width(&longer, size) <= room {
            *line = longer;
        } else {
            // A separator stays with what it separates from what follows.
            lines.push(word.to_string());
        }
    }
    lines.into_iter().map(|line| ruler.fitting(&line, size, room)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_text_has_six_and_a_half_points_in_print() {
        let page = Page::printed(8.5);
        let points_a_unit = 8.5 * POINTS_A_CENTIMETER / page.width;
        assert!((10.0 * points_a_unit - 6.5).abs() < 1e-9);
    }

    #[test]
    fn a_heading_takes_the_lines_that_it_needs() {
        let ruler = Ruler::new();
        let facts = "batch 2 · 2 trials · input normal · seed 0 — median, band: least to most of the trials";
        let (narrow, wide) = (
            Heading::new(Page::printed(8.5), "gpt2", facts, &ruler),
            Heading::new(Page::printed(17.0), "gpt2", facts, &ruler),
        );
        assert!(narrow.facts.len() > 1 && wide.facts.len() == 1 && narrow.foot() > wide.foot());
        let room = Page::printed(8.5).content();
        assert!(narrow.facts.iter().all(|line| ruler.width(line, 11.0) <= room));
        assert_eq!(Heading::new(Page::printed(8.5), "", "", &ruler).foot(), 8.0);
    }
}
