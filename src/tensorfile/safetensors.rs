//! Named arrays of single-precision numbers in the safetensors format.

use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// An array, its last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<'a> {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Entries.
    pub values: Cow<'a, [f32]>,
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        4 * self.values.len()
    }
}

/// The bytes of a file with these arrays and one text beside them. `name` names the text.
pub fn encode(tensors: Vec<(String, Tensor)>, (name, text): (&str, String)) -> Vec<u8> {
    let about = HashMap::from([(name.to_string(), text)]);
    safetensors::serialize(tensors, Some(about)).expect("shapes are those of the arrays, names differ")
}

/// The arrays of a file, and the text of this name.
///
/// # Errors
/// What is no such file, or has no such text.
pub fn decode(bytes: &[u8], name: &str) -> Result<(BTreeMap<String, Vec<f32>>, String), String> {
    let fault = |fault: SafeTensorError| format!("no safetensors file: {fault}");
    let (_, head) = SafeTensors::read_metadata(bytes).map_err(fault)?;
    let text = head.metadata().as_ref().and_then(|about| about.get(name)).cloned();
    let text = text.ok_or_else(|| format!("a safetensors file without `{name}`"))?;
    let mut all = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(fault)?.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(format!("`{name}` is not of single precision"));
        }
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        all.insert(name, values);
    }
    Ok((all, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back() {
        let one = Tensor { shape: vec![2, 1], values: Cow::Borrowed(&[0.1, f32::MIN_POSITIVE]) };
        let bytes = encode(vec![("a".into(), one)], ("about", "text".into()));
        let (all, text) = decode(&bytes, "about").unwrap();
        assert_eq!((all["a"].as_slice(), text.as_str()), (&[0.1, f32::MIN_POSITIVE][..], "text"));
        assert!(decode(&bytes, "other").unwrap_err().contains("without `other`"));
        assert!(decode(&bytes[..20], "about").unwrap_err().contains("no safetensors"));
    }
}
