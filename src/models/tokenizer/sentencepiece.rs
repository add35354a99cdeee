//! SentencePiece's model file: its pieces and its rules of normalisation (`sentencepiece_model.proto`, in protobuf).
//!
//! Reads the few fields that a tokenizer is made of and skips the rest; a file may say anything and nothing is taken
//! beyond its end.

/// What a piece stands for; the numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// A piece of text and the logarithm of how likely it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// A whole model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pieces {
    /// By number.
    pub(super) all: Vec<Piece>,
    /// What is done to a text before, as SentencePiece compiles it; empty for nothing.
    pub(super) normalisation: Vec<u8>,
}

impl Pieces {
    /// From a file's bytes; else what is wrong with them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        const DAMAGED: &str = "no SentencePiece model, or a damaged one";
        let mut pieces = Self { all: Vec::new(), normalisation: Vec::new() };
        for field in Fields(bytes) {
            match field.ok_or(DAMAGED)? {
                (1, Field::Bytes(bytes)) => pieces.all.push(piece(bytes).ok_or(DAMAGED)?),
                (2, Field::Bytes(trained)) => is_unigram(trained).ok_or(DAMAGED)?.then_some(()).ok_or(
                    "a SentencePiece model of another kind than unigram, which is the one that T5 has",
                )?,
                (3, Field::Bytes(normalised)) => {
                    for field in Fields(normalised) {
                        if let (2, Field::Bytes(rules)) = field.ok_or(DAMAGED)? {
                            pieces.normalisation = rules.to_vec();
                        }
                    }
                }
                _ => {}
            }
        }
        if pieces.all.is_empty() {
            return Err(DAMAGED.to_owned());
        }
        let mut seen = std::collections::HashSet::new();
        match pieces.all.iter().find(|piece| !seen.insert(piece.text.as_str())) {
            Some(twice) => Err(format!("a SentencePiece model that has {:?} twice", twice.text)),
            None => Ok(pieces),
        }
    }
}

fn piece(bytes: &[u8]) -> Option<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
    for field in Fields(bytes) {
        match field? {
            (1, Field::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).ok()?,
            (2, Field::Fixed32(score)) => piece.score = f32::from_bits(score),
            (3, Field::Number(kind)) => {
                piece.kind = match kind {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    _ => return None,
                }
            }
            _ => {}
        }
    }
    piece.score.is_finite().then_some(piece)
}

/// Whether the model was trained as unigrams, which is what it says by saying nothing.
fn is_unigram(bytes: &[u8]) -> Option<bool> {
    let mut is = true;
    for field in Fields(bytes) {
        if let (3, Field::Number(kind)) = field? {
            is = kind == 1;
        }
    }
    Some(is)
}

/// A value of a protobuf message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    Fixed64,
}

/// The fields of a message by number; ends with `None` inside where it is damaged.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
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

    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Fixed64
            }
            2 => {
                let count = self.varint()?;
                Field::Bytes(self.take(count)?)
            }
            5 => Field::Fixed32(self.take(4)?.try_into().ok().map(u32::from_le_bytes)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}
