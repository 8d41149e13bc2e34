//! Tool calls, ops as JSON, and what a draft says of itself.
//!
//! `golden/calls/*.json` are arrays of cases. A case is pieces of tool calls, each `[index, id, name, arguments, value?,
//! at?]`: what is shown behind the piece (nothing if left out) and the open places.
#![allow(
    clippy::unwrap_used,
    reason = "a test may stop where its own material is wrong"
)]

use std::path::Path;
use std::sync::Arc;

use livedraft::partial::{
    Draft, DraftOptions, End, Folded, Guide, Lenient, Limits, Mode, NodeId, Op, OpsError, Value, parse,
    parse_ops,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value as Json;

/// Atomic strings lie at `/tasks/*/kind`: a node is its depth, of that name or not.
struct Kinds;

impl Guide for Kinds {
    fn root(&self) -> NodeId {
        NodeId(0)
    }
    fn member(&self, node: NodeId, key: &str) -> NodeId {
        match (node.0, key) {
            (0, "tasks") => NodeId(1),
            (2, "kind") => NodeId(3),
            _ => NodeId::NONE,
        }
    }
    fn item(&self, node: NodeId, _: usize) -> NodeId {
        NodeId(node.0 + 1)
    }
    fn is_atomic(&self, node: NodeId) -> bool {
        node.0 == 3
    }
}

struct Replay<'a> {
    case: &'a Json,
    draft: Draft,
    folded: Folded,
    fed: usize,
    rhythm: usize,
}

impl<'a> Replay<'a> {
    fn new(case: &'a Json, rhythm: usize) -> Self {
        let options = DraftOptions {
            mode: match case["mode"].as_str() {
                Some("tools") => Mode::Tools,
                Some("parallel_tools") => Mode::ParallelTools,
                other => panic!("mode {other:?}"),
            },
            lenient: if case["lenient"] == "auto" {
                Lenient::Auto
            } else {
                Lenient::Off
            },
            tool: case["tool"].as_str().map(Into::into),
            guide: case.get("atomic").map(|_| Arc::new(Kinds) as Arc<dyn Guide>),
            ..DraftOptions::default()
        };
        Self {
            case,
            draft: Draft::new(options),
            folded: Folded::default(),
            fed: 0,
            rhythm,
        }
    }

    fn feed(&mut self, index: u32, id: Option<&str>, name: Option<&str>, bytes: &[u8]) {
        self.draft.feed_call(index, id, name, bytes);
        self.fed += 1;
        if self.fed.is_multiple_of(self.rhythm) {
            self.fold();
        }
    }

    fn fold(&mut self) {
        let mut ops: Vec<Op> = Vec::new();
        self.draft.flush(&mut ops);
        ops.into_iter()
            .for_each(|op| self.folded.apply(op).expect("it fits"));
        assert_eq!(self.folded.value, self.draft.value(), "{}", self.case["name"]);
    }

    /// Feeds every piece, in slices of at most `slice` bytes, and checks what is shown behind it.
    fn run(mut self, slice: usize) {
        let name = &self.case["name"];
        for piece in self.case["calls"].as_array().unwrap() {
            let index = u32::try_from(piece[0].as_u64().unwrap()).unwrap();
            let (mut id, mut tool) = (piece[1].as_str(), piece[2].as_str());
            let bytes = piece[3].as_str().unwrap().as_bytes();
            if bytes.is_empty() {
                self.feed(index, id, tool, bytes);
            }
            for slice in bytes.chunks(slice) {
                self.feed(index, id.take(), tool.take(), slice);
            }
            let shown = self.draft.value().map(|value| value.to_json());
            assert_eq!(shown, piece.get(4).map(Json::to_string), "{name} behind {piece}");
            if let Some(at) = piece.get(5) {
                assert_eq!(
                    &serde_json::json!(self.draft.open_paths()),
                    at,
                    "{name} behind {piece}"
                );
            }
        }
        self.check_end();
    }

    fn check_end(&mut self) {
        let case = self.case;
        let cut = case["cut"] == true;
        let outcome = if cut {
            self.draft.cut()
        } else {
            self.draft.finish()
        };
        self.fold();
        let end = match &outcome.end {
            End::Complete => "complete",
            End::Truncated => "truncated",
            End::Invalid(_) => "invalid",
        };
        assert_eq!(
            end,
            case["end"].as_str().unwrap_or("complete"),
            "{}",
            case["name"]
        );
        assert_eq!(
            self.draft.open_paths().is_empty(),
            end == "complete" || self.draft.value().is_none()
        );
        if let End::Invalid(error) = &outcome.end {
            let told =
                serde_json::json!({"offset": error.offset, "code": error.kind.code(), "path": error.path});
            assert_eq!(told, case["error"], "{}", case["name"]);
        }
        assert_eq!(
            outcome.ignored_calls as u64,
            case["ignored"].as_u64().unwrap_or(0),
            "{}",
            case["name"]
        );
        let repairs: Vec<String> = self.draft.repairs().iter().map(ToString::to_string).collect();
        let wanted = case
            .get("repairs")
            .cloned()
            .unwrap_or_else(|| serde_json::json!([]));
        assert_eq!(serde_json::json!(repairs), wanted, "{}", case["name"]);
        assert_eq!(outcome.repairs, repairs.len());
    }
}

#[test]
fn golden_calls_hold_in_every_slice_and_rhythm() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/calls");
    let mut cases = 0;
    for file in ["tools.json", "parallel_tools.json"] {
        let text = std::fs::read_to_string(home.join(file)).expect("the golden file");
        for case in serde_json::from_str::<Vec<Json>>(&text).expect("JSON") {
            for slice in [1, 2, 5, usize::MAX] {
                for rhythm in [1, 2, 3, usize::MAX] {
                    Replay::new(&case, rhythm).run(slice);
                }
            }
            cases += 1;
        }
    }
    assert!(cases > 20, "only {cases} cases were found");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the arguments of calls are cut and interleaved, and whenever they are flushed, the items are those that
    /// each call alone gives; what is shown only grows.
    #[test]
    fn items_do_not_depend_on_the_order_of_their_pieces(
        texts in vec(prop::sample::select(ITEMS.to_vec()), 1..6),
        turns in vec((any::<prop::sample::Index>(), 1..6_usize, any::<bool>()), 0..120),
    ) {
        let options = DraftOptions { mode: Mode::ParallelTools, lenient: Lenient::Auto, ..DraftOptions::default() };
        let mut draft = Draft::new(options);
        let mut folded = Folded::default();
        let mut fed = vec![0; texts.len()];
        let ids: Vec<String> = (0..texts.len()).map(|call| format!("call_{call}")).collect();
        for (call, id) in (0..).zip(&ids) {
            draft.feed_call(call, Some(id), Some("User"), b"");
        }
        let rest = (0..texts.len()).map(|call| (call, usize::MAX, true));
        let turns = turns.into_iter().map(|(call, bytes, flush)| (call.index(texts.len()), bytes, flush));
        let mut shown = 0;
        for (call, bytes, flush) in turns.chain(rest) {
            let text = texts[call].as_bytes();
            let end = fed[call] + bytes.min(text.len() - fed[call]);
            draft.feed_call(u32::try_from(call).unwrap(), None, None, &text[fed[call]..end]);
            fed[call] = end;
            if flush {
                let mut ops: Vec<Op> = Vec::new();
                draft.flush(&mut ops);
                for op in ops {
                    prop_assert!(folded.apply(op).is_ok());
                }
                prop_assert_eq!(&folded.value, &draft.value());
            }
            let json: Json = serde_json::from_str(&text_of(&draft)).unwrap();
            let count = json["tasks"].as_array().map_or(0, Vec::len);
            prop_assert!(count >= shown, "an item was taken back");
            shown = count;
        }
        let ended = draft.finish().end;
        let mut alone = Vec::new();
        let mut whole = true;
        for text in &texts {
            let mut draft = Draft::new(DraftOptions { lenient: Lenient::Auto, ..DraftOptions::default() });
            draft.feed(text.as_bytes());
            whole &= draft.finish().end == End::Complete;
            alone.push(draft.value().map(|value| value.to_json()));
        }
        prop_assert_eq!(ended == End::Complete, whole);
        if whole {
            let alone: Vec<String> = alone.into_iter().flatten().collect();
            prop_assert_eq!(text_of(&draft), format!("{{\"tasks\":[{}]}}", alone.join(",")));
        }
    }
}

/// Arguments of calls: whole, repaired, and cut.
const ITEMS: [&str; 8] = [
    "{}",
    "{\"name\":\"Ada \\u00e9\",\"age\":36}",
    "{\"a\":[{\"b\":[1,2.50]},null],\"a\":\"again\"}",
    "{name: 'x', // y\n}",
    "[\"say \"hi\" now\"]",
    "\"\\ud83d\\ude00\"",
    "{\"text\":\"é漢😀\"}",
    "{\"cut\":\"h",
];

fn text_of(draft: &Draft) -> String {
    draft
        .value()
        .map_or_else(|| "null".to_owned(), |value| value.to_json())
}

#[test]
fn parallel_calls_keep_the_limits_of_one_text() {
    let mut draft = Draft::new(DraftOptions {
        mode: Mode::ParallelTools,
        limits: Limits {
            bytes_max: 12,
            depth_max: 4,
            ..Limits::default()
        },
        ..DraftOptions::default()
    });
    draft.feed_call(0, Some("a"), None, b"[[1]]");
    assert_eq!(draft.error(), None);
    draft.feed_call(1, Some("b"), None, b"[\"12345");
    draft.feed_call(1, None, None, b"678");
    let error = draft.error().expect("too long");
    assert_eq!(
        (error.kind.code(), error.path.as_str()),
        ("bytes_limit", "/tasks/1")
    );
    assert_eq!(text(&draft).as_deref(), Some("{\"tasks\":[[[1]],[\"12345\"]]}"));

    let mut deep = Draft::new(DraftOptions {
        mode: Mode::ParallelTools,
        limits: Limits {
            depth_max: 3,
            ..Limits::default()
        },
        ..DraftOptions::default()
    });
    deep.feed_call(0, Some("a"), None, b"[[");
    assert_eq!(deep.error().map(|error| error.kind.code()), Some("depth_limit"));

    let mut many = Draft::new(DraftOptions {
        mode: Mode::ParallelTools,
        ..DraftOptions::default()
    });
    for call in 0..=1024 {
        many.feed_call(0, Some(&call.to_string()), None, b"{}");
    }
    assert_eq!(many.error().map(|error| error.kind.code()), Some("calls_limit"));
}

fn tools() -> Draft {
    Draft::new(DraftOptions {
        mode: Mode::Tools,
        ..DraftOptions::default()
    })
}

fn text(draft: &Draft) -> Option<String> {
    draft.value().map(|value| value.to_json())
}

#[test]
fn the_first_call_is_the_draft_and_others_are_counted() {
    let mut draft = tools();
    draft.feed_call(1, Some("call_a"), None, b"");
    draft.feed_call(2, Some("call_b"), None, b"{\"no\":");
    draft.feed_call(1, None, None, b"{\"a\":");
    draft.feed_call(2, None, None, b"1}");
    draft.feed_call(1, Some("call_a"), None, b"1}");
    draft.feed_call(0, None, None, b"{}");
    assert_eq!(text(&draft).as_deref(), Some("{\"a\":1}"));
    assert_eq!(draft.bytes_fed(), 7);
    let outcome = draft.finish();
    assert_eq!((outcome.end, outcome.ignored_calls), (End::Complete, 2));
}

#[test]
fn a_new_id_at_the_same_index_is_another_call() {
    let mut draft = tools();
    draft.feed_call(0, Some("call_a"), None, b"  ");
    draft.feed_call(0, Some("call_b"), None, b"{\"b\":1");
    assert_eq!(
        text(&draft).as_deref(),
        Some("{}"),
        "nothing of the first was shown"
    );
    draft.feed_call(0, Some("call_c"), None, b"{\"c\":1}");
    draft.feed_call(0, None, None, b",\"d\":2}");
    assert_eq!(text(&draft).as_deref(), Some("{}"));
    let outcome = draft.finish();
    assert_eq!((outcome.end, outcome.ignored_calls), (End::Truncated, 1));
}

#[test]
fn plain_bytes_are_the_arguments_of_call_zero() {
    let mut draft = tools();
    draft.feed(b"{\"a\":");
    draft.feed_call(0, Some("late"), None, b"1}");
    assert_eq!(text(&draft).as_deref(), Some("{\"a\":1}"));
    assert!(draft.is_closed());
}

#[test]
fn ops_are_read_back_as_they_were_written() {
    let text = r#"[["x"],["/p","te\"xt"],["/p",{"n":1.0,"s":"0"},0],["",null,0],["/p/0",null,1]]"#;
    let ops = parse_ops(text).unwrap();
    assert_eq!(ops.len(), 5);
    assert_eq!(
        ops[0],
        Op::Append {
            path: None,
            text: "x".to_owned()
        }
    );
    assert_eq!(
        ops[3],
        Op::Set {
            path: String::new(),
            value: Value::Null
        }
    );
    assert_eq!(
        ops[4],
        Op::Remove {
            path: "/p/0".to_owned()
        }
    );
    let mut written = String::new();
    for (index, op) in ops.iter().enumerate() {
        written.push(if index == 0 { '[' } else { ',' });
        op.write_json(&mut written);
    }
    assert_eq!(written + "]", text);
}

#[test]
fn what_is_no_op_is_refused_by_its_place() {
    assert_eq!(parse_ops("{}"), Err(OpsError::NotAnArray));
    assert!(matches!(parse_ops("[[\"a\"]"), Err(OpsError::Json(_))));
    for wrong in [
        "1",
        "[]",
        "[1]",
        "[\"/p\",1]",
        "[\"/p\",1,1]",
        "[\"/p\",1,2]",
        "[\"/p\",1,0,0]",
        "[\"/p\",null,\"0\"]",
    ] {
        let ops = parse_ops(&format!("[[\"a\"],{wrong}]"));
        assert_eq!(ops, Err(OpsError::Unknown { index: 1 }), "{wrong}");
    }
}

#[test]
fn an_error_says_what_was_expected_and_where() {
    let message = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(
        message("{\"a\":[1 2]}"),
        "expected ',' or ']', found '2' at byte 8 in /a"
    );
    assert_eq!(
        message("{\"a\":"),
        "expected the rest of the value at byte 5 in /a"
    );
    assert_eq!(
        message(&"[".repeat(101)),
        format!(
            "expected less nesting (at most 100) at byte 100 in {}",
            "/0".repeat(100)
        )
    );
    assert_eq!(message("\u{7f}"), "expected a value, found byte 0x7f at byte 0");
}

#[test]
fn nothing_is_read_behind_the_end() {
    let mut draft = Draft::new(DraftOptions::default());
    draft.feed(b"[1");
    assert_eq!(draft.finish().end, End::Truncated);
    draft.feed(b"]");
    assert_eq!(draft.finish().end, End::Truncated);
    assert_eq!(text(&draft).as_deref(), Some("[]"));
}
