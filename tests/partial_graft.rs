//! An answer that is some places of a value that stands: what is told at every moment is the value with what has come.
#![allow(clippy::unwrap_used, reason = "a property stops where it fails")]

use livedraft::event::{AttemptBegins, Epoch, Fold, PatchWriter, Position};
use livedraft::job::{JobId, Reason};
use livedraft::partial::{
    Draft, DraftOptions, End, Folded, Graft, Mode, Op, RootKinds, Spot, Value, parse, path,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn read(text: &str) -> Value {
    parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn graft(base: &str, places: &[&str]) -> Option<Graft> {
    let places: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
    Graft::new(read(base), &places)
}

/// A viewer of a job whose draft is grafted, from the beginning of that attempt.
struct Viewer {
    fold: Fold,
    writer: PatchWriter,
    seq: u64,
}

impl Viewer {
    fn new(held: &Value, graft: &Graft) -> Self {
        let mut fold = Fold::submitted(Position {
            epoch: Epoch::new(1),
            seq: 1,
        });
        fold.value = Some(held.clone());
        fold.begin(&AttemptBegins {
            attempt: 2,
            reason: Reason::Invalid,
            reset: false,
            at: graft.reopened(),
            errors: Vec::new(),
        });
        let job: JobId = "0193a3c4-5d6e-7f80-9123-456789abcdef".parse().unwrap();
        Self {
            fold,
            writer: PatchWriter::new(job.tag(), None),
            seq: 1,
        }
    }

    fn flush(&mut self, draft: &mut Draft) {
        self.seq += 1;
        if let Some(frame) = self.writer.flush(draft, self.seq) {
            self.fold
                .patch(frame)
                .unwrap_or_else(|fault| panic!("{frame}: {fault}"));
        }
    }

    fn value(&self) -> String {
        self.fold.value.as_ref().unwrap().to_json()
    }
}

#[test]
fn what_has_closed_of_an_answer_stands() {
    for (text, has_closed) in [
        ("", false),
        (r#"{"rest_1":{"t":"ha"#, false),
        (r#"{"rest_1":{"t":"half","#, true),
        (r#"{"rest_1":{"l":["a"#, false),
        (r#"{"rest_1":{"l":["a","b"#, true),
        (r#"{"rest_1":{"l":[{"x":{"y":"a"#, false),
        (r#"{"rest_1":{"l":[{"x":{"y":"a","z":"b"#, true),
        // What is to replace something is taken as a whole.
        (r#"{"fix_2":{"a":1,"b":"c"#, false),
        (r#"{"fix_2":1,"rest_1":{"t":"ha"#, true),
        (r#"{"other":1,"fix_9":1,"rest_1":{"t":"ha"#, false),
    ] {
        let spots = [Spot::Rest(String::new()), Spot::Fix("/f".to_owned())];
        let graft = Graft::of(read(r#"{"s":1,"f":2}"#), &spots).unwrap();
        let mut draft = Draft::onto(DraftOptions::default(), graft);
        draft.feed(text.as_bytes());
        draft.flush(&mut Vec::new());
        assert_eq!(draft.has_closed(), has_closed, "{text}");
    }
}

#[test]
fn what_is_put_right_first_is_nothing_that_an_answer_says() {
    let graft = Graft::of(read(r#"{"s":1}"#), &[Spot::Rest(String::new())]).unwrap();
    let mut draft = Draft::onto(DraftOptions::default(), graft.behind(vec!["/t".to_owned()]));
    let mut ops: Vec<Op> = Vec::new();
    assert!(draft.flush(&mut ops), "what was begun is taken away");
    assert!(!draft.is_told());
    draft.feed(br#"{"rest_1":{"t":"a"#);
    assert!(draft.flush(&mut ops) && draft.is_told());
    assert_eq!(
        (ops.len(), &ops[0]),
        (
            2,
            &Op::Remove {
                path: "/t".to_owned()
            }
        )
    );
}

/// What the base is with what an answer has for the places, by means of its own.
fn spliced(base: &Value, places: &[String], answer: Option<&Value>) -> String {
    let mut folded = Folded {
        value: Some(base.clone()),
        cursor: None,
    };
    if let Some(Value::Object(members)) = answer {
        for (name, value) in members.iter() {
            let known = (0..places.len()).find(|index| Graft::member(*index) == name);
            if let Some(index) = known {
                let path = places[index].clone();
                let value = value.clone();
                folded.apply(Op::Set { path, value }).unwrap();
            }
        }
    }
    folded.value.unwrap().to_json()
}

const BASE: &str = r#"{"a":{"b":[1,"two",{"c":null}],"d/e":"x"},"f":"old","g":[[],{}]}"#;
const PLACES: [&str; 8] = [
    "/a/b/1",
    "/a/b/2/c",
    "/a/b/2/new",
    "/a/d~1e",
    "/f",
    "/g/0",
    "/h",
    "/g/1/~0",
];

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i32>().prop_map(Json::from),
        "[a-zé\"\\\\ ]{0,12}".prop_map(Json::String),
    ]
}

fn anything() -> impl Strategy<Value = Json> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::Array),
            vec(("[a-c]{1,2}", inner), 0..4).prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// The text of an answer: its members in any order, some missing, some twice, some that nobody asked for.
fn answer() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "fix_1", "fix_2", "fix_3", "fix_4", "fix_5", "fix_01", "fix_0", "fix_99", "f", "",
    ]);
    vec((name, anything()), 0..7).prop_map(|members| {
        let members: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\": {value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn options(mode: Mode) -> DraftOptions {
    DraftOptions {
        mode,
        root: RootKinds {
            array: false,
            string: false,
            number: false,
            boolean: false,
            null: false,
            object: true,
        },
        ..DraftOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is flushed when, the fold is the base with what the text says so far, and tells what is open.
    #[test]
    fn the_fold_is_the_spliced_value_at_every_cut(
        chosen in prop::sample::subsequence(PLACES.to_vec(), 1..5),
        text in answer(),
        tails in vec(1..9_usize, 1..20),
        prose in any::<bool>(),
    ) {
        let places: Vec<String> = chosen.iter().map(|place| (*place).to_owned()).collect();
        let base = read(BASE);
        let graft = Graft::new(base.clone(), &places).unwrap();
        let mut viewer = Viewer::new(&base, &graft);
        let mode = if prose { Mode::MdJson } else { Mode::JsonSchema };
        let text = if prose {
            // What looks like the value and is none is taken back.
            format!("{{\"fix_1\": \"no\" it is\n\n```json\n{text}\n```\n")
        } else {
            text
        };
        let mut draft = Draft::onto(options(mode), graft);
        let mut rest = text.as_bytes();
        for piece in tails.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*piece));
            draft.feed(now);
            viewer.flush(&mut draft);
            let expected = spliced(&base, &places, draft.text_value().as_ref());
            prop_assert_eq!(viewer.value(), expected.clone());
            prop_assert_eq!(draft.value().unwrap().to_json(), expected);
            prop_assert_eq!(&viewer.fold.at, &draft.open_paths());
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let outcome = draft.finish();
        viewer.flush(&mut draft);
        prop_assert_eq!(viewer.value(), draft.value().unwrap().to_json());
        prop_assert_eq!(&viewer.fold.at, &draft.open_paths());
        if outcome.end == End::Complete {
            prop_assert!(viewer.fold.at.is_empty());
            prop_assert_eq!(draft.into_value().unwrap().to_json(), viewer.value());
        }
    }

    /// A worker that takes over finds what the one before it has told, and begins again at the base.
    #[test]
    fn one_who_takes_over_puts_back_what_was_told(
        chosen in prop::sample::subsequence(PLACES.to_vec(), 1..5),
        lost in answer(),
        cut in any::<prop::sample::Index>(),
        text in answer(),
    ) {
        let places: Vec<String> = chosen.iter().map(|place| (*place).to_owned()).collect();
        let base = read(BASE);
        let mut draft = Draft::onto(options(Mode::Json), Graft::new(base.clone(), &places).unwrap());
        draft.feed(&lost.as_bytes()[..cut.index(lost.len())]);
        let held = draft.value().unwrap();
        let graft = Graft::new(base.clone(), &places).unwrap().held_as(held.clone()).unwrap();
        let mut viewer = Viewer::new(&held, &graft);
        let mut draft = Draft::onto(options(Mode::Json), graft);
        for byte in text.as_bytes() {
            draft.feed(&[*byte]);
            viewer.flush(&mut draft);
            prop_assert_eq!(viewer.value(), spliced(&base, &places, draft.text_value().as_ref()));
        }
    }
}

#[test]
fn only_what_can_be_set_is_a_place() {
    for place in PLACES {
        assert!(graft(BASE, &[place]).is_some(), "{place}");
    }
    for places in [
        &[""][..],
        &["/g/2"],
        &["/a/b/-"],
        &["/f/x"],
        &["/x/y"],
        &["f"],
        &["/a~2"],
        &["/a", "/a/b"],
        &["/a/b/1", "/a"],
        &["/f", "/f"],
    ] {
        assert!(graft(BASE, places).is_none(), "{places:?}");
    }
    assert!(graft("[1]", &["/0"]).is_some());
    assert!(graft(r#"{"ab":1}"#, &["/a", "/ab"]).is_some());
}

#[test]
fn a_value_that_differs_elsewhere_is_not_gone_on_from() {
    let places = ["/f"];
    for (held, fits) in [
        (r#"{"f":1,"g":2}"#, true),
        (r#"{"f":"half a te","g":2}"#, true),
        (r#"{"f":1,"g":3}"#, false),
        (r#"{"g":2,"f":1}"#, false),
        (r#"{"g":2}"#, false),
        ("{}", false),
        ("null", false),
    ] {
        let graft = graft(r#"{"f":1,"g":2}"#, &places).unwrap();
        assert_eq!(graft.held_as(read(held)).is_some(), fits, "{held}");
    }
}

#[test]
fn what_is_open_is_what_is_to_come() {
    let graft = graft(r#"{"u":{"n":"A"},"v":1}"#, &["/v", "/u/n", "/u/mail"]).unwrap();
    assert_eq!(graft.reopened(), ["/v", "/u/n", "/u"]);
    let mut draft = Draft::onto(options(Mode::Json), graft);
    let mut ops: Vec<Op> = Vec::new();
    let mut after = |text: &str| {
        draft.feed(text.as_bytes());
        draft.flush(&mut ops);
        (draft.value().unwrap().to_json(), draft.open_paths())
    };
    let open = |places: &[&str]| places.iter().map(|place| (*place).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        after(r#"{"fix_2":"Ad"#),
        (
            r#"{"u":{"n":"Ad"},"v":1}"#.to_owned(),
            open(&["/u/n", "/v", "/u"])
        )
    );
    assert_eq!(
        after(r#"a","fix_3":{"#),
        (
            r#"{"u":{"n":"Ada","mail":{}},"v":1}"#.to_owned(),
            open(&["/u/mail", "/v"])
        )
    );
    assert_eq!(
        after(r#"},"fix_1":2"#),
        (r#"{"u":{"n":"Ada","mail":{}},"v":1}"#.to_owned(), open(&["/v"]))
    );
    assert_eq!(after("}").1, open(&[]));
    assert!(ops.iter().all(|op| op.cursor() != Some("")), "{ops:?}");
}

/// In prose, what looked like the answer may turn out to be none.
#[test]
fn what_is_taken_back_leaves_the_base() {
    let base = read(BASE);
    let graft = Graft::new(base.clone(), &["/h".to_owned(), "/f".to_owned()]).unwrap();
    let mut viewer = Viewer::new(&base, &graft);
    let mut draft = Draft::onto(options(Mode::MdJson), graft);
    let mut after = |text: &str| {
        draft.feed(text.as_bytes());
        viewer.flush(&mut draft);
        assert_eq!(viewer.fold.at, draft.open_paths());
        viewer.value()
    };
    assert_eq!(after("Take {"), BASE);
    assert_eq!(after("these} now:\n```json\n{"), BASE);
    assert_eq!(after("\"fix_2\": \"yes\"}\n```"), BASE.replace("old", "yes"));
}

/// Errors and repairs are told by their place in the value.
#[test]
fn places_of_the_text_lead_into_the_value() {
    let graft = graft(BASE, &["/a/b/2/new", "/f"]).unwrap();
    let draft = Draft::onto(options(Mode::Json), graft);
    for (of_text, of_value) in [
        ("/fix_1", "/a/b/2/new"),
        ("/fix_1/x/0", "/a/b/2/new/x/0"),
        ("/fix_2", "/f"),
        ("/fix_3", ""),
        ("/other/fix_1", ""),
        ("", ""),
    ] {
        assert_eq!(draft.place(of_text), of_value, "{of_text}");
    }
    assert_eq!(Draft::new(options(Mode::Json)).place("/fix_1"), "/fix_1");
    assert_eq!(path::segments(&Graft::member(11)), None, "a name, not a pointer");
}

#[test]
fn an_answer_without_any_place_is_bare() {
    let bare = |text: &str| {
        let mut draft = Draft::onto(options(Mode::Json), graft(BASE, &["/f"]).unwrap());
        draft.feed(text.as_bytes());
        draft.finish();
        draft.flush(&mut Vec::<Op>::new());
        draft.is_bare()
    };
    for text in ["", "{}", r#"{"f":"new"}"#, "[1]", r#"{"fix_2":1}"#] {
        assert!(bare(text), "{text}");
    }
    assert!(!bare(r#"{"fix_1":null}"#));
    assert_eq!(json!(Graft::member(0)), "fix_1");
}
