//! Where foundation graphs are downloaded from: one table, which the user can replace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coffre::voice::foundation::Foundation;

use super::CliError;

/// Environment variable that names a table to be used instead.
const TABLE_VARIABLE: &str = "COFFRE_MODEL_HOMES";

/// A table in the models folder, under this name, replaces the one that Coffre comes with.
const TABLE_FILE: &str = "homes.json";

/// Larger files are no table of addresses.
const MAX_TABLE_BYTES: u64 = 1 << 16;

/// The public homes. They belong to others and cannot be vouched for, so no checksum stands here: what is fetched is
/// recognised by its inputs and outputs, and its checksum is kept from the first time on.
const PUBLIC: &str = include_str!("../../../models/homes.json");

/// Addresses by [`word`].
pub struct Homes {
    table: BTreeMap<String, String>,
    /// Where the table is from, for messages.
    from: String,
}

impl Homes {
    /// The table that [`TABLE_VARIABLE`] names, else the one in the models folder, else the public one.
    pub fn read(folder: &Path) -> Result<Self, CliError> {
        let chosen = std::env::var_os(TABLE_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = chosen.or_else(|| Some(folder.join(TABLE_FILE)).filter(|path| path.is_file()));
        let (text, from) = match path {
            Some(path) => (read_small(&path)?, path.display().to_string()),
            None => (PUBLIC.to_owned(), "the table of Coffre".to_owned()),
        };
        let table = serde_json::from_str(&text)
            .map_err(|error| CliError::Usage(format!("{from} is no table of addresses by name, in JSON: {error}")))?;
        Ok(Self { table, from })
    }

    /// The address of a kind of graph.
    pub fn address(&self, kind: Foundation) -> Result<&str, CliError> {
        let word = word(kind);
        self.table.get(word).map(String::as_str).ok_or_else(|| {
            CliError::Usage(format!("{} has no address for {word}; give one with --from ADDRESS", self.from))
        })
    }
}

/// What a kind is called on the command line and in tables.
pub fn word(kind: Foundation) -> &'static str {
    kind.file_name().trim_end_matches(".onnx")
}

fn read_small(path: &Path) -> Result<String, CliError> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| CliError::Usage(format!("{} cannot be read: {error}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_TABLE_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    match text.len() as u64 > MAX_TABLE_BYTES {
        true => Err(failed(std::io::Error::other("it is too large for a table of addresses"))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_table_has_addresses_for_what_is_fetched() {
        let homes = Homes { table: serde_json::from_str(PUBLIC).expect("JSON"), from: String::new() };
        for kind in [Foundation::ContentVec768, Foundation::ContentVec256, Foundation::Rmvpe] {
            assert!(homes.address(kind).expect("an address").starts_with("https://"));
        }
        assert!(homes.address(Foundation::ContentVec).is_err());
    }
}
