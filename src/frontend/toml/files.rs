//! Files that a network's file names: what stands in them takes the place of their names.

use super::ArchitectureError;
use crate::op::graph_conv::pairs;
use toml::Value;

/// The text of a file that a network's file names, or why there is none.
pub type Load<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Characters of a file's name that a message shows.
const SHOWN: usize = 200;

/// Puts the pairs of the file that a graph's `edges` names in place of the name.
///
/// # Errors
/// A file that cannot be read, or holds no pairs.
pub fn inline(value: &mut Value, load: Load) -> Result<(), ArchitectureError> {
    let Value::Table(table) = value else {
        let Value::Array(list) = value else { return Ok(()) };
        return list.iter_mut().try_for_each(|value| inline(value, load));
    };
    let graph = table.get("type").and_then(Value::as_str) == Some("graph-conv");
    if let (true, Some(Value::String(name))) = (graph, table.get("edges")) {
        let shown: String = name.chars().take(SHOWN).collect();
        let fault = |reason| ArchitectureError::value("graph-conv", format!("edges = {shown:?}: {reason}"));
        let found = load(name).and_then(|text| pairs(&text)).map_err(fault)?;
        let whole = |place: usize| Value::Integer(i64::try_from(place).unwrap_or(i64::MAX));
        let list = found.into_iter().map(|pair| Value::Array(pair.map(whole).to_vec()));
        table.insert("edges".into(), Value::Array(list.collect()));
    }
    table.iter_mut().try_for_each(|(_, value)| inline(value, load))
}

#[cfg(test)]
mod tests {
    use crate::frontend::toml::Architecture;

    const GRAPH: &str = r#"
        input = { shape = [3, 2] }
        layer = [{ type = "residual", layers = [{ type = "graph-conv", out = 2, edges = "e.csv" }] }]"#;

    #[test]
    fn the_pairs_of_a_file_stand_in_the_network() {
        let net = Architecture::parse_with(GRAPH, &|name| {
            assert_eq!(name, "e.csv");
            Ok("0,1\n1,2\n".into())
        });
        let inner = GRAPH.replace("\"e.csv\"", "[[0, 1], [1, 2]]");
        assert_eq!(net.unwrap(), Architecture::parse(&inner).unwrap());
        let fault = Architecture::parse_with(GRAPH, &|_| Ok("0 x".into())).unwrap_err().to_string();
        assert!(fault.starts_with("graph-conv: edges = \"e.csv\": line 1 is `0 x`"), "{fault}");
    }
}
