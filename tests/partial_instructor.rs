//! Instructor's own sequences (1.17.0, as it was run) beside ours under `unseen: "null"`: equal but for the differences
//! that `docs/partial.md` explains. Vectors that end in an error there are left out.
#![allow(
    clippy::unwrap_used,
    reason = "a test may stop where its own material is wrong"
)]

use std::collections::BTreeMap;
use std::path::Path;

use livedraft::partial::{Draft, DraftOptions, Lenient};
use livedraft::schema::{Schema, SchemaLimits};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    id: String,
    model: String,
    /// A job that asks for repairs: the text is no JSON.
    lenient: Option<String>,
    #[serde(rename = "in")]
    chunks: Vec<String>,
    /// What is shown behind each chunk there; `"="` is what was shown before.
    theirs: Vec<Json>,
    /// What is shown here, where it differs.
    #[serde(default)]
    ours: BTreeMap<usize, Json>,
    /// Rows of the table in `docs/partial.md`.
    #[serde(default)]
    why: Vec<String>,
}

fn read(path: &str) -> String {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(home.join(path)).expect("readable")
}

/// What is shown behind each chunk, with unseen members as `null`.
fn shown(vector: &Vector, schema: &Schema) -> Vec<Json> {
    let shape = schema.shape();
    let mut draft = Draft::new(DraftOptions {
        lenient: match vector.lenient.as_deref() {
            None => Lenient::Off,
            Some("auto") => Lenient::Auto,
            Some(other) => panic!("lenient {other}"),
        },
        root: schema.root_kinds(),
        guide: Some(schema.guide()),
        ..DraftOptions::default()
    });
    let mut seen = Vec::new();
    for chunk in &vector.chunks {
        draft.feed(chunk.as_bytes());
        let filled = shape.fill_root(draft.value().as_ref()).expect("an object");
        seen.push(serde_json::from_str(&filled.to_json()).expect("JSON"));
    }
    seen
}

#[test]
fn instructors_sequences_are_ours_but_for_what_the_page_explains() {
    let models: BTreeMap<String, Json> =
        serde_json::from_str(&read("tests/golden/instructor/models.json")).expect("JSON");
    let vectors: Vec<Vector> =
        serde_json::from_str(&read("tests/golden/instructor/vectors.json")).expect("JSON");
    let page = read("docs/partial.md");
    assert!(vectors.len() > 25, "only {} vectors were found", vectors.len());
    for vector in &vectors {
        let schema = Schema::compile(&models[&vector.model], &SchemaLimits::default()).expect("a schema");
        let seen = shown(vector, &schema);
        assert_eq!(seen.len(), vector.theirs.len(), "{}", vector.id);
        let mut theirs = &Json::Null;
        for (step, told) in vector.theirs.iter().enumerate() {
            theirs = if told == "=" { theirs } else { told };
            let differs = vector.ours.get(&step);
            assert_eq!(
                &seen[step],
                differs.unwrap_or(theirs),
                "{} step {step}",
                vector.id
            );
            assert_ne!(
                differs,
                Some(theirs),
                "{} step {step} differs in nothing",
                vector.id
            );
        }
        assert_eq!(vector.why.is_empty(), vector.ours.is_empty(), "{}", vector.id);
        for why in &vector.why {
            assert!(
                page.contains(&format!("\n| {why} |")),
                "docs/partial.md has no row for {why:?}"
            );
        }
    }
}
