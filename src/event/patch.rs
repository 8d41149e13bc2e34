//! The hot frame: `{"j":tag,"s":seq,"o":ops,"at":[…]?}`, encoded once, in one buffer, by the worker and forwarded as it is.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::places::Places;
use crate::job::Tag;
use crate::partial::path::push_decimal;
use crate::partial::{Draft, Op, OpEncoder, Open, parse_ops};

/// A patch frame, read.
#[derive(Clone, PartialEq, Debug)]
pub struct Patch {
    /// Its number in the log.
    pub seq: u64,
    /// The changes, in order.
    pub ops: Vec<Op>,
    /// The open places, where they changed; whole, or relative to the cursor behind the ops.
    pub at: Option<Places>,
}

/// Text that is no patch frame.
#[derive(Debug, thiserror::Error)]
pub enum BadPatch {
    /// The envelope is not one.
    #[error("{0}")]
    Envelope(#[from] serde_json::Error),
    /// The ops are not.
    #[error("{0}")]
    Ops(String),
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(alias = "seq")]
    s: u64,
    #[serde(borrow, alias = "ops")]
    o: &'a RawValue,
    #[serde(default)]
    at: Option<Places>,
}

/// Writes the frames of one job, each over the one before.
#[derive(Debug)]
pub struct PatchWriter {
    encoder: OpEncoder,
    head: String,
    /// The number of the frame that is begun and empty.
    begun: Option<u64>,
}

impl PatchWriter {
    /// A writer of this job's frames that goes on from a cursor.
    pub fn new(tag: Tag, cursor: Option<&str>) -> Self {
        Self {
            encoder: OpEncoder::behind(cursor),
            head: format!("{{\"j\":\"{tag}\",\"s\":"),
            begun: None,
        }
    }

    /// Begins a frame, which takes ops until its end.
    pub fn begin(&mut self, seq: u64) -> &mut OpEncoder {
        if self.begun != Some(seq) || !self.encoder.is_empty() {
            self.begun = Some(seq);
            self.encoder.begin(|frame| {
                frame.push_str(&self.head);
                push_decimal(frame, seq);
                frame.push_str(",\"o\":[");
            });
        }
        &mut self.encoder
    }

    /// The frame of what has changed in a draft since it was flushed last; `None` if that is nothing, and then the
    /// number is not used.
    pub fn flush(&mut self, draft: &mut Draft, seq: u64) -> Option<&str> {
        draft.flush(self.begin(seq));
        let open = draft.track_open();
        match open {
            Open::Same if self.encoder.is_empty() => None,
            Open::Same => Some(self.end(None)),
            Open::Up(up) if self.encoder.cursor().is_some() => Some(self.end_up(up)),
            Open::Up(_) | Open::Other => Some(self.end(Some(&draft.open_paths()))),
        }
    }

    /// Ends the frame behind its ops, with the open places where they changed, and gives it.
    pub fn end(&mut self, at: Option<&[String]>) -> &str {
        self.begun = None;
        if let Some(at) = at {
            self.encoder.push("],\"at\":");
            self.encoder.push_places(at);
            self.encoder.push("}")
        } else {
            self.encoder.push("]}")
        }
    }

    fn end_up(&mut self, up: usize) -> &str {
        self.begun = None;
        self.encoder.push("],\"at\":");
        self.encoder.push_up(up);
        self.encoder.push("}")
    }

    /// What has changed in a draft is told by its whole state: the next frame goes on from there.
    pub fn pass_over(&mut self, draft: &mut Draft) {
        draft.flush(&mut self.encoder);
        draft.track_open();
        self.begun = None;
        self.forget_cursor();
    }

    /// The path of the last op.
    pub fn cursor(&self) -> Option<&str> {
        self.encoder.cursor()
    }

    /// Forgets it: the next op names its whole path.
    pub fn forget_cursor(&mut self) {
        self.encoder.forget_cursor();
    }
}

/// Reads a frame, in its short form or as `job.patch`.
pub fn decode(frame: &str) -> Result<Patch, BadPatch> {
    let frame: Frame<'_> = serde_json::from_str(frame)?;
    let ops = parse_ops(frame.o.get()).map_err(|error| BadPatch::Ops(error.to_string()))?;
    Ok(Patch {
        seq: frame.s,
        ops,
        at: frame.at,
    })
}
