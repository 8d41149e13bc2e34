//! The invariants of the draft (DESIGN §4): cuts do not matter, partials only grow, ops fold to the value, the end
//! is what a one-shot parse gives, every partial is JSON.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a property reads best in one piece"
)]

use std::sync::Arc;

use livedraft::partial::{
    Draft, DraftOptions, End, Folded, Guide, Lenient, Limits, Map, Mode, Number, Op, OpEncoder, OpSink,
    Value, parse, parse_ops,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fuzz_corpus::checks::OddDepths;

/// A document as a model might write it: the text and what it means.
#[derive(Clone, Debug)]
struct Document {
    text: String,
    value: Value,
    has_duplicates: bool,
}

#[derive(Clone, Debug)]
enum Tree {
    Literal(&'static str),
    Number(String),
    Text(Vec<Piece>),
    Array(Vec<(Self, &'static str)>),
    Object(Vec<(Vec<Piece>, Self, &'static str)>),
}

/// A piece of a string: as written, as meant.
type Piece = (String, String);

fn piece() -> impl Strategy<Value = Piece> {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    let pair = |written: &str, meant: &str| (written.to_owned(), meant.to_owned());
    prop_oneof![
        4 => "[a-z ]{1,9}".prop_map(move |text| same(&text)),
        1 => "\\PC".prop_map(move |text| match text.as_str() {
            "\"" => pair("\\\"", "\""),
            "\\" => pair("\\\\", "\\"),
            other => same(other),
        }),
        2 => prop::sample::select(vec![
            pair("\\n", "\n"), pair("\\t", "\t"), pair("\\\"", "\""), pair("\\\\", "\\"), pair("\\/", "/"),
            pair("\\u00e9", "é"), pair("\\uD83D\\uDE00", "😀"), pair("\\ud83d\\ude00", "😀"), pair("\\u0000", "\0"),
            same("😀"), same("é"), same("漢字"), same("{"), same("]"), same(","), same("```"),
        ]),
    ]
}

fn key() -> impl Strategy<Value = Vec<Piece>> {
    let plain = |text: &str| vec![(text.to_owned(), text.to_owned())];
    prop_oneof![
        3 => prop::sample::select(vec![
            plain("a"), plain("b"), plain("name"), plain("a/b"), plain("~m"), plain(""), plain("__proto__"),
            plain("0"), vec![("\\u0061".to_owned(), "a".to_owned())],
        ]),
        1 => vec(piece(), 0..3),
    ]
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n", "\t\r\n  "])
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        1 => prop::sample::select(vec!["true", "false", "null"]).prop_map(Tree::Literal),
        2 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?".prop_map(Tree::Number),
        4 => vec(piece(), 0..5).prop_map(Tree::Text),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec((inner.clone(), blank()), 0..6).prop_map(Tree::Array),
            vec((key(), inner, blank()), 0..6).prop_map(Tree::Object),
        ]
    })
}

fn written(pieces: &[Piece], meant: bool) -> String {
    pieces
        .iter()
        .map(|(text, value)| if meant { value.as_str() } else { text.as_str() })
        .collect()
}

impl Tree {
    fn build(&self, text: &mut String, duplicates: &mut bool) -> Value {
        match self {
            Self::Literal(literal) => {
                text.push_str(literal);
                match *literal {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    _ => Value::Null,
                }
            }
            Self::Number(digits) => {
                text.push_str(digits);
                Value::Number(digits.parse::<Number>().unwrap())
            }
            Self::Text(pieces) => {
                *text += &format!("\"{}\"", written(pieces, false));
                Value::String(written(pieces, true))
            }
            Self::Array(items) => {
                text.push('[');
                let mut values = Vec::new();
                for (index, (item, blank)) in items.iter().enumerate() {
                    *text += if index > 0 { "," } else { "" };
                    *text += blank;
                    values.push(item.build(text, duplicates));
                    *text += blank;
                }
                text.push(']');
                Value::Array(values)
            }
            Self::Object(members) => {
                text.push('{');
                let mut map = Map::new();
                for (index, (key, member, blank)) in members.iter().enumerate() {
                    *text += if index > 0 { "," } else { "" };
                    *text += &format!("{blank}\"{}\"{blank}:{blank}", written(key, false));
                    let value = member.build(text, duplicates);
                    *text += blank;
                    *duplicates |= map.insert(written(key, true), value).is_some();
                }
                text.push('}');
                Value::Object(map)
            }
        }
    }
}

fn document() -> impl Strategy<Value = Document> {
    (tree(), blank(), blank()).prop_map(|(tree, before, after)| {
        let mut text = before.to_owned();
        let mut has_duplicates = false;
        let value = tree.build(&mut text, &mut has_duplicates);
        text += after;
        Document {
            text,
            value,
            has_duplicates,
        }
    })
}

/// Whether `new` is `old` grown: strings and containers at their end, everything else unchanged.
fn extends(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::String(old), Value::String(new)) => new.starts_with(old.as_str()),
        (Value::Array(old), Value::Array(new)) => {
            new.len() >= old.len() && old.iter().zip(new).all(|(old, new)| extends(old, new))
        }
        (Value::Object(old), Value::Object(new)) => {
            new.len() >= old.len()
                && old
                    .iter()
                    .zip(new.iter())
                    .all(|((key, old), (new_key, new))| key == new_key && extends(old, new))
        }
        _ => old == new,
    }
}

/// None for 0, else the guide that counts from the number before.
fn guide(guided: u32) -> Option<Arc<dyn Guide>> {
    let from = guided.checked_sub(1)?;
    Some(Arc::new(OddDepths(from)))
}

fn whole(options: &DraftOptions, text: &[u8]) -> Draft {
    let mut draft = Draft::new(options.clone());
    draft.feed(text);
    draft
}

/// Everything that can be seen of a draft.
fn face(draft: &Draft) -> (Option<String>, Vec<String>, Option<String>, usize, String) {
    (
        draft.value().map(|value| value.to_json()),
        draft.open_paths(),
        draft.error().map(|error| format!("{error:?}")),
        draft.duplicate_keys(),
        format!("{:?}", draft.repairs()),
    )
}

/// Feeds `text` in pieces, flushes in a rhythm, and holds every invariant on the way. Gives the last state.
fn replay(
    options: &DraftOptions,
    text: &[u8],
    cuts: &[usize],
    flushes: &[bool],
    join: usize,
    monotone: bool,
) -> Draft {
    let mut draft = Draft::new(options.clone());
    let mut whole_paths = Folded::default();
    let mut short_paths = Folded::default();
    let mut joined: Option<Folded> = None;
    let mut encoder = OpEncoder::default();
    let mut last: Option<Value> = None;
    let (mut at, mut step) = (0, 0);
    while at <= text.len() {
        let ended = at == text.len();
        if ended {
            draft.finish();
        } else {
            let end = (at + cuts[step % cuts.len()]).min(text.len());
            draft.feed(&text[at..end]);
            at = end;
            assert_eq!(face(&draft), face(&whole(options, &text[..end])), "cut at {end}");
        }
        let mut shown = String::new();
        assert_eq!(draft.write_value(&mut shown), draft.value().is_some());
        if let Some(value) = draft.value() {
            assert_eq!(shown, value.to_json());
            serde_json::from_str::<serde::de::IgnoredAny>(&shown).expect("every partial is JSON");
        }
        if monotone {
            let now = draft.value();
            if let Some(old) = &last {
                assert!(
                    extends(old, now.as_ref().expect("stays shown")),
                    "{old} → {now:?}"
                );
            }
            last = now;
        }
        if ended || flushes[step % flushes.len()] {
            let mut ops: Vec<Op> = Vec::new();
            // Two drafts in the same state, as one flush has one reader: both kinds of sink see the same.
            let wrote = draft.flush(&mut Tee {
                ops: &mut ops,
                encoder: &mut encoder,
            });
            assert_eq!(wrote, !ops.is_empty());
            let read =
                parse_ops(&format!("[{}]", encoder.ops())).expect("what the encoder writes can be read");
            encoder.clear();
            for op in ops {
                whole_paths.apply(op).expect("fits");
            }
            for op in read {
                short_paths.apply(op.clone()).expect("fits");
                if let Some(joined) = &mut joined {
                    joined.apply(op).expect("fits");
                }
            }
            assert_eq!(whole_paths.value, draft.value(), "folding whole paths");
            assert_eq!(short_paths.value, draft.value(), "folding the JSON form");
            if let Some(joined) = &joined {
                assert_eq!(joined.value, draft.value(), "folding from a snapshot on");
            }
            if step >= join && joined.is_none() {
                joined = Some(Folded {
                    value: draft.value(),
                    cursor: encoder.cursor().map(str::to_owned),
                });
            }
            assert!(
                !draft.flush(&mut Vec::<Op>::new()),
                "a second flush has nothing to say"
            );
        }
        step += 1;
        if ended {
            break;
        }
    }
    draft
}

struct Tee<'a> {
    ops: &'a mut Vec<Op>,
    encoder: &'a mut OpEncoder,
}

impl OpSink for Tee<'_> {
    fn append(&mut self, path: &str, text: &str) {
        OpSink::append(self.ops, path, text);
        self.encoder.append(path, text);
    }
    fn set(&mut self, path: &str, value: &Value) {
        OpSink::set(self.ops, path, value);
        self.encoder.set(path, value);
    }
    fn remove(&mut self, path: &str) {
        OpSink::remove(self.ops, path);
        self.encoder.remove(path);
    }
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        Just(vec![4]),
        vec(1..9usize, 1..12),
        vec(1..60usize, 1..6)
    ]
}

fn flushes() -> impl Strategy<Value = Vec<bool>> {
    prop_oneof![Just(vec![true]), vec(any::<bool>(), 1..9)]
}

/// What models put where it does not belong.
const DAMAGE: [&str; 28] = [
    ",", "\"", "'", "`", "“", "”", "\"\"\"", "//x\n", "/*x*/", "#x\n", "...", "…", "True", "nil", "NaN", "+",
    ".", "0", "\n", "\\", "\\ud83d", "\\ude00", "\\u12", "{", "}", "[", "]", ":",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_keep_every_invariant(document in document(), cuts in cuts(), flushes in flushes(), join in 0..20usize, guided in 0..5u32) {
        let options = DraftOptions { guide: guide(guided), ..DraftOptions::default() };
        let mut draft = replay(&options, document.text.as_bytes(), &cuts, &flushes, join, !document.has_duplicates);
        prop_assert_eq!(draft.finish().end, End::Complete);
        prop_assert_eq!(draft.value(), Some(document.value.clone()));
        prop_assert_eq!(parse(&document.text), Ok(document.value.clone()));
        prop_assert_eq!(draft.duplicate_keys() > 0, document.has_duplicates);
    }

    #[test]
    fn the_end_agrees_with_a_one_shot_parser(document in document()) {
        // Exponents may pass the range of f64, where serde_json gives up; the text comparison above has them.
        if let Ok(theirs) = serde_json::from_str::<serde_json::Value>(&document.text) {
            let ours = parse(&document.text).unwrap().to_json();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&ours).unwrap(), theirs);
        }
    }

    #[test]
    fn damaged_documents_keep_every_invariant(
        document in document(), cuts in cuts(), flushes in flushes(), join in 0..20usize,
        at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3u8,
    ) {
        let mut bytes = document.text.into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => bytes.truncate(at),
        }
        let draft = replay(&DraftOptions::default(), &bytes, &cuts, &flushes, join, false);
        let ours = draft.into_value();
        let accepted = match serde_json::from_slice::<serde_json::Value>(&bytes) {
            Ok(_) => true,
            // A number may be fine JSON and still no f64; the draft keeps digits and does not care.
            Err(error) => error.to_string().contains("number out of range") && ours.is_ok(),
        };
        prop_assert_eq!(ours.is_ok(), accepted, "{:?} {:?}", ours, String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn damaged_answers_keep_every_invariant_when_repaired(
        document in document(), cuts in cuts(), flushes in flushes(), join in 0..20usize,
        damage in vec((any::<prop::sample::Index>(), prop::sample::select(DAMAGE.to_vec())), 1..4),
        markdown in any::<bool>(), auto in any::<bool>(), guided in 0..5u32,
    ) {
        let mut text = document.text;
        for (at, damage) in damage {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            text.insert_str(places[at.index(places.len())], damage);
        }
        let mode = if markdown { Mode::MdJson } else { Mode::Json };
        let lenient = if auto { Lenient::Auto } else { Lenient::On };
        let options = DraftOptions { mode, lenient, guide: guide(guided), ..DraftOptions::default() };
        replay(&options, text.as_bytes(), &cuts, &flushes, join, false);
    }

    #[test]
    fn noise_keeps_every_invariant_in_every_mode(
        bytes in vec(prop::sample::select(b"{}[]\",:\\ud83d0019.-+eE tfalsn\n`'<>/*#ab\xe2\x9c\x93".to_vec()), 0..60),
        cuts in cuts(), flushes in flushes(), join in 0..20usize,
        mode in prop::sample::select(vec![Mode::Json, Mode::JsonSchema, Mode::MdJson, Mode::Tools, Mode::ParallelTools]),
        lenient in prop::sample::select(vec![Lenient::Off, Lenient::On, Lenient::Auto]),
    ) {
        let options = DraftOptions { mode, lenient, ..DraftOptions::default() };
        replay(&options, &bytes, &cuts, &flushes, join, false);
    }

    #[test]
    fn limits_do_not_depend_on_cuts(document in document(), cuts in cuts(), flushes in flushes(), limit in 1..12usize) {
        let limits = Limits {
            depth_max: limit, bytes_max: limit * 7, key_bytes_max: limit, number_digits_max: limit, blanks_max: limit / 2,
        };
        let options = DraftOptions { limits, ..DraftOptions::default() };
        replay(&options, document.text.as_bytes(), &cuts, &flushes, 3, false);
    }
}

/// What lenient reading makes of a text: the value, and the names of the repairs.
fn mended(text: &str, lenient: Lenient) -> (End, Option<String>, Vec<&'static str>) {
    let mut draft = whole(
        &DraftOptions {
            lenient,
            ..DraftOptions::default()
        },
        text.as_bytes(),
    );
    let end = draft.finish().end;
    let repairs = draft.repairs().iter().map(|repair| repair.kind.code()).collect();
    (end, draft.value().map(|value| value.to_json()), repairs)
}

#[test]
fn every_repair_is_made_and_named() {
    let cases = [
        ("[1,2,]", "[1,2]", "trailing_comma"),
        ("{\"a\":1,}", "{\"a\":1}", "trailing_comma"),
        ("[1,,2]", "[1,2]", "extra_comma"),
        ("[,1]", "[1]", "extra_comma"),
        ("{,\"a\":1}", "{\"a\":1}", "extra_comma"),
        ("[1 2]", "[1,2]", "missing_comma"),
        ("[\"a\" \"b\"]", "[\"a\",\"b\"]", "missing_comma"),
        ("{\"a\":1\n\"b\":2}", "{\"a\":1,\"b\":2}", "missing_comma"),
        (
            "{\"a\":\"x\"\n\"b\":\"y\"}",
            "{\"a\":\"x\",\"b\":\"y\"}",
            "missing_comma",
        ),
        ("{\"a\" 1}", "{\"a\":1}", "missing_colon"),
        ("{\"a\" = 1}", "{\"a\":1}", "missing_colon"),
        ("['a']", "[\"a\"]", "foreign_quotes"),
        ("{'it': 1}", "{\"it\":1}", "foreign_quotes"),
        ("[`a\"b`]", "[\"a\\\"b\"]", "foreign_quotes"),
        ("[“a”]", "[\"a\"]", "foreign_quotes"),
        ("{“a”:1}", "{\"a\":1}", "foreign_quotes"),
        ("[\"\"\"a \"b\" c\"\"\"]", "[\"a \\\"b\\\" c\"]", "foreign_quotes"),
        (
            "[\"say \"hi\" now\"]",
            "[\"say \\\"hi\\\" now\"]",
            "inner_quote inner_quote",
        ),
        ("{\"a\":\"5\" tall\"}", "{\"a\":\"5\\\" tall\"}", "inner_quote"),
        ("['it's']", "[\"it's\"]", "foreign_quotes inner_quote"),
        ("[1, // one\n2]", "[1,2]", "comment"),
        ("[1, /* * one */ 2]", "[1,2]", "comment"),
        ("[1 # one\n,2]", "[1,2]", "comment"),
        ("{\"a\":\"x\" // why\n}", "{\"a\":\"x\"}", "comment"),
        ("{a_1: 2}", "{\"a_1\":2}", "unquoted_key"),
        ("[True,False]", "[true,false]", "foreign_literal foreign_literal"),
        ("[None]", "[null]", "foreign_literal"),
        ("[nil]", "[null]", "foreign_literal"),
        ("None", "null", "foreign_literal"),
        ("[NaN,-Infinity]", "[null,null]", "not_a_number not_a_number"),
        ("[+1]", "[1]", "number_form"),
        ("[.5]", "[0.5]", "number_form"),
        ("[-.5]", "[-0.5]", "number_form"),
        ("[1.]", "[1.0]", "number_form"),
        ("[007]", "[7]", "number_form number_form"),
        ("[\"a\nb\"]", "[\"a\\nb\"]", "control_character"),
        ("[\"a\\qb\"]", "[\"a\\\\qb\"]", "unknown_escape"),
        ("[\"a\\u12 b\"]", "[\"a\\\\u12 b\"]", "unknown_escape"),
        ("['a\\'b']", "[\"a'b\"]", "foreign_quotes unknown_escape"),
        ("[1, ...]", "[1]", "ellipsis trailing_comma"),
        ("[1, …, 2]", "[1,2]", "ellipsis extra_comma"),
        ("[\"\\ud83d!\"]", "[\"\u{FFFD}!\"]", "lone_surrogate"),
        (
            "[\"\\ude00\\ud83d\\ud83d\\ude00\"]",
            "[\"\u{FFFD}\u{FFFD}😀\"]",
            "lone_surrogate lone_surrogate",
        ),
        ("\u{FEFF}{\"a\":1}", "{\"a\":1}", "byte_order_mark"),
        ("{\"a\":1} bye bye", "{\"a\":1}", "trailing_text"),
    ];
    for (text, value, repairs) in cases {
        for lenient in [Lenient::On, Lenient::Auto] {
            let (end, shown, made) = mended(text, lenient);
            assert_eq!(end, End::Complete, "{text} {lenient:?}");
            assert_eq!(shown.as_deref(), Some(value), "{text} {lenient:?}");
            assert_eq!(made.join(" "), repairs, "{text} {lenient:?}");
        }
        assert_ne!(mended(text, Lenient::Off).0, End::Complete, "{text}");
    }
    for text in [
        "[1}",
        "{\"a\":}",
        "[maybe]",
        "{\"a\":1]",
        "[-]",
        "[1e]",
        "[/]",
        "[..]",
    ] {
        assert!(matches!(mended(text, Lenient::On).0, End::Invalid(_)), "{text}");
    }
}
