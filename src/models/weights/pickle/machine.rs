//! The pickle machine: opcodes to plain values, nothing called, nothing copied.
//!
//! Values live in one arena and point at one another by number: a reference costs the same whatever stands behind it,
//! and neither building nor dropping a hostile nest recurses. Opcodes are those that PyTorch writes (protocol 2 of
//! Python's pickletools); all others are errors.

use std::collections::HashMap;

/// A value's place in the arena.
pub(super) type Id = u32;

/// A plain value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(String),
    /// A class or function by name; only ever compared.
    Global(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What a call would make: the function's and the arguments' places.
    Call(Id, Id),
    /// What the archive keeps apart: a storage.
    Persistent(Id),
}

/// Everything a pickle made, and where its result is.
#[derive(Debug)]
pub(super) struct Memory {
    values: Vec<Value>,
    pub result: Id,
}

impl Memory {
    pub(super) fn get(&self, id: Id) -> &Value {
        // Ids come from this arena alone; one out of range cannot be made.
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn global(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Global(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }
}

/// Names that a checkpoint of weights may mention; a pickle that names anything else is refused whole.
const GLOBALS: [&str; 16] = [
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch FloatStorage",
    "torch DoubleStorage",
    "torch HalfStorage",
    "torch BFloat16Storage",
    "torch LongStorage",
    "torch IntStorage",
    "torch ShortStorage",
    "torch CharStorage",
    "torch ByteStorage",
    "torch BoolStorage",
    "torch device",
    "torch Size",
    "_codecs encode",
];

/// Runs a pickle. Every error says at which byte.
pub(super) fn run(pickle: &[u8]) -> Result<Memory, String> {
    let mut machine = Machine {
        pickle,
        at: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(result)) => return Ok(Memory { values: machine.values, result }),
            Err(why) => return Err(format!("at byte {at}: {why}")),
        }
    }
}

struct Machine<'a> {
    pickle: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at which a mark stands.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

type Outcome<T> = Result<T, String>;

impl Machine<'_> {
    fn step(&mut self) -> Outcome<Option<Id>> {
        let [opcode] = self.take::<1>()?;
        match opcode {
            0x80 => drop(self.take::<1>()?), // PROTO
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'K' => {
                let [number] = self.take::<1>()?;
                self.push(Value::Int(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.take()?);
                self.push(Value::Int(number.into()));
            }
            b'J' => {
                let number = i32::from_le_bytes(self.take()?);
                self.push(Value::Int(number.into()));
            }
            0x8a => self.long()?,
            b'G' => {
                self.take::<8>()?;
                self.push(Value::Float);
            }
            b'X' => {
                let length = u32::from_le_bytes(self.take()?);
                let text = self.slice(length as usize)?;
                let text =
                    std::str::from_utf8(text).map_err(|_| "a text is not UTF-8".to_owned())?.to_owned();
                self.push(Value::Text(text));
            }
            b'c' => self.global()?,
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let items = self.pop_many(self.floor() + count, count)?;
                self.push(Value::Tuple(items));
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.insert(&items)?;
            }
            b'q' | b'r' => {
                let number = self.memo_number(opcode == b'q')?;
                self.memo.insert(number, self.top()?);
            }
            b'h' | b'j' => {
                let number = self.memo_number(opcode == b'h')?;
                let id =
                    self.memo.get(&number).ok_or_else(|| format!("nothing was stored as number {number}"))?;
                self.stack.push(*id);
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id));
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                let is_dict =
                    matches!(&self.values[function as usize], Value::Global(name) if name == GLOBALS[0]);
                self.push(if is_dict { Value::Dict(Vec::new()) } else { Value::Call(function, arguments) });
            }
            // BUILD would set attributes; a dictionary's (`_metadata`) hold no tensors.
            b'b' => drop(self.pop()?),
            other => {
                return Err(format!(
                    "opcode {other:#04x} is not among those that checkpoints of weights need"
                ));
            }
        }
        Ok(None)
    }

    fn slice(&mut self, length: usize) -> Outcome<&[u8]> {
        let rest = self.pickle.get(self.at..).unwrap_or_default();
        let slice =
            rest.get(..length).ok_or_else(|| format!("it ends where {length} more bytes are needed"))?;
        self.at += length;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.slice(N)?);
        Ok(bytes)
    }

    fn line(&mut self) -> Outcome<String> {
        let rest = self.pickle.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("a name does not end")?;
        let line = String::from_utf8_lossy(self.slice(end)?).into_owned();
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) {
        // One opcode makes at most one value, so a pickle of a permitted size cannot exhaust the numbers.
        let id = self.values.len() as Id;
        self.values.push(value);
        self.stack.push(id);
    }

    /// Below this height the values belong to an enclosing mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Outcome<Id> {
        if self.stack.len() <= self.floor() {
            return Err("a value is needed where there is none".to_owned());
        }
        self.stack.last().copied().ok_or_else(|| "a value is needed where there is none".to_owned())
    }

    fn pop(&mut self) -> Outcome<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, least: usize, count: usize) -> Outcome<Vec<Id>> {
        if self.stack.len() < least {
            return Err(format!("{count} values are needed where there are fewer"));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop_to_mark(&mut self) -> Outcome<Vec<Id>> {
        let mark = self.marks.pop().ok_or("a mark is needed where there is none")?;
        // Nothing pops below a mark, so the stack is at least as high.
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn append(&mut self, items: Vec<Id>) -> Outcome<()> {
        let list = self.top()?;
        match self.values.get_mut(list as usize) {
            Some(Value::List(list)) => list.extend(items),
            _ => return Err("items are appended to what is no list".to_owned()),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Outcome<()> {
        let dict = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match self.values.get_mut(dict as usize) {
            Some(Value::Dict(dict)) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)))
            }
            Some(Value::Dict(_)) => return Err("a key comes without its value".to_owned()),
            _ => return Err("entries are put into what is no dictionary".to_owned()),
        }
        Ok(())
    }

    fn memo_number(&mut self, short: bool) -> Outcome<u32> {
        if short {
            let [number] = self.take::<1>()?;
            return Ok(number.into());
        }
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn long(&mut self) -> Outcome<()> {
        let [length] = self.take::<1>()?;
        let digits = self.slice(length.into())?;
        if digits.len() > 8 {
            return Err(format!("an integer of {length} bytes; the largest size of a tensor needs 8"));
        }
        // Two's complement, little-endian, the sign in the last byte.
        let fill = if digits.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut bytes = [fill; 8];
        bytes[..digits.len()].copy_from_slice(digits);
        self.push(Value::Int(i64::from_le_bytes(bytes)));
        Ok(())
    }

    fn global(&mut self) -> Outcome<()> {
        let (module, name) = (self.line()?, self.line()?);
        let full = format!("{module} {name}");
        if !GLOBALS.contains(&full.as_str()) {
            return Err(format!(
                "it names {module:?} {name:?}, which a checkpoint of weights does not need; nothing was executed"
            ));
        }
        self.push(Value::Global(full));
        Ok(())
    }
}
