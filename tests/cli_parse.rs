//! `livedraft parse` as a function over streams.
#![allow(
    clippy::unwrap_used,
    reason = "a test may stop where its own material is wrong"
)]

use clap::Parser;
use livedraft::cli::parse::{ParseArgs, run};
use livedraft::partial::{Folded, Op, parse_ops};
use serde_json::{Value as Json, json};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: ParseArgs,
}

fn parse(flags: &[&str], stdin: &[u8]) -> (i32, Vec<Json>, String) {
    let command = Command::parse_from([&["parse"], flags].concat());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(command.args, stdin, &mut out, &mut err);
    let out = String::from_utf8(out).unwrap();
    let lines = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    (code, lines, String::from_utf8(err).unwrap())
}

/// A file that lives as long as the test.
struct SchemaFile(std::path::PathBuf);

impl SchemaFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("livedraft-{}-{name}.json", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for SchemaFile {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

const USER: &str = r#"{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"]}"#;

#[test]
fn each_chunk_gives_one_line_and_the_verdict_comes_last() {
    let chunks = b"\"{\\\"na\"\n\"me\\\":\\\"J\"\n\"o\\\",\"\n\"\\\"age\\\":12}\"\n";
    let (code, lines, _) = parse(&["--chunks"], chunks);
    assert_eq!(code, 0);
    assert_eq!(
        lines[..4],
        [
            json!({"ops": [["", {}, 0]], "at": [""], "value": {}}),
            json!({"ops": [["/name", "J", 0]], "at": ["/name"], "value": {"name": "J"}}),
            json!({"ops": [["o"]], "at": [""], "value": {"name": "Jo"}}),
            json!({"ops": [["/age", 12, 0]], "at": [], "value": {"name": "Jo", "age": 12}}),
        ]
    );
    let end = json!({"end": "complete", "value": {"name": "Jo", "age": 12}, "repairs": [], "violations": []});
    assert_eq!(lines[4..], [end]);
}

#[test]
fn chunks_may_be_bytes_and_show_nothing_yet() {
    let (code, lines, _) = parse(
        &["--chunks"],
        b"\" \"\n{\"hex\":\"22e29c\"}\n{\"hex\":\"9322\"}\n",
    );
    assert_eq!(code, 0);
    assert_eq!(lines[0], json!({"ops": [], "at": []}));
    assert_eq!(lines[1], json!({"ops": [["", "", 0]], "at": [""], "value": ""}));
    assert_eq!(lines[2], json!({"ops": [["✓"]], "at": [], "value": "✓"}));
}

#[test]
fn unseen_members_are_null_in_values_and_ops_alike() {
    let schema = SchemaFile::new("unseen", USER);
    let chunks: String = "{\"name\":\"Jo\",\"age\":1}"
        .chars()
        .map(|letter| format!("{}\n", json!(letter.to_string())))
        .collect();
    let (code, lines, _) = parse(
        &["--chunks", "--schema", schema.path(), "--unseen", "null"],
        chunks.as_bytes(),
    );
    assert_eq!(code, 0);
    assert_eq!(lines[0]["value"], json!({"name": null, "age": null}));
    assert_eq!(lines[10]["value"], json!({"name": "Jo", "age": null}));
    let mut folded = Folded::default();
    for line in &lines[..lines.len() - 1] {
        let ops: Vec<Op> = parse_ops(&line["ops"].to_string()).unwrap();
        ops.into_iter().for_each(|op| folded.apply(op).unwrap());
        let value: Json = serde_json::from_str(&folded.value.as_ref().unwrap().to_json()).unwrap();
        assert_eq!(value, line["value"]);
    }
}

#[test]
fn a_verdict_names_violations_and_errors() {
    let schema = SchemaFile::new("verdict", USER);
    let (code, lines, _) = parse(
        &["--quiet", "--schema", schema.path()],
        br#"{"name":"Jo","age":"old"}"#,
    );
    assert_eq!((code, lines.len()), (1, 1));
    assert_eq!(lines[0]["end"], "complete");
    assert_eq!(lines[0]["violations"][0]["path"], "/age");

    let (code, lines, _) = parse(&["--quiet"], br#"{"a":[1,}"#);
    assert_eq!(code, 1);
    assert_eq!(lines[0]["end"], "invalid");
    assert_eq!(lines[0]["error"]["offset"], 8);
    assert_eq!(lines[0]["error"]["path"], "/a/1");
    assert_eq!(lines[0]["value"], json!({"a": [1]}));

    let (code, lines, _) = parse(&["--quiet"], br#"{"a":"#);
    assert_eq!((code, &lines[0]["end"]), (1, &json!("truncated")));
}

#[test]
fn bad_calls_are_told_apart_from_bad_text() {
    let (code, lines, err) = parse(&["--schema", "/nowhere/schema.json"], b"{}");
    assert_eq!((code, lines.len()), (2, 0));
    assert!(err.contains("/nowhere/schema.json"));
    let (code, _, err) = parse(&["--chunks"], b"12\n");
    assert_eq!(code, 2);
    assert!(err.contains("line 1"));
}

#[test]
fn markdown_is_searched_for_the_value() {
    let text = b"<think>{\"no\":1}</think>Here [it] is:\n```json\n{\"a\": 1}\n```\nbye";
    let (code, lines, _) = parse(&["--mode", "md_json"], text);
    assert_eq!(code, 0);
    assert_eq!(lines.last().unwrap()["value"], json!({"a": 1}));
}

#[test]
fn the_schema_steers_what_is_shown() {
    let schema = SchemaFile::new(
        "steers",
        r#"{"type":"object","properties":{"kind":{"enum":["person","place"]},"bio":{"type":"string"}}}"#,
    );
    let chunks = b"\"{\\\"kind\\\":\\\"per\"\n\"son\\\",\\\"bio\\\":\\\"hu\"\n\"h\\\"}\"\n";
    let (code, lines, _) = parse(&["--chunks", "--schema", schema.path()], chunks);
    assert_eq!(code, 0);
    assert_eq!(lines[0]["value"], json!({}));
    assert_eq!(lines[1]["value"], json!({"kind": "person", "bio": "hu"}));
    assert_eq!(lines[2]["ops"], json!([["h"]]));
}

#[test]
fn repairs_are_told() {
    let (code, lines, _) = parse(&["--quiet", "--lenient", "auto"], b"{'a': [1,]}");
    assert_eq!(code, 0);
    assert_eq!(
        lines[0]["repairs"][0],
        json!({"offset": 1, "path": "", "kind": "foreign_quotes"})
    );
    assert_eq!(
        lines[0]["repairs"][1],
        json!({"offset": 9, "path": "/a/1", "kind": "trailing_comma"})
    );
}

#[test]
fn a_wrapper_is_put_around_the_schema() {
    let file = SchemaFile::new(
        "wrap",
        r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}"#,
    );
    let flags = ["--quiet", "--schema", file.path(), "--wrap"];
    let (code, lines, _) = parse(
        &[&flags[..], &["iterable"]].concat(),
        br#"{"tasks":[{"a":1},{"a":"x"}]}"#,
    );
    assert_eq!(
        (code, &lines[0]["violations"][0]["path"]),
        (1, &json!("/tasks/1/a"))
    );
    let (code, lines, _) = parse(&[&flags[..], &["maybe"]].concat(), br#"{"result":{"a":1}}"#);
    assert_eq!((code, &lines[0]["end"]), (0, &json!("complete")));
}

#[test]
fn a_line_says_what_its_change_found_wrong() {
    let file = SchemaFile::new("closing", USER);
    let chunks = br#""{\"age\":\"old\"" ",\"name\":\"J" "\"}""#;
    let chunks = String::from_utf8_lossy(chunks).replace("\" \"", "\"\n\"");
    let (code, lines, _) = parse(&["--chunks", "--schema", file.path()], chunks.as_bytes());
    assert_eq!(code, 1);
    let told: Vec<Option<&Json>> = lines.iter().map(|line| line.get("violations")).collect();
    let violation = json!([{
        "path": "/age", "keyword": "type", "message": "must be an integer", "value": "\"old\"",
    }]);
    assert_eq!(
        told,
        [Some(&violation), None, None, Some(&violation)],
        "then the verdict"
    );
}
