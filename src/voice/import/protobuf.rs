//! The protocol buffer encoding, as far as ONNX files use it: fields in, fields out.
//!
//! Never allocates by a number from the file.

use super::ImportError;

/// What a field holds.
pub(super) enum Value<'b> {
    /// A whole number.
    Number(u64),
    /// Text, numbers in a row or a message.
    Bytes(&'b [u8]),
    /// Four bytes.
    Four([u8; 4]),
    /// Eight bytes.
    Eight,
}

/// The fields of one message, in order.
pub(super) struct Fields<'b>(pub &'b [u8]);

impl<'b> Fields<'b> {
    /// The next whole number without a key.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: u64) -> Option<&'b [u8]> {
        let (part, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(part)
    }

    fn field(&mut self) -> Option<(u64, Value<'b>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Eight)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Four(self.take(4)?.try_into().ok()?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u64, Value<'b>), ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or_else(|| ImportError::damaged("it is not an ONNX file, or a truncated one"));
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Appends a whole number without a key.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field with a whole number.
pub(super) fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

/// Appends a field whose bytes are those of `parts`, one after the other.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u64, parts: &[&[u8]]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, parts.iter().map(|part| part.len() as u64).sum());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}
