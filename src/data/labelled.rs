//! Samples with a class each: the four files of MNIST and its kin, a table with a column of classes, or the set that is embedded.

use super::csv::Table;
use super::{DataError, Format, checked, csv, format, idx, npy, open, unpacked};
use nalgebra::DMatrix;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Samples and their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// Features × samples.
    pub samples: DMatrix<f32>,
    /// One a sample, from 0.
    pub labels: Vec<u32>,
}

impl Labelled {
    /// Samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// No samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The samples at these places, in this order.
    pub fn select(&self, places: &[usize]) -> Self {
        Self {
            samples: self.samples.select_columns(places),
            labels: places.iter().map(|place| self.labels[*place]).collect(),
        }
    }
}

/// Where the classes of a table stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Under a name that says so, else the last.
    Auto,
    /// The first.
    First,
    /// The last.
    Last,
    /// Under this name.
    Named(String),
}

/// Why a set cannot be trained on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum SetError {
    #[error("`{}`: {fault}", .path.display())]
    File { path: PathBuf, fault: DataError },
    #[error("`{}` has no file {wanted}", .directory.display())]
    Missing { directory: PathBuf, wanted: &'static str },
    #[error("`{}` has {samples} images and `{}` {labels} labels", .images.display(), .of.display())]
    Counts { images: PathBuf, samples: usize, of: PathBuf, labels: usize },
    #[error("`{}`: the label of sample {sample} is {value}, which is no class; classes are whole numbers from 0{hint}", .path.display())]
    Class { path: PathBuf, sample: usize, value: f32, hint: &'static str },
    #[error("`{}`: one column; features and a class are needed", .path.display())]
    OneColumn { path: PathBuf },
    #[error("`{}`: no column is named `{name}`{known}", .path.display())]
    NoColumn { path: PathBuf, name: String, known: String },
}

/// Files of a directory whose names begin so, as MNIST's do; plain ones before gzipped ones.
fn find(directory: &Path, prefixes: &[&str], wanted: &'static str) -> Result<PathBuf, SetError> {
    let fault = |fault: std::io::Error| SetError::File { path: directory.into(), fault: fault.into() };
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_file() && prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            found.push(path);
        }
    }
    found.sort_by_key(|path| (path.extension().is_some_and(|e| e == "gz"), path.clone()));
    let missing = || SetError::Missing { directory: directory.into(), wanted };
    found.into_iter().next().ok_or_else(missing)
}

/// Training and test samples of a directory with four IDX files.
///
/// # Errors
/// A missing or faulty file, other counts of images than of labels, a label that is no class.
pub fn read_set(directory: &Path) -> Result<(Labelled, Labelled), SetError> {
    let pair = |images: (&[&str], &'static str), labels: (&[&str], &'static str)| {
        let images = find(directory, images.0, images.1)?;
        let labels = find(directory, labels.0, labels.1)?;
        let samples = super::read(&images).map_err(|fault| SetError::File { path: images.clone(), fault })?;
        let read = || open(&labels).and_then(idx::labels);
        let values = read().map_err(|fault| SetError::File { path: labels.clone(), fault })?;
        if values.len() != samples.ncols() {
            let (count, all) = (samples.ncols(), values.len());
            return Err(SetError::Counts { images, samples: count, of: labels, labels: all });
        }
        Ok(Labelled { samples, labels: classes(&values, &labels, "")? })
    };
    let train = pair(
        (&["train-images", "train_images"], "train-images… (IDX, plain or .gz)"),
        (&["train-labels", "train_labels"], "train-labels… (IDX, plain or .gz)"),
    )?;
    let test = pair(
        (&["t10k-images", "test-images", "test_images"], "t10k-images… (IDX, plain or .gz)"),
        (&["t10k-labels", "test-labels", "test_labels"], "t10k-labels… (IDX, plain or .gz)"),
    )?;
    Ok((train, test))
}

/// More classes than this are numbers of another kind.
const MOST_CLASSES: f32 = 1e6;

fn classes(values: &[f32], path: &Path, hint: &'static str) -> Result<Vec<u32>, SetError> {
    let class = |(place, value): (usize, &f32)| {
        if value.fract() == 0.0 && (0.0..MOST_CLASSES).contains(value) {
            Ok(*value as u32)
        } else {
            Err(SetError::Class { path: path.into(), sample: place + 1, value: *value, hint })
        }
    };
    values.iter().enumerate().map(class).collect()
}

/// A CSV or NPY file, one sample a line, one column of which holds the classes.
///
/// # Errors
/// A faulty file, or a column that is not there or holds what is no class.
pub fn read_labelled(path: &Path, column: &Column) -> Result<Labelled, SetError> {
    let read = || -> Result<Table, DataError> {
        let mut reader = open(path)?;
        let plain = |values| Table { values, header: None };
        let table = match format(&mut reader)? {
            Format::Idx => {
                return Err(DataError::IdxShape(
                    "images or labels alone; name the directory that holds all four files".into(),
                ));
            }
            Format::Npy => plain(npy::npy(reader)?),
            Format::Csv => csv::csv(reader)?,
        };
        Ok(Table { values: checked(table.values)?, header: table.header })
    };
    let table = read().map_err(|fault| SetError::File { path: path.into(), fault })?;
    split(&table, path, column)
}

/// Names under which classes commonly stand.
const NAMES: [&str; 5] = ["label", "class", "target", "digit", "y"];

fn split(table: &Table, path: &Path, column: &Column) -> Result<Labelled, SetError> {
    let rows = table.values.nrows();
    if rows < 2 {
        return Err(SetError::OneColumn { path: path.into() });
    }
    let header = table.header.as_deref().unwrap_or_default();
    let at = |name: &str| header.iter().position(|h| h.trim().eq_ignore_ascii_case(name));
    let place = match column {
        Column::First => 0,
        Column::Last => rows - 1,
        Column::Auto => NAMES.iter().find_map(|name| at(name)).unwrap_or(rows - 1),
        Column::Named(name) => at(name).ok_or_else(|| {
            let known = match header {
                [] => ": the file has no line of names".to_string(),
                names if names.len() > 12 => String::new(),
                names => format!("; there are {}", names.join(", ")),
            };
            SetError::NoColumn { path: path.into(), name: name.clone(), known }
        })?,
    };
    let values: Vec<f32> = table.values.row(place).iter().copied().collect();
    let labels = classes(&values, path, "; --label names another column")?;
    Ok(Labelled { samples: table.values.clone().remove_row(place), labels })
}

/// Handwritten digits of 8 × 8 pixels, 0–16, with their classes: 1 797 of them, E. Alpaydin and C. Kaynak, "Optical Recognition
/// of Handwritten Digits", UCI Machine Learning Repository, CC BY 4.0.
pub fn embedded() -> Labelled {
    const BYTES: &[u8] = include_bytes!("sets/digits.csv.gz");
    let read = || -> Result<Labelled, SetError> {
        let path = Path::new("digits");
        let fault = |fault| SetError::File { path: path.into(), fault };
        let reader: std::io::BufReader<Box<dyn Read>> = unpacked(BYTES).map_err(fault)?;
        split(&csv::csv(reader).map_err(fault)?, path, &Column::Last)
    };
    read().expect("the embedded set is read by a test")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        csv::csv(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_embedded_digits() {
        let digits = embedded();
        assert_eq!((digits.samples.nrows(), digits.len()), (64, 1797));
        let count = |class: u32| digits.labels.iter().filter(|l| **l == class).count();
        assert_eq!(
            (0..10).map(count).collect::<Vec<_>>(),
            [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        );
        assert_eq!((digits.samples.min(), digits.samples.max()), (0.0, 16.0));
    }

    #[test]
    fn classes_of_a_table() {
        let path = Path::new("t.csv");
        let of = |text: &str, column: &Column| split(&table(text), path, column);
        let last = of("1,2,0\n3,4,1\n", &Column::Auto).unwrap();
        assert_eq!(last.labels, [0, 1]);
        assert_eq!(last.samples, DMatrix::from_column_slice(2, 2, &[1.0, 2.0, 3.0, 4.0]));
        let first = of("label,a,b\n7,2,0.5\n3,4,1\n", &Column::Auto).unwrap();
        assert_eq!((first.labels, first.samples[(1, 0)]), (vec![7, 3], 0.5));
        assert_eq!(of("a,b\n7,2\n", &Column::Named("A".into())).unwrap().labels, [7]);
        for (text, column, words) in [
            ("1,0.5\n", Column::Last, "sample 1 is 0.5, which is no class"),
            ("1,-1\n", Column::Auto, "is -1"),
            ("1\n2\n", Column::Auto, "one column"),
            ("a,b\n7,2\n", Column::Named("c".into()), "no column is named `c`; there are a, b"),
            ("7,2\n", Column::Named("c".into()), "no line of names"),
        ] {
            let fault = of(text, &column).unwrap_err().to_string();
            assert!(fault.contains(words), "{fault}");
        }
    }

    #[test]
    fn a_directory_of_four_files() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, sizes: &[u32], data: &[u8]| {
            let mut bytes = vec![0, 0, 8, sizes.len() as u8];
            sizes.iter().for_each(|s| bytes.extend(s.to_be_bytes()));
            bytes.extend(data);
            std::fs::write(place.path().join(name), bytes).unwrap();
        };
        let fault = || read_set(place.path()).unwrap_err().to_string();
        assert!(fault().contains("has no file train-images"), "{}", fault());
        write("train-images-idx3-ubyte", &[2, 1, 2], &[0, 255, 51, 0]);
        write("train-labels-idx1-ubyte", &[2], &[9, 1]);
        write("t10k-images.idx3-ubyte", &[1, 1, 2], &[0, 255]);
        write("t10k-labels.idx1-ubyte", &[2], &[3, 3]);
        assert!(fault().contains("has 1 images and"), "{}", fault());
        write("t10k-labels.idx1-ubyte", &[1], &[3]);
        let (train, test) = read_set(place.path()).unwrap();
        assert_eq!((train.labels, test.labels), (vec![9, 1], vec![3]));
        assert_eq!(train.samples, DMatrix::from_column_slice(2, 2, &[0.0, 1.0, 0.2, 0.0]));
        write("train-labels-idx1-ubyte", &[2, 1, 1], &[9, 1]);
        assert!(fault().contains("labels are needed"), "{}", fault());
        write("train-labels-idx1-ubyte", &[2], &[9]);
        assert!(fault().contains("after 1 of 2 bytes"), "{}", fault());
    }
}
