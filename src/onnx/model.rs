//! Writes ONNX files: a graph is put together node by node and comes out as bytes that any runtime reads.
//!
//! Only the few messages of the format that a graph of ours needs (onnx.proto3, IR version 8, opset 17). Names no
//! runtime, so importing and building work without one.

/// Opset that the nodes are taken from.
const OPSET: u64 = 17;

const IR_VERSION: u64 = 8;

/// Element types, as the format numbers them.
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// A value that flows from node to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge(String);

impl Edge {
    /// In the place of an input that a node can do without.
    pub fn none() -> Self {
        Self(String::new())
    }
}

/// Size of one axis of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Any size, the same wherever the name is.
    Open(&'static str),
}

/// A constant that belongs to a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attribute<'a> {
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(&'a [i64]),
    /// A number.
    Float(f32),
    /// A word.
    Text(&'a str),
}

/// A graph under construction.
#[derive(Debug, Default)]
pub struct GraphWriter {
    nodes: Message,
    initializers: Message,
    inputs: Message,
    outputs: Message,
    edges: usize,
}

impl GraphWriter {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// An input of 32-bit floats.
    pub fn input(&mut self, name: &str, shape: &[Dim]) -> Edge {
        self.inputs.message(11, &port(name, shape));
        Edge(name.to_owned())
    }

    /// Makes a value an output of 32-bit floats.
    pub fn output(&mut self, edge: &Edge, name: &str, shape: &[Dim]) {
        let mut node = Message::default();
        node.text(1, &edge.0);
        node.text(2, name);
        node.text(4, "Identity");
        self.nodes.message(1, &node);
        self.outputs.message(12, &port(name, shape));
    }

    /// Constant floats.
    ///
    /// # Panics
    /// When the shape does not fit the values.
    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> Edge {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "a constant has as many values as its shape says");
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(FLOAT, shape, &bytes)
    }

    /// A list of constant whole numbers.
    pub fn ints(&mut self, values: &[i64]) -> Edge {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(INT64, &[values.len()], &bytes)
    }

    fn constant(&mut self, kind: u64, shape: &[usize], bytes: &[u8]) -> Edge {
        let edge = self.new_edge();
        let mut tensor = Message::default();
        shape.iter().for_each(|&size| tensor.number(1, size as u64));
        tensor.number(2, kind);
        tensor.text(8, &edge.0);
        tensor.bytes(9, bytes);
        self.initializers.message(5, &tensor);
        edge
    }

    fn new_edge(&mut self) -> Edge {
        self.edges += 1;
        Edge(format!("e{}", self.edges))
    }

    /// A node with one output.
    pub fn node(&mut self, kind: &str, inputs: &[&Edge], attributes: &[(&str, Attribute<'_>)]) -> Edge {
        let [edge] = self.split_node(kind, inputs, attributes);
        edge
    }

    /// A node with `N` outputs.
    pub fn split_node<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[&Edge],
        attributes: &[(&str, Attribute<'_>)],
    ) -> [Edge; N] {
        let outputs = std::array::from_fn(|_| self.new_edge());
        let mut node = Message::default();
        inputs.iter().for_each(|input| node.text(1, &input.0));
        outputs.iter().for_each(|output: &Edge| node.text(2, &output.0));
        node.text(4, kind);
        for (name, value) in attributes {
            let mut attribute = Message::default();
            attribute.text(1, name);
            match value {
                Attribute::Float(value) => {
                    attribute.float(2, *value);
                    attribute.number(20, 1);
                }
                Attribute::Int(value) => {
                    attribute.number(3, value.cast_unsigned());
                    attribute.number(20, 2);
                }
                Attribute::Text(text) => {
                    attribute.text(4, text);
                    attribute.number(20, 3);
                }
                Attribute::Ints(values) => {
                    values.iter().for_each(|value| attribute.number(8, value.cast_unsigned()));
                    attribute.number(20, 7);
                }
            }
            node.message(5, &attribute);
        }
        self.nodes.message(1, &node);
        outputs
    }

    /// The file.
    pub fn finish(self, name: &str, metadata: &[(&str, &str)]) -> Vec<u8> {
        let mut title = Message::default();
        title.text(2, name);
        let parts = [&self.nodes, &title, &self.initializers, &self.inputs, &self.outputs];
        let mut model = Message(Vec::with_capacity(parts.iter().map(|part| part.0.len()).sum::<usize>() + 256));
        model.number(1, IR_VERSION);
        model.text(2, "coffre");
        let mut opset = Message::default();
        opset.number(2, OPSET);
        model.message(8, &opset);
        for (key, value) in metadata {
            let mut entry = Message::default();
            entry.text(1, key);
            entry.text(2, value);
            model.message(14, &entry);
        }
        // The graph itself, field 7, without a copy of its parts in between.
        model.key(7, 2);
        model.varint(parts.iter().map(|part| part.0.len() as u64).sum());
        parts.iter().for_each(|part| model.0.extend_from_slice(&part.0));
        model.0
    }
}

fn port(name: &str, shape: &[Dim]) -> Message {
    let mut sizes = Message::default();
    for dim in shape {
        let mut size = Message::default();
        match dim {
            Dim::Fixed(value) => size.number(1, *value as u64),
            Dim::Open(name) => size.text(2, name),
        }
        sizes.message(1, &size);
    }
    let mut tensor = Message::default();
    tensor.number(1, FLOAT);
    tensor.message(2, &sizes);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut port = Message::default();
    port.text(1, name);
    port.message(2, &kind);
    port
}

/// One message of the protocol buffer encoding.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_message_by_table() {
        let mut message = Message::default();
        message.number(1, 300);
        message.text(2, "ab");
        message.float(3, 1.0);
        assert_eq!(message.0, [0x08, 0xac, 0x02, 0x12, 2, b'a', b'b', 0x1d, 0, 0, 0x80, 0x3f]);
        let mut negative = Message::default();
        negative.number(8, (-1_i64).cast_unsigned());
        assert_eq!(negative.0, [0x40, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }
}
