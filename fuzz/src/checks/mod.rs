//! What must hold, whatever the bytes: shared by the fuzz targets and the replay of their corpora.
//!
//! An input of the draft engine's targets is [`HEAD_BYTES`] that choose the options and the cuts, then the text.

pub mod draft;
// Nobody outside the server reads frames: `src/server/fuzzed.rs` replays these.
#[cfg(not(test))]
pub mod frame;
pub mod http;
pub mod lenient;
pub mod md_json;
pub mod vendors;
pub mod wire;

use std::sync::Arc;

use serde::de::IgnoredAny;

use super::partial::{
    Draft, DraftOptions, Folded, Guide, Lenient, Limits, NodeId, NoteKind, OpEncoder, Open, Outcome,
    RootKinds, Value, parse_ops, whole_paths,
};

/// Bytes in front of the text: two of flags, two of a seed for the cuts.
pub const HEAD_BYTES: usize = 4;

/// An input, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    flags: [u8; 2],
    seed: u16,
    /// The model's text.
    pub text: &'a [u8],
}

impl<'a> Input<'a> {
    /// Takes an input apart; `None` if it is too short to be one.
    pub fn read(data: &'a [u8]) -> Option<Self> {
        let (head, text) = data.split_first_chunk::<HEAD_BYTES>()?;
        let [first, second, low, high] = *head;
        Some(Self {
            flags: [first, second],
            seed: u16::from_le_bytes([low, high]),
            text,
        })
    }

    /// A number below `2^bits` from the first flags, `shift` bits up.
    fn flag(&self, shift: u32, bits: u32) -> u8 {
        (self.flags[0] >> shift) & ((1 << bits) - 1)
    }

    /// No guide, or one of four.
    fn guide(&self) -> Option<Arc<dyn Guide>> {
        let from = self.flag(5, 3).checked_sub(4)?;
        Some(Arc::new(OddDepths(u32::from(from))))
    }

    fn lenient(&self) -> Lenient {
        match self.flag(0, 2) {
            0 | 1 => Lenient::Off,
            2 => Lenient::On,
            _ => Lenient::Auto,
        }
    }

    /// The usual limits, or ones so narrow that short texts pass them.
    fn limits(&self) -> Limits {
        match usize::from(self.flags[1] & 0x0F) {
            narrow @ 12.. => Limits {
                depth_max: narrow - 10,
                bytes_max: narrow * 8,
                key_bytes_max: narrow - 8,
                number_digits_max: narrow - 8,
                blanks_max: narrow - 9,
            },
            _ => Limits::default(),
        }
    }

    /// Every type of root, or some of them.
    fn root(&self) -> RootKinds {
        let kinds = self.flags[1] >> 4;
        let has = |bit: u8| kinds & 8 == 0 || kinds & bit != 0;
        RootKinds {
            object: has(1),
            array: has(2),
            string: has(4),
            number: has(4),
            boolean: has(4),
            null: has(4),
        }
    }

    /// Lengths of pieces, and whether a flush follows each: a fixed sequence per seed.
    fn rhythm(&self) -> impl Iterator<Item = (usize, bool)> {
        let mut state = u64::from(self.seed) << 1 | 1;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let longest = [1, 4, 9, 40][(state >> 60) as usize % 4];
            (1 + (state >> 8) as usize % longest, state >> 40 & 3 != 0)
        })
    }
}

/// A guide under which about half of the strings are atomic and about half of the objects wait for members: a node is
/// a depth, counted from the given one.
pub struct OddDepths(pub u32);

impl Guide for OddDepths {
    fn root(&self) -> NodeId {
        NodeId(self.0)
    }
    fn member(&self, node: NodeId, key: &str) -> NodeId {
        if key == "b" {
            NodeId::NONE
        } else {
            NodeId(node.0 + 1)
        }
    }
    fn item(&self, node: NodeId, index: usize) -> NodeId {
        NodeId(node.0 + u32::from(index > 0))
    }
    fn is_atomic(&self, node: NodeId) -> bool {
        node.0 % 2 == 1
    }
    fn awaited(&self, node: NodeId) -> Option<Arc<[Box<str>]>> {
        match node.0 % 4 {
            1 => Some(Arc::new(["a".into()])),
            3 => Some(Arc::new(["a".into(), "name".into()])),
            _ => None,
        }
    }
}

/// Everything that can be said of a text once it has ended.
#[derive(PartialEq, Debug)]
pub struct Told {
    /// How it ended, with its counts.
    pub outcome: Outcome,
    /// The value, as far as it came.
    pub value: Option<Value>,
    /// The listed repairs.
    pub repairs: String,
    /// The notes, pieces of one kind joined.
    pub notes: Vec<(NoteKind, String)>,
}

/// Reads the text in one piece.
pub fn one_shot(options: &DraftOptions, text: &[u8]) -> Told {
    let mut draft = Draft::new(options.clone());
    draft.feed(text);
    let mut notes = Vec::new();
    end(&mut draft, &mut notes)
}

/// Reads the text in pieces, flushes in a rhythm, and holds on the way what must hold of every partial: folding the
/// encoded ops gives the value, and its text is JSON. `grows`: each partial must extend the one before.
pub fn in_pieces(options: &DraftOptions, input: &Input<'_>, grows: bool) -> Told {
    let mut draft = Draft::new(options.clone());
    let mut reader = Reader::default();
    let mut notes = Vec::new();
    let mut rest = input.text;
    let mut rhythm = input.rhythm();
    while !rest.is_empty() {
        let Some((length, flush)) = rhythm.next() else {
            break;
        };
        let (piece, later) = rest.split_at(length.min(rest.len()));
        draft.feed(piece);
        rest = later;
        if flush {
            reader.flush(&mut draft, grows);
            join(&mut notes, &mut draft);
        }
    }
    draft.finish();
    reader.flush(&mut draft, grows);
    end(&mut draft, &mut notes)
}

fn end(draft: &mut Draft, notes: &mut Vec<(NoteKind, String)>) -> Told {
    let outcome = draft.finish();
    join(notes, draft);
    Told {
        outcome,
        value: draft.value(),
        repairs: format!("{:?}", draft.repairs()),
        notes: std::mem::take(notes),
    }
}

fn join(notes: &mut Vec<(NoteKind, String)>, draft: &mut Draft) {
    for note in draft.take_notes() {
        match notes.last_mut() {
            Some((kind, text)) if *kind == note.kind => text.push_str(&note.text),
            _ => notes.push((note.kind, note.text)),
        }
    }
}

/// One that follows a draft by its encoded ops alone.
#[derive(Default)]
struct Reader {
    encoder: OpEncoder,
    folded: Folded,
    open: Vec<String>,
    before: Option<Value>,
}

impl Reader {
    fn flush(&mut self, draft: &mut Draft, grows: bool) {
        let wrote = draft.flush(&mut self.encoder);
        assert_eq!(wrote, !self.encoder.is_empty(), "whether there was a change");
        let ops = format!("[{}]", self.encoder.ops());
        self.encoder.clear();
        for op in parse_ops(&ops).expect("what the encoder writes can be read") {
            self.folded
                .apply(op)
                .expect("an op fits what the ops before it built");
        }
        assert_eq!(self.encoder.cursor(), self.folded.cursor.as_deref(), "the cursor");
        let value = draft.value();
        assert_eq!(self.folded.value, value, "the folded ops");
        let mut text = String::new();
        assert_eq!(draft.write_value(&mut text), value.is_some());
        if let Some(value) = &value {
            assert_eq!(text, value.to_json(), "the value as text");
            serde_json::from_str::<IgnoredAny>(&text).expect("every partial is JSON");
        }
        self.track(draft);
        for pointer in &self.open {
            assert!(
                self.folded.at(pointer).is_some(),
                "nothing is at the open path {pointer:?}"
            );
        }
        if grows && let Some(before) = &self.before {
            let now = value.as_ref().expect("what was shown stays");
            assert!(extends(before, now), "{before} became {now}");
        }
        self.before = value;
    }

    /// What the draft says has become of its open places leads to them.
    fn track(&mut self, draft: &mut Draft) {
        let open = draft.open_paths();
        match draft.track_open() {
            Open::Same => assert_eq!(self.open, open, "the open places"),
            Open::Up(up) => {
                let place = whole_paths(self.folded.cursor.as_deref(), vec![up.to_string()]);
                assert_eq!(place.as_ref(), Ok(&open), "{up} above the cursor");
            }
            Open::Other => {}
        }
        self.open = open;
    }
}

/// Whether `new` is `old` grown: strings and containers at their end, everything else unchanged.
fn extends(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::String(old), Value::String(new)) => new.starts_with(old.as_str()),
        (Value::Array(old), Value::Array(new)) => {
            new.len() >= old.len() && old.iter().zip(new).all(|(old, new)| extends(old, new))
        }
        (Value::Object(old), Value::Object(new)) => {
            let mut pairs = old.iter().zip(new.iter());
            new.len() >= old.len() && pairs.all(|(old, new)| old.0 == new.0 && extends(old.1, new.1))
        }
        _ => old == new,
    }
}

/// Holds the limits against what was let through.
pub fn within(limits: &Limits, value: &Value) {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        match value {
            Value::Array(items) => {
                assert!(depth <= limits.depth_max, "nested {depth} deep");
                open.extend(items.iter().map(|item| (item, depth + 1)));
            }
            Value::Object(members) => {
                assert!(depth <= limits.depth_max, "nested {depth} deep");
                for (key, member) in members.iter() {
                    assert!(key.len() <= limits.key_bytes_max, "a name of {} bytes", key.len());
                    open.push((member, depth + 1));
                }
            }
            // Repair may put a zero at either side of a dot.
            Value::Number(number) => assert!(
                number.as_str().len() <= limits.number_digits_max + 2,
                "a number of {} digits",
                number.as_str().len()
            ),
            Value::String(_) | Value::Bool(_) | Value::Null => {}
        }
    }
}
