//! A pickle reader that builds data and cannot run anything.
//!
//! Classes and functions are only names here. The few that checkpoints use have a meaning as data (a tensor is a view of a
//! storage, an ordered dictionary is a dictionary); a file that calls any other name is refused. Memory is
//! bounded by the length of the input: every object costs at least one byte of it.

use std::collections::BTreeMap;

use super::ImportError;

/// Most objects of one file, and most places that one may be noted or lie open in. A checkpoint has about ten thousand,
/// a state of training fifty.
const MAX_OBJECTS: usize = 1 << 18;

/// Longest name of a class, in bytes: names are copied, so their length must not multiply.
const MAX_NAME_LEN: usize = 200;

/// Longest name of a storage, in bytes. PyTorch counts them.
const MAX_STORAGE_NAME_LEN: usize = 32;

/// Reference to an object of a [`Pickle`].
pub type Handle = usize;

/// Element type of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// 16-bit float.
    F16,
    /// 16-bit float with the exponent of a 32-bit one.
    Bf16,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// Whole numbers, which no weight of a voice is made of.
    Other,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorView {
    /// Name of the storage's member in the archive.
    pub storage: String,
    /// Its element type.
    pub scalar: Scalar,
    /// Elements before the first one.
    pub offset: usize,
    /// Size along each axis.
    pub shape: Vec<usize>,
    /// Elements from one index to the next along each axis.
    pub strides: Vec<usize>,
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number of at most 64 bits.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes, whose content is not needed.
    Bytes,
    /// A list, tuple or set.
    List(Vec<Handle>),
    /// Keys and values in the order in which they came.
    Dict(Vec<(Handle, Handle)>),
    /// The name of a class or function.
    Name(String),
    /// A storage: element type and name of its member.
    Storage(Scalar, String),
    /// A tensor.
    Tensor(TensorView),
    /// Something known to be harmless and of no use here.
    Opaque,
}

/// A read pickle.
#[derive(Debug)]
pub struct Pickle {
    objects: Vec<Object>,
    root: Handle,
}

impl Pickle {
    /// Reads a pickle of protocol 2 to 5.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] if it is not a pickle, [`ImportError::Code`] if it calls something.
    pub fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        let mut machine =
            Machine { bytes, at: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
        let root = machine.run()?;
        Ok(Self { objects: machine.objects, root })
    }

    /// The outermost object.
    pub fn root(&self) -> &Object {
        &self.objects[self.root]
    }

    /// An object.
    pub fn get(&self, handle: Handle) -> &Object {
        &self.objects[handle]
    }

    /// The value that belongs to a text key; the last one wins.
    pub fn entry(&self, dict: &Object, key: &str) -> Option<&Object> {
        let Object::Dict(pairs) = dict else { return None };
        let is_key = |handle: Handle| matches!(self.get(handle), Object::Text(text) if text == key);
        pairs.iter().rev().find(|(name, _)| is_key(*name)).map(|(_, value)| self.get(*value))
    }
}

fn too_many() -> ImportError {
    ImportError::damaged(format!("it holds more than {MAX_OBJECTS} objects"))
}

struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Handle>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Handle>,
}

fn cut() -> ImportError {
    ImportError::damaged("its description ends too early")
}

fn broken() -> ImportError {
    ImportError::damaged("its description contradicts itself")
}

impl<'b> Machine<'b> {
    fn run(&mut self) -> Result<Handle, ImportError> {
        loop {
            let code = self.take(1)?[0];
            match code {
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'.' => return self.pop(),
                b'(' => self.mark()?,
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.put(top)?;
                }
                b'N' => self.push(Object::None)?,
                0x88 => self.push(Object::Bool(true))?,
                0x89 => self.push(Object::Bool(false))?,
                b'K' => self.int(1)?,
                b'M' => self.int(2)?,
                b'J' => {
                    let value = self.number(4)? as u32;
                    self.push(Object::Int(i64::from(value.cast_signed())))?;
                }
                0x8a => self.long(1)?,
                0x8b => self.long(4)?,
                b'G' => {
                    let value = f64::from_bits(self.number(8)?.swap_bytes());
                    self.push(Object::Float(value))?;
                }
                b'X' | b'T' => self.text(4)?,
                0x8c | b'U' => self.text(1)?,
                0x8d => self.text(8)?,
                b'B' => self.blob(4)?,
                b'C' => self.blob(1)?,
                0x8e | 0x96 => self.blob(8)?,
                b'}' => self.push(Object::Dict(Vec::new()))?,
                b']' | b')' | 0x8f => self.push(Object::List(Vec::new()))?,
                b't' | b'l' | 0x91 => {
                    let items = self.pop_mark()?;
                    self.push(Object::List(items))?;
                }
                0x85..=0x87 => {
                    let count = usize::from(code - 0x84);
                    let start = self.stack.len().checked_sub(count).ok_or_else(broken)?;
                    let items = self.stack.split_off(start);
                    self.push(Object::List(items))?;
                }
                b'd' => {
                    let items = self.pop_mark()?;
                    self.push(Object::Dict(pairs(&items)?))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend_list(&[item])?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_mark()?;
                    self.extend_list(&items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.extend_dict(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.extend_dict(&items)?;
                }
                b'c' => {
                    let name = format!("{}.{}", self.line()?, self.line()?);
                    self.push(Object::Name(name))?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Object::Text(module), Object::Text(name)) = (&self.objects[module], &self.objects[name])
                    else {
                        return Err(broken());
                    };
                    if module.len() + name.len() > MAX_NAME_LEN {
                        return Err(broken());
                    }
                    let name = format!("{module}.{name}");
                    self.push(Object::Name(name))?;
                }
                b'q' => self.memorise(1)?,
                b'r' => self.memorise(4)?,
                0x94 => {
                    let key = self.memo.len() as u32;
                    self.note(key)?;
                }
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,
                b'Q' => self.persistent()?,
                b'R' | 0x81 => self.call()?,
                b'b' => self.build()?,
                other => {
                    return Err(ImportError::damaged(format!("its description holds the unknown code 0x{other:02x}")));
                }
            }
        }
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], ImportError> {
        let end = self.at.checked_add(len).ok_or_else(cut)?;
        let part = self.bytes.get(self.at..end).ok_or_else(cut)?;
        self.at = end;
        Ok(part)
    }

    /// A little-endian whole number of `len` bytes.
    fn number(&mut self, len: usize) -> Result<u64, ImportError> {
        Ok(self.take(len)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn sized(&mut self, len_bytes: usize) -> Result<&'b [u8], ImportError> {
        let len = usize::try_from(self.number(len_bytes)?).map_err(|_| cut())?;
        self.take(len)
    }

    fn line(&mut self) -> Result<&'b str, ImportError> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().take(MAX_NAME_LEN).position(|byte| *byte == b'\n').ok_or_else(cut)?;
        let line = self.take(len + 1)?;
        std::str::from_utf8(&line[..len]).map_err(|_| broken())
    }

    fn push(&mut self, object: Object) -> Result<(), ImportError> {
        if self.objects.len() >= MAX_OBJECTS {
            return Err(too_many());
        }
        self.objects.push(object);
        self.put(self.objects.len() - 1)
    }

    /// Puts an object on the stack.
    fn put(&mut self, handle: Handle) -> Result<(), ImportError> {
        // As many again, for those that are meant more than once.
        if self.stack.len() >= 2 * MAX_OBJECTS {
            return Err(too_many());
        }
        self.stack.push(handle);
        Ok(())
    }

    fn mark(&mut self) -> Result<(), ImportError> {
        if self.marks.len() >= MAX_OBJECTS {
            return Err(too_many());
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Notes the object on top of the stack.
    fn note(&mut self, key: u32) -> Result<(), ImportError> {
        let top = self.top()?;
        if self.memo.len() >= MAX_OBJECTS {
            return Err(too_many());
        }
        self.memo.insert(key, top);
        Ok(())
    }

    fn int(&mut self, len: usize) -> Result<(), ImportError> {
        let value = self.number(len)?;
        self.push(Object::Int(value as i64))
    }

    /// A whole number of any length; beyond 64 bits its value is of no use.
    fn long(&mut self, len_bytes: usize) -> Result<(), ImportError> {
        let bytes = self.sized(len_bytes)?;
        let object = match bytes.len() {
            0 => Object::Int(0),
            len @ 1..=8 => {
                let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
                let unused = 64 - 8 * len as u32;
                Object::Int((value << unused).cast_signed() >> unused)
            }
            _ => Object::Opaque,
        };
        self.push(object)
    }

    fn text(&mut self, len_bytes: usize) -> Result<(), ImportError> {
        let text = String::from_utf8_lossy(self.sized(len_bytes)?).into_owned();
        self.push(Object::Text(text))
    }

    fn blob(&mut self, len_bytes: usize) -> Result<(), ImportError> {
        self.sized(len_bytes)?;
        self.push(Object::Bytes)
    }

    /// Height below which nothing may be taken while a mark is open.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Handle, ImportError> {
        if self.stack.len() <= self.floor() {
            return Err(broken());
        }
        self.stack.pop().ok_or_else(broken)
    }

    fn top(&self) -> Result<Handle, ImportError> {
        self.stack.last().copied().ok_or_else(broken)
    }

    fn pop_mark(&mut self) -> Result<Vec<Handle>, ImportError> {
        let height = self.marks.pop().ok_or_else(broken)?;
        if height > self.stack.len() {
            return Err(broken());
        }
        Ok(self.stack.split_off(height))
    }

    fn extend_list(&mut self, items: &[Handle]) -> Result<(), ImportError> {
        let top = self.top()?;
        match &mut self.objects[top] {
            Object::List(list) => list.extend_from_slice(items),
            Object::Opaque => {}
            _ => return Err(broken()),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Handle]) -> Result<(), ImportError> {
        let (top, items) = (self.top()?, pairs(items)?);
        match &mut self.objects[top] {
            Object::Dict(dict) => dict.extend(items),
            Object::Opaque => {}
            _ => return Err(broken()),
        }
        Ok(())
    }

    fn memorise(&mut self, len: usize) -> Result<(), ImportError> {
        let key = self.number(len)? as u32;
        self.note(key)
    }

    fn recall(&mut self, len: usize) -> Result<(), ImportError> {
        let key = self.number(len)? as u32;
        self.put(*self.memo.get(&key).ok_or_else(broken)?)
    }

    /// `("storage", type, member, device, elements)`: the bytes of a tensor, kept in a member of their own.
    fn persistent(&mut self) -> Result<(), ImportError> {
        let id = self.pop()?;
        let Object::List(parts) = &self.objects[id] else { return Err(broken()) };
        let part = |index: usize| parts.get(index).map(|handle| &self.objects[*handle]);
        let (Some(Object::Text(_)), Some(Object::Name(class)), Some(Object::Text(member))) =
            (part(0), part(1), part(2))
        else {
            return Err(broken());
        };
        if member.len() > MAX_STORAGE_NAME_LEN {
            return Err(broken());
        }
        let storage = Object::Storage(scalar_from_class(class), member.clone());
        self.push(storage)
    }

    /// A call or construction; only those with a meaning as data are accepted.
    fn call(&mut self) -> Result<(), ImportError> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Object::Name(name) = &self.objects[callee] else { return Err(broken()) };
        let arguments = match &self.objects[arguments] {
            Object::List(arguments) => arguments,
            _ => return Err(broken()),
        };
        let object = match name.as_str() {
            "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => self.tensor(arguments)?,
            "torch._utils._rebuild_parameter" => {
                let held = *arguments.first().ok_or_else(broken)?;
                return self.put(held);
            }
            "collections.OrderedDict" => Object::Dict(Vec::new()),
            // Numbers of NumPy, types and devices: metadata that some trainers add.
            "numpy.core.multiarray.scalar"
            | "numpy._core.multiarray.scalar"
            | "numpy.dtype"
            | "torch.device"
            | "torch.Size"
            | "_codecs.encode"
            | "builtins.set"
            | "builtins.bytearray" => Object::Opaque,
            other => {
                return Err(ImportError::Code { name: other.chars().filter(|c| !c.is_control()).take(80).collect() });
            }
        };
        self.push(object)
    }

    fn tensor(&self, arguments: &[Handle]) -> Result<Object, ImportError> {
        let argument = |index: usize| arguments.get(index).map(|handle| &self.objects[*handle]).ok_or_else(broken);
        let Object::Storage(scalar, storage) = argument(0)? else { return Err(broken()) };
        let size = |object: &Object| match object {
            Object::Int(value) => usize::try_from(*value).map_err(|_| broken()),
            _ => Err(broken()),
        };
        let sizes = |object: &Object| match object {
            Object::List(items) if items.len() <= 8 => items.iter().map(|item| size(&self.objects[*item])).collect(),
            _ => Err(broken()),
        };
        let (shape, strides): (Vec<usize>, Vec<usize>) = (sizes(argument(2)?)?, sizes(argument(3)?)?);
        if shape.len() != strides.len() {
            return Err(broken());
        }
        let view =
            TensorView { storage: storage.clone(), scalar: *scalar, offset: size(argument(1)?)?, shape, strides };
        Ok(Object::Tensor(view))
    }

    /// State put into an object: an ordered dictionary's attributes are of no use, anything else stays as it is.
    fn build(&mut self) -> Result<(), ImportError> {
        self.pop()?;
        match &self.objects[self.top()?] {
            Object::Dict(_) | Object::Opaque | Object::Tensor(_) => Ok(()),
            _ => Err(broken()),
        }
    }
}

fn pairs(items: &[Handle]) -> Result<Vec<(Handle, Handle)>, ImportError> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
        _ => Err(broken()),
    }
}

fn scalar_from_class(class: &str) -> Scalar {
    match class.strip_prefix("torch.").unwrap_or("") {
        "HalfStorage" => Scalar::F16,
        "BFloat16Storage" => Scalar::Bf16,
        "FloatStorage" => Scalar::F32,
        "DoubleStorage" => Scalar::F64,
        _ => Scalar::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_data_by_table() {
        for (bytes, wanted) in [
            (&b"\x80\x02K\x05."[..], Object::Int(5)),
            (b"\x80\x02J\xff\xff\xff\xff.", Object::Int(-1)),
            (b"\x80\x02\x8a\x02\x00\xff.", Object::Int(-256)),
            (b"\x80\x02G\x3f\xf8\0\0\0\0\0\0.", Object::Float(1.5)),
            (b"\x80\x02X\x02\0\0\0v2q\0.", Object::Text("v2".into())),
            (b"\x80\x04\x8c\x02v2\x940\x88.", Object::Bool(true)),
            (b"\x80\x02N.", Object::None),
        ] {
            assert_eq!(Pickle::read(bytes).expect("a pickle").root(), &wanted);
        }
    }

    #[test]
    fn a_dictionary_filled_after_it_was_noted_is_one_object() {
        let pickle = Pickle::read(b"\x80\x02}q\0(X\x01\0\0\0aK\x01X\x01\0\0\0bh\0u.").expect("a pickle");
        assert_eq!(pickle.entry(pickle.root(), "a"), Some(&Object::Int(1)));
        let inner = pickle.entry(pickle.root(), "b").expect("itself");
        assert_eq!(pickle.entry(inner, "a"), Some(&Object::Int(1)));
    }

    #[test]
    fn nothing_is_ever_called() {
        for bytes in [
            &b"\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R."[..],
            b"\x80\x02cbuiltins\neval\nX\x01\0\0\x001\x85R.",
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.",
            b"\x80\x02csubprocess\nPopen\n)\x81.",
        ] {
            let error = Pickle::read(bytes).expect_err("code");
            assert!(matches!(error, ImportError::Code { .. }), "{error:?}");
        }
    }

    #[test]
    fn what_is_no_pickle_is_refused() {
        for bytes in [
            &b""[..],
            b".",
            b"\x80\x02",
            b"\x80\x02(",
            b"t.",
            b"\x80\x02h\x07.",
            b"R.",
            b"X\xff\xff\xff\xff.",
            b"\xff.",
            b"(0.",
            b"(.",
            b"Kab.",
        ] {
            assert!(Pickle::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
