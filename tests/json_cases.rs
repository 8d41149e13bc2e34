//! What is JSON and what is not, with the byte offset of the first error: `golden/json/<family>.txt`, at every cut.
//!
//! A line is a verdict, a tab, a text. The verdict: `taken`, `cut` (the text ends before its value does), or the offset
//! and the code of the first error. In the text, `%HH` is a byte and `%(n*text)` is the text n times.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use livedraft::partial::{Draft, DraftOptions, End};

use crate::fuzz_corpus::checks;

/// How many cases each family must have at least, so that none is lost in silence.
const FAMILIES: [(&str, usize); 11] = [
    ("blanks", 49),
    ("depth", 16),
    ("escapes", 63),
    ("literals", 73),
    ("numbers", 140),
    ("order-mark", 20),
    ("strings", 57),
    ("structure", 115),
    ("surrogates", 39),
    ("trailing", 49),
    ("utf-8", 54),
];
/// Longer texts are cut in steps.
const CUTS_MAX: usize = 600;

struct Case {
    line: String,
    verdict: String,
    text: Vec<u8>,
}

fn cases(family: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/json");
    let file = fs::read_to_string(folder.join(family).with_extension("txt")).expect("readable");
    let lines = file.lines().map(|line| {
        let (verdict, text) = line.split_once('\t').expect("a verdict, a tab, a text");
        Case {
            line: format!("{family}: {line}"),
            verdict: verdict.to_owned(),
            text: bytes(&repeated(text)),
        }
    });
    lines.collect()
}

/// The text with every `%(n*text)` written out.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("%(") else {
        return text.to_owned();
    };
    let (count, rest) = rest.split_once('*').expect("a count and a star");
    let (piece, after) = rest.split_once(')').expect("a closing parenthesis");
    let piece = piece.repeat(count.parse().expect("a count"));
    format!("{before}{piece}{}", repeated(after))
}

/// The bytes of a text, each `%HH` one of them.
fn bytes(text: &str) -> Vec<u8> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().expect("a first piece").as_bytes().to_vec();
    for piece in pieces {
        let (hex, plain) = piece.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).expect("two digits"));
        bytes.extend_from_slice(plain.as_bytes());
    }
    bytes
}

/// What is told of a text that comes in pieces.
fn verdict<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut draft = Draft::new(DraftOptions::default());
    pieces.into_iter().for_each(|piece| draft.feed(piece));
    match draft.finish().end {
        End::Complete => "taken".to_owned(),
        End::Truncated => "cut".to_owned(),
        End::Invalid(error) => format!("{} {}", error.offset, error.kind.code()),
    }
}

#[test]
fn every_case_has_its_verdict_at_every_cut() {
    let mut counts = BTreeMap::new();
    for (family, least) in FAMILIES {
        let cases = cases(family);
        assert!(cases.len() >= least, "{family} has only {} cases", cases.len());
        for case in cases {
            let Case {
                line,
                verdict: told,
                text,
            } = case;
            assert_eq!(verdict([&*text]), told, "{line}");
            assert_eq!(verdict(text.chunks(1)), told, "{line}, byte by byte");
            for cut in (0..text.len()).step_by(1 + text.len() / CUTS_MAX) {
                let (before, after) = text.split_at(cut);
                assert_eq!(verdict([before, after]), told, "{line}, cut at {cut}");
            }
            let kind = told.split(' ').next_back().unwrap_or_default().to_owned();
            *counts.entry(kind).or_insert(0) += 1;
        }
    }
    let refused: usize = counts
        .iter()
        .filter(|(kind, _)| *kind != "taken" && *kind != "cut")
        .map(|(_, n)| n)
        .sum();
    assert!(
        counts["taken"] >= 163 && counts["cut"] >= 56 && refused >= 456,
        "{counts:?}"
    );
}

#[test]
fn every_case_agrees_with_the_oracle() {
    for (family, _) in FAMILIES {
        for case in cases(family) {
            for head in [[0, 0, 1, 0], [0xA0, 0, 7, 0]] {
                let input = [&head, case.text.as_slice()].concat();
                let held = std::panic::catch_unwind(|| checks::draft::check(&input));
                assert!(held.is_ok(), "{}", case.line);
            }
        }
    }
}
