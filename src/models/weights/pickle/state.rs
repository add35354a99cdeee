//! The values of a pickle as a list of tensors with full names.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::machine::{Id, Memory, Value};
use super::{BARE_TENSOR, Stored};

/// Published checkpoints nest three deep (file, network, module); deeper is a loop or an attack.
const DEEPEST: usize = 8;
/// Flux and T5 together have under 1,500 tensors. Counts visits, so that shared dictionaries cannot multiply.
const MOST_VISITS: usize = 100_000;
/// The longest name of a published tensor is under 200 bytes; a key may be shared, and every use of it is a copy.
const LONGEST_KEY: usize = 1_000;

/// Every tensor below the result, in order of name. Numbers, texts and lists beside them (epochs, optimisers'
/// settings) are passed over.
pub(super) fn tensors(memory: &Memory) -> Result<Vec<Stored>, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![(String::new(), memory.result, 0usize)];
    let mut visits = 0;
    while let Some((name, id, depth)) = waiting.pop() {
        visits += 1;
        if visits > MOST_VISITS {
            return Err(format!("it has more than {MOST_VISITS} entries"));
        }
        match memory.get(id) {
            Value::Dict(entries) => {
                if depth == DEEPEST {
                    return Err(format!("{name:?} nests more than {DEEPEST} deep"));
                }
                if visits + waiting.len() + entries.len() > MOST_VISITS {
                    return Err(format!("it has more than {MOST_VISITS} entries"));
                }
                for (key, value) in entries {
                    let Some(key) = memory.text(*key) else { continue };
                    if key.len() > LONGEST_KEY {
                        return Err(format!("a key of {} bytes, more than {LONGEST_KEY}", key.len()));
                    }
                    let full = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
                    waiting.push((full, *value, depth + 1));
                }
            }
            Value::Call(function, arguments) => {
                let name = if name.is_empty() { BARE_TENSOR.to_owned() } else { name };
                let Some(tensor) = tensor(memory, *function, *arguments, &name)? else { continue };
                if found.insert(name.clone(), tensor).is_some() {
                    return Err(format!("tensor {name:?} is there twice"));
                }
            }
            _ => {}
        }
    }
    if found.is_empty() {
        return Err("it holds no tensor".to_owned());
    }
    Ok(found.into_values().collect())
}

/// The tensor that a call would make, if it is one of the two that make tensors.
fn tensor(memory: &Memory, function: Id, arguments: Id, name: &str) -> Result<Option<Stored>, String> {
    let malformed = || format!("tensor {name:?}: its description is not one that PyTorch writes");
    let arguments = memory.tuple(arguments).ok_or_else(malformed)?;
    match memory.global(function) {
        // (tensor, requires_grad, hooks)
        Some("torch._utils _rebuild_parameter") => match arguments.first().map(|id| memory.get(*id)) {
            // Once only: a parameter of a parameter is nothing that PyTorch writes, and would be a way to recurse.
            Some(Value::Call(inner, rest))
                if memory.global(*inner) == Some("torch._utils _rebuild_tensor_v2") =>
            {
                tensor(memory, *inner, *rest, name)
            }
            _ => Err(malformed()),
        },
        // (storage, offset, size, stride, requires_grad, hooks)
        Some("torch._utils _rebuild_tensor_v2") => {
            let [storage, offset, shape, strides, ..] = *arguments else { return Err(malformed()) };
            let sizes =
                |id: Id| memory.tuple(id)?.iter().map(|id| memory.size(*id)).collect::<Option<Vec<_>>>();
            let Value::Persistent(storage) = memory.get(storage) else { return Err(malformed()) };
            // ("storage", type, key, location, count)
            let [_, class, key, _, values] = *memory.tuple(*storage).ok_or_else(malformed)? else {
                return Err(malformed());
            };
            let class = memory.global(class).ok_or_else(malformed)?;
            let stored = Stored {
                name: name.to_owned(),
                dtype: dtype(class)
                    .ok_or_else(|| format!("tensor {name:?}: {class:?} is no kind of storage"))?,
                shape: sizes(shape).ok_or_else(malformed)?,
                offset: memory.size(offset).ok_or_else(malformed)?,
                strides: sizes(strides).ok_or_else(malformed)?,
                storage: memory.text(key).ok_or_else(malformed)?.to_owned(),
                values: memory.size(values).ok_or_else(malformed)?,
            };
            stored.checked().map(Some)
        }
        _ => Ok(None),
    }
}

fn dtype(class: &str) -> Option<Dtype> {
    Some(match class {
        "torch FloatStorage" => Dtype::F32,
        "torch DoubleStorage" => Dtype::F64,
        "torch HalfStorage" => Dtype::F16,
        "torch BFloat16Storage" => Dtype::BF16,
        "torch LongStorage" => Dtype::I64,
        "torch IntStorage" => Dtype::I32,
        "torch ShortStorage" => Dtype::I16,
        "torch CharStorage" => Dtype::I8,
        "torch ByteStorage" => Dtype::U8,
        "torch BoolStorage" => Dtype::BOOL,
        _ => return None,
    })
}

impl Stored {
    /// Fails unless every value lies inside the storage, and there are no more of them than it has.
    fn checked(self) -> Result<Self, String> {
        let count = self.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
        let last = if count == Some(0) {
            Some(0)
        } else {
            self.shape
                .iter()
                .zip(&self.strides)
                .try_fold(self.offset, |last, (size, stride)| {
                    last.checked_add((size - 1).checked_mul(*stride)?)
                })
                .and_then(|last| last.checked_add(1))
        };
        let fits = |limit: Option<usize>| limit.is_some_and(|limit| limit <= self.values);
        if self.shape.len() != self.strides.len() || !fits(count) || !fits(last) {
            return Err(format!(
                "tensor {:?}: shape {:?} with strides {:?} from {} lies outside its storage of {} values",
                self.name, self.shape, self.strides, self.offset, self.values
            ));
        }
        Ok(self)
    }
}
