//! Panels side by side: how many stand in a row, how large they are, and which share a scale.

use super::canvas::Canvas;
use super::geometry::Rect;
use super::page::Page;
use super::panel::{Insets, Labelled, Panel};
use super::style::{Ruler, TITLE};

/// What panels show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every cell of a run.
    Panels,
    /// The cells of one initializer.
    Stacks,
    /// The roles of one cell of a network.
    Roles,
    /// One role of every cell.
    Cells,
}

/// Some panels, under a title of their own where they are small multiples.
pub struct Section {
    kind: Kind,
    /// Of small multiples.
    title: Option<String>,
    panels: Vec<Panel>,
}

/// Where the panels of a section stand, from its own top left corner.
pub struct Layout {
    page: Page,
    insets: Insets,
    columns: usize,
    /// Width of a plot.
    width: f64,
    /// Above the first row.
    head: f64,
    rows: usize,
    /// Below a row whose axis is that of the row below.
    between: f64,
}

/// A page narrower than this has one column of text.
const NARROW: f64 = 500.0;

impl Section {
    /// Panels of different quantities.
    pub fn new(kind: Kind, panels: Vec<Panel>) -> Self {
        Self { kind, title: None, panels }
    }

    /// Panels of one quantity, on one scale.
    pub fn facets(kind: Kind, title: String, mut panels: Vec<Panel>) -> Self {
        let ends = |a: Option<(f64, f64)>, b: Option<(f64, f64)>| match (a, b) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        let extent = panels.iter().map(|panel| panel.extent).fold(None, ends);
        // Shares and cosines have no extent: there the scale that reaches lowest is that of all.
        let lowest = panels.iter().map(|panel| panel.axis.range.0).fold(f64::INFINITY, f64::min);
        let lane = panels.iter().map(Panel::zero_rows).max().unwrap_or(0);
        for panel in &mut panels {
            panel.lane = lane;
            match extent {
                Some(_) => {
                    panel.extent = panel.extent.and(extent);
                    panel.scale();
                }
                None if !panel.axis.ticks.is_empty() => panel.axis = super::axis::Axis::shares(lowest + 0.03),
                None => {}
            }
        }
        Self { kind, title: Some(title), panels }
    }

    fn shared(&self) -> bool {
        self.title.is_some()
    }

    fn insets(&self, page: Page, ruler: &Ruler) -> Insets {
        let labels = self.panels.iter().map(|panel| panel.label_room(ruler)).fold(0.0, f64::max);
        let narrow = page.width < NARROW;
        if page.printed.is_none() {
            let height = if self.shared() { 200.0 } else { 311.0 };
            let (top, inner) = if self.shared() { (30.0, 24.0) } else { (40.0, 84.0) };
            return Insets { left: 84.0, inner, right: labels.max(16.0), top, bottom: 54.0, height };
        }
        let height = match (self.kind, self.shared()) {
            (Kind::Panels, _) | (Kind::Roles, false) => {
                if narrow {
                    142.0
                } else {
                    200.0
                }
            }
            (Kind::Stacks | Kind::Roles, _) => 140.0,
            (Kind::Cells, _) => 92.0,
        };
        let inner = if self.shared() { 12.0 } else { 58.0 };
        Insets {
            left: 58.0,
            inner,
            right: labels.max(10.0),
            top: if self.shared() { 20.0 } else { 26.0 },
            bottom: 0.0,
            height,
        }
    }

    /// Least width of a plot.
    fn least(&self, page: Page) -> f64 {
        match (page.printed.is_some(), self.kind) {
            (false, Kind::Panels) => 300.0,
            (false, _) => 220.0,
            (true, Kind::Panels) => 180.0,
            (true, Kind::Stacks | Kind::Roles) => 118.0,
            (true, Kind::Cells) => 70.0,
        }
    }

    /// As many columns as have room, rows as equal as can be.
    pub fn layout(&self, page: Page, ruler: &Ruler) -> Layout {
        let mut insets = self.insets(page, ruler);
        let count = self.panels.len().max(1);
        let width = |columns: usize| {
            let between = insets.left + insets.inner * (columns as f64 - 1.0) + insets.right * columns as f64;
            (page.content() - between) / columns as f64
        };
        let most = if self.shared() { count } else { count.min(2) };
        let fitting = (1..=most).rev().find(|columns| width(*columns) >= self.least(page)).unwrap_or(1);
        let rows = count.div_ceil(fitting);
        // A figure for screens keeps its two columns, whatever is left out.
        let columns = if page.printed.is_none() && !self.shared() { 2 } else { count.div_ceil(rows) };
        let width = width(columns);
        let below = self.panels.iter().map(|panel| panel.axis_room(width, ruler)).fold(0.0, f64::max);
        insets.bottom = insets.bottom.max(below + 4.0);
        let between = if self.shared() { 8.0 } else { insets.bottom };
        Layout { page, insets, columns, width, head: if self.shared() { 24.0 } else { 0.0 }, rows, between }
    }

    /// Draws it from a height on.
    pub fn draw(&self, canvas: &mut Canvas, layout: &Layout, top: f64, ruler: &Ruler) {
        let Layout { page, insets, columns, width, head, .. } = *layout;
        if let Some(title) = &self.title {
            let text = ruler.fitting(&ruler.shown(title), TITLE.size, page.content());
            canvas.text(&text, (page.margin, top + 6.0), TITLE);
        }
        let printed = page.printed.is_some();
        for (k, panel) in self.panels.iter().enumerate() {
            let (row, column) = (k / columns, k % columns);
            let labelled = Labelled {
                left: column == 0 || !self.shared(),
                below: !self.shared() || k + columns >= self.panels.len(),
            };
            let before = column as f64 * (width + insets.right) + insets.left + insets.inner * column as f64;
            let left = page.margin + before;
            let y = top + head + row as f64 * layout.row() + insets.top;
            let plot = Rect::new((left, y), (left + width, y + insets.height));
            // A title over the left side of its plot, or, where the page is narrow, of its scale.
            let x = if printed && !self.shared() { left - insets.left + 4.0 } else { left };
            let size = match (printed, self.shared()) {
                (true, true) => 11.5,
                (true, false) => 13.0,
                _ => TITLE.size,
            };
            let room = plot.right + insets.right - x;
            let title = ruler.fitting(&ruler.shown(&panel.title), size, room);
            let rise = if printed { insets.top - 4.0 } else { insets.top - 8.0 };
            panel.draw(canvas, plot, (&title, (x, y - rise), TITLE.sized(size)), labelled, ruler);
        }
    }
}

impl Layout {
    fn row(&self) -> f64 {
        self.insets.top + self.insets.height + self.between
    }

    /// Of the whole section.
    pub fn height(&self) -> f64 {
        self.head + self.row() * self.rows as f64 + self.insets.bottom - self.between
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::PanelName;
    use super::super::{FigureOptions, styled_svg, svg};
    use super::*;
    use crate::report::figure::series::tests::report;
    use crate::report::outline::tests::transformer;
    use crate::result::Report;

    /// Two cells of a transformer, the second with signals a decade larger at each block.
    fn networks() -> Report {
        let mut report = report(&[Some(0.0)], &[None]);
        report.cells[0].layers = transformer(4);
        let mut more = report.cells[0].clone();
        more.init = "normal(0, 0.02)".into();
        for (k, layer) in more.layers.iter_mut().enumerate() {
            layer.activation.log10_variance.median = Some(0.5 * k as f64);
        }
        report.cells.push(more);
        report.spec.init.push("normal(0, 0.02)".into());
        report
    }

    #[test]
    fn small_multiples_share_a_scale() {
        let lone = |low: f64, high: f64| {
            let mut panel = Panel::new(String::new(), Vec::new(), 3, Default::default());
            panel.extent = Some((low, high));
            panel.scale();
            panel
        };
        let section = Section::facets(Kind::Roles, "a".into(), vec![lone(0.0, 1.0), lone(-8.0, 3.0)]);
        assert_eq!(section.panels[0].axis.range, section.panels[1].axis.range);
        assert_eq!(section.panels[0].axis.ticks, section.panels[1].axis.ticks);
    }

    #[test]
    fn small_multiples_of_which_one_has_zeros_have_one_scale() {
        let mut report = networks();
        report.cells[1].layers[3].activation.log10_variance.median = None;
        let options = FigureOptions { panels: vec![PanelName::Activation], ..Default::default() };
        let svg = styled_svg(&report, &options);
        // The levels of each panel are one path of the scale's gray, from the left to the right at each height.
        let paths = svg.lines().filter(|line| line.contains("stroke=\"#e2e2e6\""));
        let heights = |line: &str| -> Vec<String> {
            let starts = line.split('M').skip(1).filter_map(|run| run.split_once('l'));
            starts.filter_map(|(start, _)| Some(start.split_once(' ')?.1.to_string())).collect()
        };
        let levels: Vec<Vec<String>> = paths.map(heights).collect();
        assert!(levels.len() == 2 && levels[0].len() > 2 && levels[0] == levels[1], "{levels:?}");
    }

    #[test]
    fn a_network_has_a_panel_for_each_initializer_or_for_each_role() {
        let report = networks();
        let count = |svg: &str, text: &str| svg.matches(&format!(">{text}</text>")).count();
        let by_init = svg(&report);
        assert_eq!(count(&by_init, "he-normal"), 4, "one panel for each quantity");
        // Sums have no weights; in the panels of samples the line is a cosine.
        assert_eq!((count(&by_init, "stream"), count(&by_init, "query")), (4, 6));
        let options =
            |facet: &str| FigureOptions { facet: super::super::Facet::parse(facet), ..Default::default() };
        let by_role = styled_svg(&report, &options("role"));
        assert_eq!((count(&by_role, "query"), count(&by_role, "attn out")), (4, 4));
        assert_eq!(count(&by_role, "he-normal"), 1, "in the legend");
    }

    #[test]
    fn panels_and_the_heading_may_be_chosen() {
        let options = FigureOptions {
            panels: vec![PanelName::Gradient, PanelName::Gradient],
            title: Some("Mine".into()),
            width: Some(8.5),
            ..Default::default()
        };
        let svg = styled_svg(&networks(), &options);
        assert!(
            svg.contains(">Gradient variance, Var(∂C/∂Z)</text>") && !svg.contains("Activation variance")
        );
        assert!(svg.contains(">Mine</text>") && svg.contains("width=\"8.50cm\""));
        let bare = styled_svg(&networks(), &FigureOptions { title: Some(String::new()), ..options });
        assert!(!bare.contains("Mine") && !bare.contains("seed"));
    }

    #[test]
    fn every_text_in_print_has_six_and_a_half_points() {
        for width in [8.5, 17.0] {
            let svg = styled_svg(&networks(), &FigureOptions { width: Some(width), ..Default::default() });
            let sizes =
                svg.split("font-size=\"").skip(1).filter_map(|s| s.split('"').next()?.parse::<f64>().ok());
            assert!(sizes.clone().count() > 20 && sizes.clone().all(|size| size >= 10.0));
        }
    }
}
