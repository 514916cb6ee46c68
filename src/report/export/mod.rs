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
use std::io::{self, BufWriter, Write};
#[cfg(feature = "figures")]
use std::sync::OnceLock;

/// Bytes that are written at once.
pub(super) const BUFFER: usize = 1 << 16;

/// What a result consists of, whatever the format.
pub trait Presentation: Sync {
    /// Name of its JSON file, without the ending.
    fn name(&self) -> &'static str;

    /// Writes the whole result as JSON, ending in a newline.
    ///
    /// # Errors
    /// Those of `to`.
    fn json(&self, to: &mut dyn Write) -> io::Result<()>;

    /// Its tables.
    fn tables(&self) -> Vec<Table<'_>> {
        Vec::new()
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

/// The files that a command may write, with their formats.
pub type Files = [(Format, &'static str)];

/// A table, and the name of its file without the ending.
pub struct Table<'a> {
    /// The name.
    pub name: &'static str,
    /// Writes the rows as CSV, the names of the columns first.
    pub csv: Written<'a>,
}

/// Writes a text, as often as it is called.
pub type Written<'a> = Box<dyn Fn(&mut dyn Write) -> io::Result<()> + 'a>;

/// Lines of code in a file of their own.
pub struct Source<'a> {
    /// Name of the file, with its ending.
    pub name: &'static str,
    /// The lines.
    pub text: &'a str,
}

/// A file to be written. What may be large is made while it is written, and never held whole.
pub struct File<'a> {
    /// Its name.
    pub name: String,
    content: Content<'a>,
}

enum Content<'a> {
    Borrowed(&'a [u8]),
    #[cfg(feature = "figures")]
    Owned(Vec<u8>),
    Made(Written<'a>),
}

impl File<'_> {
    /// Writes what is in it.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        match &self.content {
            Content::Borrowed(bytes) => to.write_all(bytes),
            #[cfg(feature = "figures")]
            Content::Owned(bytes) => to.write_all(bytes),
            Content::Made(written) => written(to),
        }
    }
}

/// A result on its way into files. Its figures are drawn once, however many formats show them.
pub struct Rendering<'a> {
    result: &'a dyn Presentation,
    #[cfg(feature = "figures")]
    figures: OnceLock<Vec<Figure>>,
}

impl<'a> Rendering<'a> {
    /// Makes the rendering of a result; nothing is drawn yet.
    pub fn new(result: &'a dyn Presentation) -> Self {
        Self {
            result,
            #[cfg(feature = "figures")]
            figures: OnceLock::new(),
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
    fn export<'a>(&self, rendering: &'a Rendering) -> Result<Vec<File<'a>>, ExportError>;
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
    pub fn export<'a>(self, rendering: &'a Rendering) -> Result<Vec<File<'a>>, ExportError> {
        self.exporter().ok_or(ExportError::Absent(self))?.export(rendering)
    }
}

/// Pretty-printed JSON, ending in a newline.
pub(super) fn pretty<T: Serialize>(result: &T, to: &mut dyn Write) -> io::Result<()> {
    let mut buffered = BufWriter::with_capacity(BUFFER, to);
    serde_json::to_writer_pretty(&mut buffered, result)?;
    buffered.write_all(b"\n")?;
    buffered.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A result with a part of every kind, which counts how often it is drawn.
    #[derive(Default)]
    struct Whole {
        drawn: AtomicUsize,
    }

    impl Presentation for Whole {
        fn name(&self) -> &'static str {
            "whole"
        }

        fn json(&self, to: &mut dyn Write) -> io::Result<()> {
            to.write_all(b"{}\n")
        }

        fn tables(&self) -> Vec<Table<'_>> {
            let csv = |to: &mut dyn Write| to.write_all(b"a,b\n1,2\n");
            ["rows", "more"].map(|name| Table { name, csv: Box::new(csv) }).into()
        }

        fn sources(&self) -> Vec<Source<'_>> {
            vec![Source { name: "whole.py", text: "pass\n" }]
        }

        #[cfg(feature = "figures")]
        fn figures(&self) -> Vec<Figure> {
            self.drawn.fetch_add(1, Ordering::Relaxed);
            let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>"#;
            vec![Figure { name: "picture", svg: svg.into() }]
        }
    }

    fn names<'a>(files: &'a [File]) -> Vec<&'a str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn every_format_makes_its_files_of_the_same_parts() {
        let whole = Whole::default();
        let rendering = Rendering::new(&whole);
        assert_eq!(names(&Format::Json.export(&rendering).unwrap()), ["whole.json"]);
        assert_eq!(names(&Format::Csv.export(&rendering).unwrap()), ["rows.csv", "more.csv"]);
        assert_eq!(names(&Format::Code.export(&rendering).unwrap()), ["whole.py"]);
        assert_eq!(whole.drawn.load(Ordering::Relaxed), 0, "nothing is drawn that no format shows");
    }

    #[cfg(feature = "figures")]
    #[test]
    fn a_figure_is_drawn_once_for_all_formats() {
        let whole = Whole::default();
        let rendering = Rendering::new(&whole);
        let png = Format::Png.export(&rendering).unwrap();
        assert_eq!(names(&png), ["picture.png"]);
        let mut bytes = Vec::new();
        png[0].write(&mut bytes).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"));
        assert_eq!(names(&Format::Svg.export(&rendering).unwrap()), ["picture.svg"]);
        assert_eq!(whole.drawn.load(Ordering::Relaxed), 1);
    }

    #[cfg(not(feature = "figures"))]
    #[test]
    fn a_build_without_figures_says_so() {
        let fault = Format::Svg.export(&Rendering::new(&Whole::default())).unwrap_err();
        assert!(fault.to_string().contains("no svg"), "{fault}");
    }
}
