//! What an ONNX file says about itself, read without a runtime: inputs, outputs and metadata.
//!
//! Skips what it does not need, above all the weights. Never allocates by a number from the file.

use super::ImportError;
use super::protobuf::{Fields, Value};

/// Most inputs and outputs, and most metadata entries.
const MAX_ITEMS: usize = 64;

/// Longest name or metadata value, in bytes.
const MAX_TEXT_LEN: usize = 4_096;

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxPort {
    /// Name in the graph.
    pub name: String,
    /// Element type as the format numbers it: 1 = f32, 7 = i64, 10 = f16.
    pub element: u64,
    /// Sizes; `None` where the graph leaves one open.
    pub shape: Vec<Option<usize>>,
}

/// The outside of a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnnxOutline {
    /// Inputs that are no weights.
    pub inputs: Vec<OnnxPort>,
    /// Outputs.
    pub outputs: Vec<OnnxPort>,
    /// Keys and values.
    pub metadata: Vec<(String, String)>,
}

impl OnnxOutline {
    /// Reads the outline of a file.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] if it is not an ONNX file.
    pub fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        let mut outline = Self::default();
        let mut has_graph = false;
        let mut weights = Vec::new();
        for field in Fields(bytes) {
            match field? {
                (7, Value::Bytes(graph)) => {
                    has_graph = true;
                    for field in Fields(graph) {
                        match field? {
                            (5, Value::Bytes(weight)) if weights.len() < 1 << 16 => weights.extend(name_of(weight, 8)?),
                            (11, Value::Bytes(part)) if outline.inputs.len() < MAX_ITEMS => {
                                outline.inputs.push(port(part)?)
                            }
                            (12, Value::Bytes(part)) if outline.outputs.len() < MAX_ITEMS => {
                                outline.outputs.push(port(part)?);
                            }
                            _ => {}
                        }
                    }
                }
                (14, Value::Bytes(entry)) if outline.metadata.len() < MAX_ITEMS => {
                    if let (Some(key), Some(value)) = (name_of(entry, 1)?, name_of(entry, 2)?) {
                        outline.metadata.push((key, value));
                    }
                }
                _ => {}
            }
        }
        if !has_graph || outline.outputs.is_empty() {
            return Err(ImportError::damaged("it is not an ONNX file"));
        }
        // Old files list weights among the inputs.
        weights.sort_unstable();
        outline.inputs.retain(|port| weights.binary_search(&port.name).is_err());
        Ok(outline)
    }

    /// An input by name.
    pub fn input(&self, name: &str) -> Option<&OnnxPort> {
        self.inputs.iter().find(|port| port.name == name)
    }

    /// A metadata value.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// The text in a field of a message.
fn name_of(message: &[u8], wanted: u64) -> Result<Option<String>, ImportError> {
    for field in Fields(message) {
        if let (number, Value::Bytes(text)) = field?
            && number == wanted
        {
            return Ok(Some(String::from_utf8_lossy(&text[..text.len().min(MAX_TEXT_LEN)]).into_owned()));
        }
    }
    Ok(None)
}

fn port(message: &[u8]) -> Result<OnnxPort, ImportError> {
    let mut port = OnnxPort { name: name_of(message, 1)?.unwrap_or_default(), element: 0, shape: Vec::new() };
    let nested = |message: &'_ [u8], wanted: u64| -> Result<Vec<u8>, ImportError> {
        for field in Fields(message) {
            if let (number, Value::Bytes(part)) = field?
                && number == wanted
            {
                return Ok(part.get(..part.len().min(MAX_TEXT_LEN)).unwrap_or_default().to_vec());
            }
        }
        Ok(Vec::new())
    };
    let tensor = nested(&nested(message, 2)?, 1)?;
    for field in Fields(&tensor) {
        match field? {
            (1, Value::Number(element)) => port.element = element,
            (2, Value::Bytes(shape)) => {
                for dim in Fields(shape) {
                    if let (1, Value::Bytes(dim)) = dim?
                        && port.shape.len() < 8
                    {
                        let mut size = None;
                        for field in Fields(dim) {
                            if let (1, Value::Number(value)) = field? {
                                size = usize::try_from(value).ok().filter(|size| *size < 1 << 32);
                            }
                        }
                        port.shape.push(size);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(port)
}
