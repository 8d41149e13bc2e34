//! The corpora that fuzzing kept, and the golden texts, held to what `scripts/fuzz` holds millions of inputs to.

use std::fs;
use std::path::{Path, PathBuf};

use livedraft::{event, job, llm, partial, wire};

#[path = "../fuzz/src/checks/mod.rs"]
#[allow(unreachable_pub, reason = "public in the crate of the fuzz targets")]
pub(crate) mod checks;

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(
        paths.len() >= 50,
        "only {} inputs in {}",
        paths.len(),
        folder.display()
    );
    paths
}

fn replay(target: &str, check: fn(&[u8])) {
    for path in inputs(target) {
        let input = fs::read(&path).expect("readable");
        if std::panic::catch_unwind(|| check(&input)).is_err() {
            panic!("{}: {:?}", path.display(), String::from_utf8_lossy(&input));
        }
    }
}

#[test]
fn kept_inputs_of_strict_reading_agree_with_the_oracle() {
    replay("draft", checks::draft::check);
}

#[test]
fn kept_inputs_among_markdown_do_not_depend_on_cuts() {
    replay("md_json", checks::md_json::check);
}

#[test]
fn kept_inputs_of_repair_stay_within_bounds() {
    replay("lenient", checks::lenient::check);
}

#[test]
fn kept_messages_are_read_and_written_again() {
    replay("wire", checks::wire::check);
}

#[test]
fn kept_bodies_and_queries_are_taken_or_refused_within_bounds() {
    replay("http", checks::http::check);
}

#[test]
fn kept_answers_of_models_do_not_depend_on_cuts() {
    replay("vendors", checks::vendors::check);
}
