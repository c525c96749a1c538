//! Rewrites a graph of 32-bit floats so that its large matrix products are computed in 8-bit integers.
//!
//! For ContentVec on the processor. Every `MatMul` and `Gemm` with a constant matrix becomes a `MatMulInteger`: weights
//! with a scale per column, activations with a scale per row, so that no frame depends on how loud another one is.
//! Products of two activations, convolutions and everything else stay. Standard operators only. A graph that is not fully
//! understood is left as it is: that is not an error. Knows no runtime and no thread.

use std::collections::HashMap;

use super::protobuf::{Fields, Value, put_bytes, put_number};

/// Environment variable that chooses 8-bit products: `1`. They take two fifths off what ContentVec costs, and cost
/// exactness, so that without it there are none.
pub const VARIABLE: &str = "COFFRE_INT8";

/// Before all names that are new.
const PREFIX: &[u8] = b"coffre_int8/";

/// Fewest weights of a matrix for which the way to whole numbers and back pays.
const MIN_WEIGHTS: usize = 1 << 14;

/// Most rows of a matrix: sums of `255 * 127` stay in 32 bits.
const MAX_ROWS: usize = 1 << 15;

/// Most matrices.
const MAX_WEIGHTS: usize = 1 << 12;

/// Operator versions whose nodes are written here.
const OPSETS: std::ops::RangeInclusive<u64> = 11..=25;

/// Since this version `ReduceMax` takes its axes as an input.
const AXES_AS_INPUT: u64 = 18;

/// Element types as the format numbers them.
const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const INT8: u64 = 3;
const INT64: u64 = 7;

/// Whether [`VARIABLE`] asks for 8-bit products.
pub fn is_chosen() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|word| matches!(word.to_string_lossy().trim(), "1" | "on" | "true"))
}

/// The file with 8-bit products; `None` where there is nothing to gain or something is not understood.
pub fn rewrite(file: &[u8]) -> Option<Vec<u8>> {
    let (mut graph, mut opset) = (None, None);
    for field in Fields(file) {
        match field.ok()? {
            (7, Value::Bytes(body)) if graph.replace(body).is_some() => return None,
            (8, Value::Bytes(import)) => {
                if let (true, version) = opset_of(import)? {
                    opset = Some(version);
                }
            }
            _ => {}
        }
    }
    let opset = opset.filter(|version| OPSETS.contains(version))?;
    let graph = graph?;
    let weights = weights(graph)?;
    let body = Writer { body: Vec::new(), opset, quantised: HashMap::new(), count: 0 }.graph(graph, &weights)?;
    let mut out = Vec::with_capacity(body.len() + 4_096);
    for field in Fields(file) {
        match field.ok()? {
            (7, Value::Bytes(_)) => put_bytes(&mut out, 7, &[&body]),
            (number, Value::Bytes(bytes)) => put_bytes(&mut out, number, &[bytes]),
            (number, Value::Number(value)) => put_number(&mut out, number, value),
            (_, Value::Four(_) | Value::Eight) => return None,
        }
    }
    Some(out)
}

/// Whether an import is that of the standard operators, and its version.
fn opset_of(import: &[u8]) -> Option<(bool, u64)> {
    let (mut is_standard, mut version) = (true, 0);
    for field in Fields(import) {
        match field.ok()? {
            (1, Value::Bytes(domain)) => is_standard = is_standard_domain(domain),
            (2, Value::Number(value)) => version = value,
            _ => {}
        }
    }
    Some((is_standard, version))
}

fn is_standard_domain(domain: &[u8]) -> bool {
    domain.is_empty() || domain == b"ai.onnx"
}

/// A constant matrix of 32-bit floats.
struct Weight<'b> {
    rows: usize,
    columns: usize,
    /// Little endian.
    bytes: &'b [u8],
    /// How often nodes take it, and how often as a matrix that can be replaced.
    uses: usize,
    products: usize,
}

type Weights<'b> = HashMap<&'b [u8], Weight<'b>>;

/// The matrices that only products take; `None` when there are none or the graph has parts that are not understood.
fn weights(graph: &[u8]) -> Option<Weights<'_>> {
    let mut weights = Weights::new();
    for field in Fields(graph) {
        match field.ok()? {
            (5, Value::Bytes(tensor)) => {
                let (name, weight) = matrix(tensor)?;
                let is_known = weight.is_some_and(|weight| weights.insert(name, weight).is_some());
                if is_known || name.starts_with(PREFIX) || weights.len() > MAX_WEIGHTS {
                    return None;
                }
            }
            // Sparse weights and annotations about numbers.
            (14 | 15, _) => return None,
            _ => {}
        }
    }
    for field in Fields(graph) {
        match field.ok()? {
            (1, Value::Bytes(node)) => {
                let node = Node::read(node)?;
                let product = node.product();
                for (place, name) in node.inputs.iter().enumerate() {
                    if let Some(weight) = weights.get_mut(*name) {
                        weight.uses += 1;
                        weight.products += usize::from(place == 1 && product.is_some());
                    }
                }
            }
            // What a caller may give or take is no constant.
            (11 | 12, Value::Bytes(port)) => {
                let mut names = Fields(port).map_while(Result::ok);
                if let Some((1, Value::Bytes(name))) = names.find(|(number, _)| *number == 1) {
                    if name.starts_with(PREFIX) {
                        return None;
                    }
                    weights.remove(name);
                }
            }
            _ => {}
        }
    }
    weights.retain(|_, weight| weight.uses > 0 && weight.uses == weight.products);
    (!weights.is_empty()).then_some(weights)
}

/// Name of a constant, and what it holds if it is a matrix of floats that is worth it.
fn matrix(tensor: &[u8]) -> Option<(&[u8], Option<Weight<'_>>)> {
    let (mut name, mut bytes, mut kind) = (&[][..], None, 0);
    let (mut dims, mut rank, mut is_plain) = ([0_u64; 2], 0, true);
    let mut dim = |value: u64| {
        if let Some(place) = dims.get_mut(rank) {
            *place = value;
        }
        rank += 1;
    };
    for field in Fields(tensor) {
        match field.ok()? {
            (1, Value::Number(value)) => dim(value),
            (1, Value::Bytes(packed)) => {
                let mut packed = Fields(packed);
                while let Some(value) = packed.varint() {
                    dim(value);
                }
            }
            (2, Value::Number(value)) => kind = value,
            (4 | 9, Value::Bytes(values)) if bytes.is_none() => bytes = Some(values),
            (8, Value::Bytes(text)) => name = text,
            // In another file, in parts, or not as bytes.
            (3 | 4 | 9 | 13, _) => is_plain = false,
            (14, Value::Number(place)) => is_plain &= place == 0,
            _ => {}
        }
    }
    let [rows, columns] = dims.map(|dim| usize::try_from(dim).unwrap_or(usize::MAX));
    let count = rows.checked_mul(columns).filter(|count| *count >= MIN_WEIGHTS);
    let weight = bytes.filter(|bytes| {
        let fits = is_plain && kind == FLOAT && rank == 2 && rows.max(columns) <= MAX_ROWS;
        fits && count.and_then(|count| count.checked_mul(4)) == Some(bytes.len())
    });
    Some((name, weight.map(|bytes| Weight { rows, columns, bytes, uses: 0, products: 0 })))
}

/// A node as far as it matters here.
struct Node<'b> {
    inputs: Vec<&'b [u8]>,
    outputs: Vec<&'b [u8]>,
    kind: &'b [u8],
    is_standard: bool,
    is_transposed: bool,
    /// Whether attributes leave a plain product.
    is_plain: bool,
}

/// Most inputs or outputs of a node.
const MAX_EDGES: usize = 1 << 10;

impl<'b> Node<'b> {
    /// `None` for a node that holds a graph of its own or a name that is used here.
    fn read(message: &'b [u8]) -> Option<Self> {
        let (inputs, outputs, kind) = (Vec::new(), Vec::new(), &[][..]);
        let mut node = Self { inputs, outputs, kind, is_standard: true, is_transposed: false, is_plain: true };
        for field in Fields(message) {
            match field.ok()? {
                (1, Value::Bytes(name)) => node.inputs.push(name),
                (2, Value::Bytes(name)) if !name.starts_with(PREFIX) => node.outputs.push(name),
                (2, _) => return None,
                (4, Value::Bytes(kind)) => node.kind = kind,
                (5, Value::Bytes(attribute)) => node.attribute(attribute)?,
                (7, Value::Bytes(domain)) => node.is_standard = is_standard_domain(domain),
                _ => {}
            }
        }
        (node.inputs.len().max(node.outputs.len()) <= MAX_EDGES).then_some(node)
    }

    fn attribute(&mut self, message: &[u8]) -> Option<()> {
        let (mut name, mut whole, mut float) = (&[][..], 0, 0.0);
        for field in Fields(message) {
            match field.ok()? {
                (1, Value::Bytes(text)) => name = text,
                (2, Value::Four(bytes)) => float = f32::from_le_bytes(bytes),
                (3, Value::Number(value)) => whole = value,
                (6 | 11, _) => return None,
                _ => {}
            }
        }
        match name {
            b"transB" => self.is_transposed = whole != 0,
            b"transA" => self.is_plain &= whole == 0,
            b"alpha" | b"beta" => self.is_plain &= float == 1.0,
            _ => self.is_plain = false,
        }
        Some(())
    }

    /// Whether it is a product by its second input, and whether that is turned.
    fn product(&self) -> Option<bool> {
        let counts = (self.inputs.len(), self.outputs.len());
        let is_product = match self.kind {
            b"MatMul" => counts == (2, 1) && !self.is_transposed,
            b"Gemm" => matches!(counts, (2 | 3, 1)),
            _ => false,
        };
        let has_names = self.inputs.iter().chain(&self.outputs).all(|name| !name.is_empty());
        (is_product && has_names && self.is_standard && self.is_plain).then_some(self.is_transposed)
    }
}

/// The body of the new graph.
struct Writer<'b> {
    body: Vec<u8>,
    opset: u64,
    /// Where what flows into products is in whole numbers: prefix of the names, by name.
    quantised: HashMap<&'b [u8], Vec<u8>>,
    count: usize,
}

/// Names with these endings stand for the same value in steps.
fn named(prefix: &[u8], end: &str) -> Vec<u8> {
    [prefix, end.as_bytes()].concat()
}

impl<'b> Writer<'b> {
    fn graph(mut self, graph: &'b [u8], weights: &Weights<'b>) -> Option<Vec<u8>> {
        self.body.reserve(graph.len() / 3);
        let mut written: HashMap<&[u8], bool> = HashMap::new();
        for field in Fields(graph) {
            match field.ok()? {
                (1, Value::Bytes(message)) => {
                    let node = Node::read(message)?;
                    let weight = node.inputs.get(1).and_then(|name| weights.get_key_value(*name));
                    match (node.product(), weight) {
                        (Some(is_transposed), Some((name, weight))) => {
                            match written.insert(name, is_transposed) {
                                None => self.weight(name, weight, is_transposed)?,
                                // The same matrix both ways round.
                                Some(was) if was != is_transposed => return None,
                                Some(_) => {}
                            }
                            self.product(&node, name);
                        }
                        _ => put_bytes(&mut self.body, 1, &[message]),
                    }
                }
                (5, Value::Bytes(tensor)) => {
                    let (name, _) = matrix(tensor)?;
                    if !weights.contains_key(name) {
                        put_bytes(&mut self.body, 5, &[tensor]);
                    }
                }
                (number, Value::Bytes(bytes)) => put_bytes(&mut self.body, number, &[bytes]),
                (number, Value::Number(value)) => put_number(&mut self.body, number, value),
                (_, Value::Four(_) | Value::Eight) => return None,
            }
        }
        let whole = |value: f32| value.to_le_bytes();
        self.constant(&named(PREFIX, "step"), FLOAT, &[], &whole(1.0 / 127.0));
        self.constant(&named(PREFIX, "least"), FLOAT, &[], &whole(1e-20));
        self.constant(&named(PREFIX, "middle"), FLOAT, &[], &whole(128.0));
        self.constant(&named(PREFIX, "zero"), UINT8, &[], &[128]);
        self.constant(&named(PREFIX, "last"), INT64, &[1], &(-1_i64).to_le_bytes());
        Some(self.body)
    }

    fn constant(&mut self, name: &[u8], kind: u64, shape: &[usize], values: &[u8]) {
        let mut head = Vec::new();
        shape.iter().for_each(|&size| put_number(&mut head, 1, size as u64));
        put_number(&mut head, 2, kind);
        put_bytes(&mut head, 8, &[name]);
        super::protobuf::put_varint(&mut head, 9 << 3 | 2);
        super::protobuf::put_varint(&mut head, values.len() as u64);
        put_bytes(&mut self.body, 5, &[&head, values]);
    }

    /// Weights in whole numbers, `[inputs, outputs]`, and the scale of each output; `None` when they are not finite.
    fn weight(&mut self, name: &[u8], weight: &Weight<'_>, is_transposed: bool) -> Option<()> {
        let (rows, columns) = (weight.rows, weight.columns);
        let value = |four: &[u8]| four.try_into().map_or(f32::NAN, f32::from_le_bytes);
        let row = |row: usize| weight.bytes[4 * row * columns..][..4 * columns].chunks_exact(4).map(value);
        // Of positive numbers the order of their bits is theirs, and what is not finite comes last.
        let size = |value: f32| value.abs().to_bits();
        let mut largest = vec![0; if is_transposed { rows } else { columns }];
        for number in 0..rows {
            match is_transposed {
                true => largest[number] = row(number).map(size).fold(0, u32::max),
                false => largest.iter_mut().zip(row(number)).for_each(|(peak, value)| *peak = size(value).max(*peak)),
            }
        }
        let largest: Vec<f32> = largest.into_iter().map(f32::from_bits).collect();
        if !largest.iter().all(|peak| peak.is_finite()) {
            return None;
        }
        let scales: Vec<f32> = largest.iter().map(|&peak| if peak > 1e-30 { peak / 127.0 } else { 1.0 }).collect();
        let factors: Vec<f32> = scales.iter().map(|scale| 1.0 / scale).collect();
        // Rounds: the last bits of a number of this size are the whole ones.
        let whole = |value: f32, factor: f32| ((value * factor) + 12_582_912.0).to_bits() as u8;
        let mut values = vec![0; rows * columns];
        if is_transposed {
            for (number, factor) in factors.iter().enumerate() {
                let places = values[number..].iter_mut().step_by(rows);
                places.zip(row(number)).for_each(|(place, value)| *place = whole(value, *factor));
            }
        } else {
            for (number, places) in values.chunks_exact_mut(columns).enumerate() {
                let given = row(number).zip(&factors);
                places.iter_mut().zip(given).for_each(|(place, (value, factor))| *place = whole(value, *factor));
            }
        }
        let shape = if is_transposed { [columns, rows] } else { [rows, columns] };
        let scales: Vec<u8> = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        let prefix = [PREFIX, name].concat();
        self.constant(&named(&prefix, "/whole"), INT8, &shape, &values);
        self.constant(&named(&prefix, "/scale"), FLOAT, &shape[1..], &scales);
        Some(())
    }

    /// A node; an attribute is a name and a number, `[number]` for a list.
    fn node(&mut self, kind: &str, inputs: &[&[u8]], output: &[u8], attributes: &[(&str, i64, bool)]) {
        let mut node = Vec::new();
        inputs.iter().for_each(|name| put_bytes(&mut node, 1, &[name]));
        put_bytes(&mut node, 2, &[output]);
        put_bytes(&mut node, 4, &[kind.as_bytes()]);
        for &(name, value, is_list) in attributes {
            let mut attribute = Vec::new();
            put_bytes(&mut attribute, 1, &[name.as_bytes()]);
            put_number(&mut attribute, if is_list { 8 } else { 3 }, value.cast_unsigned());
            put_number(&mut attribute, 20, if is_list { 7 } else { 2 });
            put_bytes(&mut node, 5, &[&attribute]);
        }
        put_bytes(&mut self.body, 1, &[&node]);
    }

    /// Brings what flows in to whole numbers around 128, each row by its own scale, and gives the prefix of their names.
    fn quantise(&mut self, x: &'b [u8]) -> Vec<u8> {
        if let Some(prefix) = self.quantised.get(x) {
            return prefix.clone();
        }
        let prefix = named(PREFIX, &format!("{}/", self.count));
        self.count += 1;
        self.quantised.insert(x, prefix.clone());
        let [size, peak, step, scale, ratio, round, moved, whole] =
            ["size", "peak", "step", "scale", "ratio", "round", "moved", "whole"].map(|end| named(&prefix, end));
        self.node("Abs", &[x], &size, &[]);
        match self.opset >= AXES_AS_INPUT {
            true => self.node("ReduceMax", &[&size, &named(PREFIX, "last")], &peak, &[("keepdims", 1, false)]),
            false => self.node("ReduceMax", &[&size], &peak, &[("axes", -1, true), ("keepdims", 1, false)]),
        }
        self.node("Mul", &[&peak, &named(PREFIX, "step")], &step, &[]);
        self.node("Max", &[&step, &named(PREFIX, "least")], &scale, &[]);
        self.node("Div", &[x, &scale], &ratio, &[]);
        self.node("Round", &[&ratio], &round, &[]);
        self.node("Add", &[&round, &named(PREFIX, "middle")], &moved, &[]);
        self.node("Cast", &[&moved], &whole, &[("to", UINT8.cast_signed(), false)]);
        prefix
    }

    fn product(&mut self, node: &Node<'b>, weight: &[u8]) {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let prefix = self.quantise(x);
        let (weight, own) = ([PREFIX, weight].concat(), [PREFIX, b"of/", y].concat());
        let [sum, float, column] = ["/sum", "/float", "/column"].map(|end| named(&own, end));
        let whole = [&named(&prefix, "whole")[..], &named(&weight, "/whole"), &named(PREFIX, "zero")];
        self.node("MatMulInteger", &whole, &sum, &[]);
        self.node("Cast", &[&sum], &float, &[("to", FLOAT.cast_signed(), false)]);
        // One after the other: a runtime that joins both scales first takes the row's for one of the whole.
        self.node("Mul", &[&float, &named(&weight, "/scale")], &column, &[]);
        let scale = named(&prefix, "scale");
        match node.inputs.get(2) {
            None => self.node("Mul", &[&column, &scale], y, &[]),
            Some(bias) => {
                let row = named(&own, "/row");
                self.node("Mul", &[&column, &scale], &row, &[]);
                self.node("Add", &[&row, bias], y, &[]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix of 128 by 128 with further fields.
    fn tensor(further: &[(u64, u64)], len: usize) -> Vec<u8> {
        let mut tensor = Vec::new();
        put_bytes(&mut tensor, 1, &[&[0x80, 1, 0x80, 1]]);
        put_number(&mut tensor, 2, FLOAT);
        put_bytes(&mut tensor, 8, &[b"w"]);
        further.iter().for_each(|&(field, value)| put_number(&mut tensor, field, value));
        put_bytes(&mut tensor, 9, &[&vec![0; len]]);
        tensor
    }

    #[test]
    fn only_whole_matrices_of_floats_in_the_file_itself_count() {
        let is_matrix =
            |tensor: Vec<u8>| matrix(&tensor).is_some_and(|(name, weight)| name == b"w" && weight.is_some());
        let len = 4 * 128 * 128;
        assert!(is_matrix(tensor(&[], len)));
        let cases: [(&[(u64, u64)], usize); 6] = [
            (&[], len - 4),
            (&[(14, 1)], len),
            (&[(2, 10)], len),
            (&[(1, 1)], len),
            (&[(3, 5)], len),
            (&[(9, 5)], len),
        ];
        for (further, len) in cases {
            assert!(!is_matrix(tensor(further, len)), "{further:?}, {len} bytes");
        }
    }

    #[test]
    fn a_node_with_a_graph_of_its_own_is_not_read() {
        let attribute = |field: u64| {
            let (mut attribute, mut node) = (Vec::new(), Vec::new());
            put_bytes(&mut attribute, 1, &[b"then_branch"]);
            put_bytes(&mut attribute, field, &[b""]);
            put_bytes(&mut node, 5, &[&attribute]);
            node
        };
        assert!(Node::read(&attribute(4)).is_some() && Node::read(&attribute(6)).is_none());
        let mut node = Vec::new();
        put_bytes(&mut node, 2, &[PREFIX, b"x"]);
        assert!(Node::read(&node).is_none());
    }
}
