//! Tool calls, ops as JSON, and what a draft says of itself.

use livedraft::partial::{Draft, DraftOptions, End, Mode, Op, OpsError, Value, parse, parse_ops};

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
    draft.feed_call(1, Some("call_a"), b"");
    draft.feed_call(2, Some("call_b"), b"{\"no\":");
    draft.feed_call(1, None, b"{\"a\":");
    draft.feed_call(2, None, b"1}");
    draft.feed_call(1, Some("call_a"), b"1}");
    draft.feed_call(0, None, b"{}");
    assert_eq!(text(&draft).as_deref(), Some("{\"a\":1}"));
    assert_eq!(draft.bytes_fed(), 7);
    let outcome = draft.finish();
    assert_eq!((outcome.end, outcome.ignored_calls), (End::Complete, 2));
}

#[test]
fn a_new_id_at_the_same_index_is_another_call() {
    let mut draft = tools();
    draft.feed_call(0, Some("call_a"), b"  ");
    draft.feed_call(0, Some("call_b"), b"{\"b\":1");
    assert_eq!(
        text(&draft).as_deref(),
        Some("{}"),
        "nothing of the first was shown"
    );
    draft.feed_call(0, Some("call_c"), b"{\"c\":1}");
    draft.feed_call(0, None, b",\"d\":2}");
    assert_eq!(text(&draft).as_deref(), Some("{}"));
    let outcome = draft.finish();
    assert_eq!((outcome.end, outcome.ignored_calls), (End::Truncated, 1));
}

#[test]
fn plain_bytes_are_the_arguments_of_call_zero() {
    let mut draft = tools();
    draft.feed(b"{\"a\":");
    draft.feed_call(0, Some("late"), b"1}");
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
