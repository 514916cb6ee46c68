//! One exporter a format behind one trait, all given the same result.

mod code;
mod csv;
mod json;
#[cfg(feature = "figures")]
mod png;
#[cfg(feature = "figures")]
mod svg;

#[cfg(feature = "figures")]
use super::figure::{ChartError, Figure};
use crate::law::named::named;
use serde::Serialize;
#[cfg(feature = "figures")]
use std::cell::OnceCell;

/// What a result consists of, whatever the format.
pub trait Presentation {
    /// Name of its JSON file, without the ending.
    fn name(&self) -> &'static str;

    /// The whole result as JSON, ending in a newline.
    fn json(&self) -> String;

    /// Its tables.
    ///
    /// # Errors
    /// Never for a well-formed result; the writer's error type is passed on.
    fn tables(&self) -> Result<Vec<Table>, ::csv::Error> {
        Ok(Vec::new())
    }

    /// Lines of code that belong to it.
    fn sources(&self) -> Vec<Source<'_>> {
        Vec::new()
    }

    /// Its figures.
    #[cfg(feature = "figures")]
    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }
}

/// A table, and the name of its file without the ending.
pub struct Table {
    /// The name.
    pub name: &'static str,
    /// The rows as CSV, the names of the columns first.
    pub csv: String,
}

/// Lines of code in a file of their own.
pub struct Source<'a> {
    /// Name of the file, with its ending.
    pub name: &'static str,
    /// The lines.
    pub text: &'a str,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl File {
    fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

/// A result on its way into files. Its figures are drawn once, however many formats show them.
pub struct Rendering<'a> {
    result: &'a dyn Presentation,
    #[cfg(feature = "figures")]
    figures: OnceCell<Vec<Figure>>,
}

impl<'a> Rendering<'a> {
    /// Makes the rendering of a result; nothing is drawn yet.
    pub fn new(result: &'a dyn Presentation) -> Self {
        Self {
            result,
            #[cfg(feature = "figures")]
            figures: OnceCell::new(),
        }
    }

    #[cfg(feature = "figures")]
    fn figures(&self) -> &[Figure] {
        self.figures.get_or_init(|| self.result.figures())
    }
}

/// Why a result could not be turned into a format.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum ExportError {
    #[error("cannot make the table: {0}")]
    Table(#[from] ::csv::Error),
    #[cfg(feature = "figures")]
    #[error(transparent)]
    Figure(#[from] ChartError),
    #[error("this build of initdiag has no {0}: it was made without the feature `figures`")]
    Absent(Format),
}

/// Turns a result into the files of one format.
pub trait Exporter {
    /// The files, in the order in which the result names its parts.
    ///
    /// # Errors
    /// What the format's library refuses.
    fn export(&self, rendering: &Rendering) -> Result<Vec<File>, ExportError>;
}

named! {
    /// A format of files.
    #[non_exhaustive]
    pub enum Format {
        /// The whole result.
        Json = "json",
        /// Its tables.
        Csv = "csv",
        /// Its figures as drawings.
        Svg = "svg",
        /// Its figures as pixels.
        Png = "png",
        /// Lines of code.
        Code = "code",
    }
}

impl Format {
    /// What makes its files; `None` in a build without figures.
    pub fn exporter(self) -> Option<&'static dyn Exporter> {
        match self {
            Self::Json => Some(&json::Json),
            Self::Csv => Some(&csv::Csv),
            Self::Code => Some(&code::Code),
            #[cfg(feature = "figures")]
            Self::Svg => Some(&svg::Svg),
            #[cfg(feature = "figures")]
            Self::Png => Some(&png::Png),
            #[cfg(not(feature = "figures"))]
            Self::Svg | Self::Png => None,
        }
    }

    /// The files of a result in this format.
    ///
    /// # Errors
    /// What the format's library refuses, and a format that this build lacks.
    pub fn export(self, rendering: &Rendering) -> Result<Vec<File>, ExportError> {
        self.exporter().ok_or(ExportError::Absent(self))?.export(rendering)
    }
}

/// Pretty-printed JSON, ending in a newline.
pub(super) fn pretty<T: Serialize>(result: &T) -> String {
    let mut text =
        serde_json::to_string_pretty(result).expect("a result holds strings and finite numbers only");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A result with a part of every kind, which counts how often it is drawn.
    #[derive(Default)]
    struct Whole {
        drawn: Cell<usize>,
    }

    impl Presentation for Whole {
        fn name(&self) -> &'static str {
            "whole"
        }

        fn json(&self) -> String {
            "{}\n".into()
        }

        fn tables(&self) -> Result<Vec<Table>, ::csv::Error> {
            Ok(["rows", "more"].map(|name| Table { name, csv: "a,b\n1,2\n".into() }).into())
        }

        fn sources(&self) -> Vec<Source<'_>> {
            vec![Source { name: "whole.py", text: "pass\n" }]
        }

        #[cfg(feature = "figures")]
        fn figures(&self) -> Vec<Figure> {
            self.drawn.set(self.drawn.get() + 1);
            let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>"#;
            vec![Figure { name: "picture", svg: svg.into() }]
        }
    }

    fn names(files: &[File]) -> Vec<&str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn every_format_makes_its_files_of_the_same_parts() {
        let whole = Whole::default();
        let rendering = Rendering::new(&whole);
        assert_eq!(names(&Format::Json.export(&rendering).unwrap()), ["whole.json"]);
        assert_eq!(names(&Format::Csv.export(&rendering).unwrap()), ["rows.csv", "more.csv"]);
        assert_eq!(names(&Format::Code.export(&rendering).unwrap()), ["whole.py"]);
        assert_eq!(whole.drawn.get(), 0, "nothing is drawn that no format shows");
    }

    #[cfg(feature = "figures")]
    #[test]
    fn a_figure_is_drawn_once_for_all_formats() {
        let whole = Whole::default();
        let rendering = Rendering::new(&whole);
        let png = Format::Png.export(&rendering).unwrap();
        assert_eq!(names(&png), ["picture.png"]);
        assert!(png[0].bytes.starts_with(b"\x89PNG"));
        assert_eq!(names(&Format::Svg.export(&rendering).unwrap()), ["picture.svg"]);
        assert_eq!(whole.drawn.get(), 1);
    }

    #[cfg(not(feature = "figures"))]
    #[test]
    fn a_build_without_figures_says_so() {
        let fault = Format::Svg.export(&Rendering::new(&Whole::default())).unwrap_err();
        assert!(fault.to_string().contains("no svg"), "{fault}");
    }
}
