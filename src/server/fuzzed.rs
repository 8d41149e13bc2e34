//! The corpus that fuzzing kept of frames, held to what `scripts/fuzz frame` holds millions of inputs to. It stands here
//! because nobody outside reads frames; the others are replayed by `tests/fuzz_corpus.rs`.

use std::path::Path;

#[path = "../../fuzz/src/checks/frame.rs"]
#[allow(unreachable_pub, reason = "public in the crate of the fuzz targets")]
mod frame;

#[test]
fn kept_frames_do_not_depend_on_cuts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frame");
    let entries = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut inputs = 0;
    for entry in entries {
        let path = entry.expect("readable").path();
        let input = std::fs::read(&path).expect("readable");
        if std::panic::catch_unwind(|| frame::check(&input)).is_err() {
            panic!("{}: {input:?}", path.display());
        }
        inputs += 1;
    }
    assert!(inputs >= 50, "only {inputs} inputs in {}", folder.display());
}
