//! The draft engine: bytes of growing JSON in, an always-valid partial value and its changes out.
//!
//! This module imports nothing of the rest of the house and can be used alone. A [`Draft`] reads a model's answer in
//! whatever pieces it comes, keeps what is known of the value so far, and hands out what has changed since the last
//! [`flush`](Draft::flush) as [`Op`]s; who folds the ops in order ([`Folded`]) holds the same value at every moment.
//! Nothing is parsed twice: cost is linear in the bytes, and nothing is allocated per token while a string grows.
//!
//! # Reading and telling
//!
//! Strings and containers appear when they open and grow at their end; numbers and literals appear whole; a member
//! name appears with its value. Every partial is valid JSON.
//!
//! ```
//! use livedraft::partial::{Draft, DraftOptions, End, OpEncoder};
//!
//! let mut draft = Draft::new(DraftOptions::default());
//! let mut encoder = OpEncoder::default();
//! let mut told = Vec::new();
//! for token in ["{\"na", "me\":\"Ad", "a\",\"age\":3", "6}"] {
//!     draft.feed(token.as_bytes());
//!     draft.flush(&mut encoder);
//!     told.push(encoder.ops().to_owned());
//!     encoder.clear();
//! }
//! assert_eq!(told[0], r#"["",{},0]"#);
//! assert_eq!(told[1], r#"["/name","Ad",0]"#);
//! // An append to the place of the op before needs no path; 3 may still become 36.
//! assert_eq!(told[2], r#"["a"]"#);
//! assert_eq!(told[3], r#"["/age",36,0]"#);
//!
//! assert_eq!(draft.finish().end, End::Complete);
//! assert_eq!(draft.value().unwrap().to_json(), r#"{"name":"Ada","age":36}"#);
//! ```
//!
//! [`Draft::open_paths`] says which value is still growing, [`Draft::finish`] how the text ended: complete, truncated,
//! or invalid with the byte offset, the path and what was expected ([`ParseError`]).
//!
//! # Folding
//!
//! Any reader, in any language, needs one rule: apply the ops in order. [`parse_ops`] reads their JSON form.
//!
//! ```
//! use livedraft::partial::{Folded, parse_ops};
//!
//! let mut seen = Folded::default();
//! for op in parse_ops(r#"[["",{"name":"Ad"},0],["/name","a"],[" L."],["/age",36,0]]"#)? {
//!     seen.apply(op)?;
//! }
//! assert_eq!(seen.value.unwrap().to_json(), r#"{"name":"Ada L.","age":36}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A receiver of one's own is an [`OpSink`]; `Vec<Op>` is one, for tests and for those who want values, not text.
//!
//! # Steering by a schema
//!
//! The engine knows no schemas; what it asks of one is the small trait [`Guide`]. Here a hand-written one holds back
//! the member `kind` until it is whole, so that nobody sees `"ca` where only `"cat"` and `"cow"` are meant:
//!
//! ```
//! use std::sync::Arc;
//!
//! use livedraft::partial::{Draft, DraftOptions, Guide, NodeId};
//!
//! struct KindIsWhole;
//!
//! const ROOT: NodeId = NodeId(0);
//! const KIND: NodeId = NodeId(1);
//!
//! impl Guide for KindIsWhole {
//!     fn root(&self) -> NodeId {
//!         ROOT
//!     }
//!     fn member(&self, node: NodeId, key: &str) -> NodeId {
//!         if node == ROOT && key == "kind" { KIND } else { NodeId::NONE }
//!     }
//!     fn item(&self, _node: NodeId, _index: usize) -> NodeId {
//!         NodeId::NONE
//!     }
//!     fn is_atomic(&self, node: NodeId) -> bool {
//!         node == KIND
//!     }
//! }
//!
//! let mut draft = Draft::new(DraftOptions {
//!     guide: Some(Arc::new(KindIsWhole)),
//!     ..DraftOptions::default()
//! });
//! draft.feed(br#"{"note":"It mo"#);
//! assert_eq!(draft.value().unwrap().to_json(), r#"{"note":"It mo"}"#);
//! draft.feed(br#"os.","kind":"co"#);
//! assert_eq!(draft.value().unwrap().to_json(), r#"{"note":"It moos."}"#);
//! draft.feed(br#"w""#);
//! assert_eq!(draft.value().unwrap().to_json(), r#"{"note":"It moos.","kind":"cow"}"#);
//! ```
//!
//! # Among Markdown
//!
//! In [`Mode::MdJson`] the value is found among think blocks, prose and fences, and what was passed over can be had as
//! [`Note`]s. [`RootKinds`] says what the value can be, so that a stray bracket in prose is none.
//!
//! ```
//! use livedraft::partial::{Draft, DraftOptions, Mode, NoteKind};
//!
//! let mut draft = Draft::new(DraftOptions { mode: Mode::MdJson, ..DraftOptions::default() });
//! draft.feed(b"<think>Who is it?</think>Here you are:\n```json\n{\"name\": \"Ada\"}\n```\nAnything else?");
//! draft.finish();
//! assert_eq!(draft.value().unwrap().to_json(), r#"{"name":"Ada"}"#);
//! assert_eq!(draft.take_notes()[0].kind, NoteKind::Reasoning);
//! ```
//!
//! # Some places of a value
//!
//! Where a value stands and only some of it is asked for again, [`Draft::onto`] puts the answer onto it: its members
//! `fix_1`, `fix_2`… are told, and read, at the places of a [`Graft`].
//!
//! ```
//! use livedraft::partial::{Draft, DraftOptions, Graft, Op, parse};
//!
//! let stands = parse(r#"{"name":"Ada","age":"many","born":{}}"#).unwrap();
//! let graft = Graft::new(stands, &["/age".to_owned(), "/born/year".to_owned()]).unwrap();
//! let mut draft = Draft::onto(DraftOptions::default(), graft);
//! draft.feed(br#"{"fix_1":36,"fix_2":18"#);
//! let mut ops: Vec<Op> = Vec::new();
//! draft.flush(&mut ops);
//! assert_eq!(ops, [Op::Set { path: "/age".to_owned(), value: parse("36").unwrap() }]);
//! draft.feed(b"15}");
//! assert_eq!(draft.value().unwrap().to_json(), r#"{"name":"Ada","age":36,"born":{"year":1815}}"#);
//! ```
//!
//! # Repair
//!
//! With [`Lenient::On`], or [`Lenient::Auto`] from the first error on, text that is nearly JSON is repaired where it
//! stands: nothing that was shown is taken back for it, and each repair is listed.
//!
//! ```
//! use livedraft::partial::{Draft, DraftOptions, Lenient, RepairKind};
//!
//! let mut draft = Draft::new(DraftOptions { lenient: Lenient::Auto, ..DraftOptions::default() });
//! draft.feed(b"{'name': 'Ada', \"awake\": True,}");
//! draft.finish();
//! assert_eq!(draft.value().unwrap().to_json(), r#"{"name":"Ada","awake":true}"#);
//! let repairs: Vec<RepairKind> = draft.repairs().iter().map(|repair| repair.kind).collect();
//! assert_eq!(repairs[2..], [RepairKind::ForeignLiteral, RepairKind::TrailingComma]);
//! assert_eq!(draft.repairs()[2].offset, 25);
//! ```
//!
//! # Digits and bounds
//!
//! A [`Number`] is its digits: `1.0`, `-0` and `12345678901234567890.10` come out as they went in. Depth, bytes, name
//! length, digits and blanks have [`Limits`], each with an error code of its own. One whole text needs no draft:
//!
//! ```
//! use livedraft::partial::{ParseErrorKind, parse};
//!
//! assert_eq!(parse("[1.0,-0,1e400]").unwrap().to_json(), "[1.0,-0,1e400]");
//! let error = parse(r#"{"a":[1,2,]}"#).unwrap_err();
//! assert_eq!((error.offset, error.path.as_str()), (10, "/a/2"));
//! assert_eq!(error.kind, ParseErrorKind::ExpectedValue);
//! ```

mod calls;
mod closing;
mod decimal;
mod draft;
mod error;
mod flush;
mod graft;
mod guide;
mod items;
mod joint;
mod lenient;
mod machine;
mod map;
mod markdown;
mod notes;
mod number;
mod op;
mod op_json;
mod options;
pub mod path;
mod repair;
mod rest;
mod search;
mod shape;
mod spine;
mod text;
mod value;

pub use calls::{NO_ITEMS, Turn};
pub use closing::Closed;
pub use decimal::Decimal;
pub use draft::{Draft, End, Outcome, parse, parse_written};
pub use error::{ParseError, ParseErrorKind};
pub use graft::{Graft, Spot};
pub use guide::{Guide, NodeId};
pub use items::TASKS;
pub use map::Map;
pub use notes::{Note, NoteKind};
pub use op::{Folded, Misfit, Op, OpEncoder, OpSink, whole_paths};
pub use op_json::{OpsError, parse_ops};
pub use options::{DraftOptions, Lenient, Limits, Mode, RootKinds};
pub use repair::{Repair, RepairKind};
pub use shape::{Shape, ShapeNode};
pub use spine::Open;
pub use value::{Number, Value, write_json_string};
