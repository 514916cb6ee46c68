//! The layers of a network by role: a table for each cell, the role that changes most first.

use super::run::{TREND, series};
use super::wrap::shown;
use super::{BAD, DIM, padded};
use crate::report::outline::Outline;
use crate::result::{Cell, Layer};
use anstyle::Style;
use unicode_width::UnicodeWidthStr;

/// Grids of more cells have no tables by role.
pub const MOST_CELLS: usize = 4;
/// A role that changes by more than this many decades stands out.
const DECADES: f64 = 1.0;

/// What one line says.
struct Row {
    name: String,
    layers: usize,
    signal: Vec<Option<f64>>,
    gradient: Vec<Option<f64>>,
    /// Decades between the least and the largest variance, of the signal or of the gradient where that is more; infinite where one is zero.
    change: f64,
    /// Of the gradient.
    backward: bool,
    /// The layer that is farthest from the middle of its role.
    farthest: String,
}

/// Decades between the ends, and which of the values is farthest from their middle.
fn change(values: &[Option<f64>]) -> (f64, usize) {
    if let Some(zero) = values.iter().position(Option::is_none) {
        return (if values.iter().any(Option::is_some) { f64::INFINITY } else { 0.0 }, zero);
    }
    let mut known: Vec<f64> = values.iter().flatten().copied().collect();
    known.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (known.first(), known.last()) else { return (0.0, 0) };
    let middle = crate::measure::summary::quantile(&known, 0.5);
    let distance = |k: &usize| (values[*k].unwrap_or(middle) - middle).abs();
    let farthest = (0..values.len()).max_by(|a, b| distance(a).total_cmp(&distance(b)));
    (high - low, farthest.unwrap_or(0))
}

/// A row for each role of a cell, that which changes most first.
fn rows(cell: &Cell, outline: &Outline) -> Vec<Row> {
    let row = |(role, name): (usize, &crate::report::outline::Role)| {
        let layers: Vec<&Layer> = outline.layers(cell, role).into_iter().map(|(_, layer)| layer).collect();
        let signal: Vec<_> = layers.iter().map(|l| l.activation.log10_variance.median).collect();
        let gradient: Vec<_> = layers.iter().map(|l| l.gradient.log10_variance.median).collect();
        let (forward, back) = (change(&signal), change(&gradient));
        let backward = back.0 > forward.0;
        let (change, at) = if backward { back } else { forward };
        // As the gradient flows.
        let gradient = gradient.into_iter().rev().collect();
        let farthest = layers.get(at).map(|layer| layer.name()).unwrap_or_default();
        Row { name: name.name.clone(), layers: layers.len(), signal, gradient, change, backward, farthest }
    };
    let mut rows: Vec<Row> = outline.roles.iter().enumerate().map(row).collect();
    // Equal ones stay in the order in which the signal meets them.
    rows.sort_by(|a, b| b.change.total_cmp(&a.change));
    rows
}

/// The lines of the table that fit so many columns; none where there is one role alone.
pub fn table(cell: &Cell, columns: Option<usize>) -> Vec<String> {
    let Some(outline) = Outline::with_norms(cell).filter(|outline| outline.roles.len() > 1) else {
        return Vec::new();
    };
    let rows = rows(cell, &outline);
    let fits = |lines: &Vec<String>| columns.is_none_or(|c| lines.iter().all(|line| shown(line) <= c));
    let shapes = [(Some(TREND), true), (Some(5), true), (Some(5), false), (None, false)];
    let mut tables = shapes.into_iter().map(|(trend, farthest)| lines(&rows, trend, farthest));
    let found = tables.find(fits);
    found.unwrap_or_else(|| lines(&rows, None, false))
}

fn lines(rows: &[Row], trend: Option<usize>, farthest: bool) -> Vec<String> {
    let mut head = vec!["role", "layers"];
    if trend.is_some() {
        head.extend(["signal, log10", "gradient, log10"]);
    }
    head.push("changes by");
    if farthest {
        head.push("farthest");
    }
    let fields = |row: &Row| -> Vec<(String, Style)> {
        let plain = |text: String| (text, Style::new());
        let values = |values: &[Option<f64>], length: usize| match values {
            [_] => {
                series(values, 0).split_whitespace().next().map(|one| format!("{one:>6}")).unwrap_or_default()
            }
            _ => series(values, length),
        };
        let mut fields = vec![plain(row.name.clone()), plain(format!("{:>6}", row.layers))];
        if let Some(length) = trend {
            fields.extend([&row.signal, &row.gradient].map(|of| plain(values(of, length))));
        }
        let of = if row.backward { "gradient" } else { "signal" };
        let by = match row.change {
            _ if row.layers == 1 => "–".to_string(),
            change if change.is_infinite() => format!("10^∞, {of}"),
            change => format!("10^{change:.1}, {of}"),
        };
        fields.push((by, if row.change > DECADES { BAD } else { Style::new() }));
        if farthest {
            fields.push((if row.layers == 1 { String::new() } else { row.farthest.clone() }, DIM));
        }
        fields
    };
    let table: Vec<Vec<(String, Style)>> =
        std::iter::once(head.iter().map(|h| ((*h).to_string(), DIM)).collect())
            .chain(rows.iter().map(fields))
            .collect();
    let width = |column: usize| table.iter().map(|row| row[column].0.width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &Vec<(String, Style)>| {
        let said = row.iter().rposition(|(text, _)| !text.is_empty()).unwrap_or(0);
        let field = |(place, (text, style)): (usize, &(String, Style))| {
            let text = if place == said { text.clone() } else { padded(text, widths[place]) };
            format!("{style}{text}{style:#}")
        };
        let fields: Vec<String> = row[..=said].iter().enumerate().map(field).collect();
        format!("  {}", fields.join("  "))
    };
    table.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::outline::tests::transformer;
    use crate::result::made::cell;

    /// A cell whose queries fall by a decade a block and whose other layers are level.
    fn layers() -> Vec<Layer> {
        let mut layers = transformer(3);
        let queries = layers.iter_mut().filter(|l| l.role.as_deref() == Some("query"));
        for (k, layer) in queries.enumerate() {
            layer.gradient.log10_variance.median = Some(-(k as f64));
        }
        layers
    }

    fn plain(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn the_role_that_changes_most_comes_first() {
        let cell = cell(layers());
        let lines = plain(&table(&cell, None));
        assert_eq!(lines.len(), 1 + 8, "{lines:#?}");
        let first: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!((first[0], first[1]), ("query", "3"));
        assert!(lines[1].contains("10^2.0, gradient"), "{}", lines[1]);
        assert!(
            lines[2].trim_start().starts_with("stream"),
            "equal ones in the order of the signal: {}",
            lines[2]
        );
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
    }

    #[test]
    fn a_zero_is_the_largest_change_and_a_narrow_terminal_gets_narrow_lines() {
        let mut layers = layers();
        layers[2].activation.log10_variance.median = None;
        let cell = cell(layers);
        let lines = plain(&table(&cell, None));
        assert!(
            lines[1].contains("key")
                && lines[1].contains("10^∞, signal")
                && lines[1].contains("attention1/self/key")
        );
        for columns in [48, 60, 80, 100, 140] {
            let lines = plain(&table(&cell, Some(columns)));
            assert!(lines.iter().all(|line| line.width() <= columns), "{columns}: {lines:#?}");
        }
    }

    #[test]
    fn a_plain_stack_has_no_table_by_role() {
        let cell = cell(vec![crate::result::made::layer(1), crate::result::made::layer(2)]);
        assert!(table(&cell, None).is_empty());
    }
}
