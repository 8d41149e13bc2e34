//! The rules of the draft as files: `golden/partial/<rule>/*.json`, replayed at every byte cut and at random ones.
//!
//! Each replay is folded after every cut and in slower rhythms, and each rule has a group of its own.
//!
//! A file is an array of cases. A case is a text in steps, each `[chunk, value?, at?]`: what is shown behind that
//! chunk (nothing if left out), and the pointer of the deepest open value. A chunk is a string or `{"hex": "…"}`.
#![allow(
    clippy::unwrap_used,
    reason = "a test may stop where its own material is wrong"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use livedraft::event::Places;
use livedraft::partial::{
    Draft, DraftOptions, End, Folded, Guide, Lenient, Limits, Map, Mode, NodeId, NoteKind, OpEncoder, Open,
    RootKinds, Value, parse, parse_ops, whole_paths,
};

/// Knows which pointers are atomic, and which objects wait for which members; `*` stands for any segment. A node is
/// the place of its pointer in the list.
struct Pointers {
    atomic: Vec<String>,
    awaited: Vec<(String, Arc<[Box<str>]>)>,
    known: Mutex<Vec<String>>,
}

impl Pointers {
    fn node(&self, parent: NodeId, segment: &str) -> NodeId {
        let mut known = self.known.lock().unwrap();
        let pointer = format!("{}/{segment}", known[parent.0 as usize]);
        known.push(pointer);
        NodeId(u32::try_from(known.len() - 1).unwrap())
    }
}

impl Guide for Pointers {
    fn root(&self) -> NodeId {
        NodeId(0)
    }
    fn member(&self, node: NodeId, key: &str) -> NodeId {
        self.node(node, key)
    }
    fn item(&self, node: NodeId, index: usize) -> NodeId {
        self.node(node, &index.to_string())
    }
    fn is_atomic(&self, node: NodeId) -> bool {
        let pointer = self.known.lock().unwrap()[node.0 as usize].clone();
        self.atomic.iter().any(|pattern| fits(pattern, &pointer))
    }
    fn awaited(&self, node: NodeId) -> Option<Arc<[Box<str>]>> {
        let pointer = self.known.lock().unwrap()[node.0 as usize].clone();
        let waits = self.awaited.iter().find(|(pattern, _)| fits(pattern, &pointer));
        waits.map(|(_, names)| Arc::clone(names))
    }
}

fn fits(pattern: &str, pointer: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), pointer.split('/'));
    wanted
        .by_ref()
        .zip(given.by_ref())
        .all(|(want, give)| want == "*" || want == give)
        && pattern.split('/').count() == pointer.split('/').count()
}

struct Step {
    end: usize,
    value: Option<Value>,
    at: Option<String>,
}

struct Case {
    name: String,
    body: Map,
    options: DraftOptions,
    text: Vec<u8>,
    steps: Vec<Step>,
}

fn string(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        other => panic!("{other} is no string"),
    }
}

fn array(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        other => panic!("{other} is no array"),
    }
}

fn object(value: &Value) -> &Map {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

fn number(value: &Value) -> usize {
    value.to_json().parse().expect("a count")
}

fn strings(body: &Map, key: &str) -> Option<Vec<String>> {
    let list = body.get(key).map(array)?;
    Some(list.iter().map(|item| string(item).to_owned()).collect())
}

fn bytes(chunk: &Value) -> Vec<u8> {
    let Value::Object(members) = chunk else {
        return string(chunk).as_bytes().to_vec();
    };
    let hex = string(members.get("hex").expect("hex"));
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn options(body: &Map) -> DraftOptions {
    let word = |key: &str| body.get(key).map(string);
    let limits = body.get("limits").map(object);
    let limit = |key: &str, usual: usize| limits.and_then(|limits| limits.get(key)).map_or(usual, number);
    let usual = Limits::default();
    let root = strings(body, "roots").map_or_else(RootKinds::default, |roots| {
        let has = |kind: &str| roots.iter().any(|root| root == kind);
        RootKinds {
            object: has("object"),
            array: has("array"),
            string: has("string"),
            number: has("number"),
            boolean: has("boolean"),
            null: has("null"),
        }
    });
    let awaited = body.get("awaited").map(object).map(|awaited| {
        let waits = awaited.iter().map(|(pattern, names)| {
            let names = array(names).iter().map(|name| string(name).into());
            (pattern.to_owned(), names.collect())
        });
        waits.collect()
    });
    let guided = body.contains_key("atomic") || awaited.is_some();
    let guide = guided.then(|| {
        Arc::new(Pointers {
            atomic: strings(body, "atomic").unwrap_or_default(),
            awaited: awaited.unwrap_or_default(),
            known: Mutex::new(vec![String::new()]),
        }) as Arc<dyn Guide>
    });
    DraftOptions {
        mode: match word("mode") {
            None | Some("json") => Mode::Json,
            Some("tools") => Mode::Tools,
            Some("json_schema") => Mode::JsonSchema,
            Some("md_json") => Mode::MdJson,
            Some(other) => panic!("mode {other}"),
        },
        lenient: match word("lenient") {
            None | Some("off") => Lenient::Off,
            Some("on") => Lenient::On,
            Some("auto") => Lenient::Auto,
            Some(other) => panic!("lenient {other}"),
        },
        limits: Limits {
            depth_max: limit("depth_max", usual.depth_max),
            bytes_max: limit("bytes_max", usual.bytes_max),
            key_bytes_max: limit("key_bytes_max", usual.key_bytes_max),
            number_digits_max: limit("number_digits_max", usual.number_digits_max),
            blanks_max: limit("blanks_max", usual.blanks_max),
        },
        tool: None,
        root,
        guide,
    }
}

fn case(file: &Path, value: &Value) -> Case {
    let body = object(value).clone();
    let mut text = Vec::new();
    let mut steps = Vec::new();
    for step in array(body.get("steps").expect("steps")) {
        let parts = array(step);
        text.extend(bytes(&parts[0]));
        steps.push(Step {
            end: text.len(),
            value: parts.get(1).cloned(),
            at: parts.get(2).map(|at| string(at).to_owned()),
        });
    }
    let name = format!("{}: {}", file.display(), string(body.get("name").expect("name")));
    Case {
        name,
        options: options(&body),
        body,
        text,
        steps,
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn cases() -> Vec<Case> {
    let mut found = Vec::new();
    files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/partial"),
        &mut found,
    );
    found.sort();
    let read =
        |path: &PathBuf| parse(&fs::read_to_string(path).expect("readable")).expect("golden files are JSON");
    found
        .iter()
        .flat_map(|path| {
            array(&read(path))
                .iter()
                .map(|one| case(path, one))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A viewer, and what writes to it.
#[derive(Default)]
struct Told {
    encoder: OpEncoder,
    open: Vec<String>,
    folded: Folded,
}

impl Told {
    /// What the draft says has become of its open places leads to them.
    fn check_moved(&mut self, draft: &mut Draft, open: &[String], case: &Case) {
        let what = &case.name;
        let cursor = self.folded.cursor.as_deref();
        match draft.track_open() {
            Open::Same => assert_eq!(self.open, open, "{what}"),
            Open::Up(up) => {
                let place = whole_paths(cursor, vec![up.to_string()]).expect("it fits the cursor");
                assert_eq!(place, open, "{what}: {up} above {cursor:?}");
            }
            Open::Other => {}
        }
        assert_eq!(draft.track_open(), Open::Same, "{what}");
        self.open = open.to_vec();
    }
}

impl Case {
    /// Feeds the text cut at `cuts`, folds the ops behind every `rhythm`th, checks each step that a cut meets, and
    /// the end.
    fn replay(&self, cuts: impl Iterator<Item = usize>, rhythm: usize) -> usize {
        let mut draft = Draft::new(self.options.clone());
        let mut folded = Told::default();
        let mut notes = Vec::new();
        let (mut at, mut met) = (0, 0);
        for (turn, cut) in (1..).zip(cuts) {
            let end = cut.min(self.text.len());
            draft.feed(&self.text[at..end]);
            at = end;
            if usize::is_multiple_of(turn, rhythm) {
                self.fold(&mut draft, &mut folded);
            }
            if let Some(step) = self.steps.iter().find(|step| step.end == end) {
                let what = format!("{} behind byte {end}", self.name);
                assert_eq!(draft.value(), step.value, "{what}");
                if let Some(open) = &step.at {
                    assert_eq!(&draft.open_paths(), std::slice::from_ref(open), "{what}");
                }
                met += 1;
            }
            notes.extend(draft.take_notes());
        }
        assert_eq!(at, self.text.len(), "{}: the cuts end early", self.name);
        self.check_end(&mut draft, &mut folded);
        notes.extend(draft.take_notes());
        if let Some(wanted) = self.body.get("notes") {
            let mut joined: Vec<(NoteKind, String)> = Vec::new();
            for note in notes {
                match joined.last_mut() {
                    Some((kind, text)) if *kind == note.kind => text.push_str(&note.text),
                    _ => joined.push((note.kind, note.text)),
                }
            }
            let given: Vec<String> = joined
                .iter()
                .map(|(kind, text)| format!("{kind:?}: {text}"))
                .collect();
            let wanted: Vec<&str> = array(wanted).iter().map(string).collect();
            assert_eq!(given, wanted, "{}", self.name);
        }
        met
    }

    /// Tells a viewer what has changed, as it goes over the wire.
    fn fold(&self, draft: &mut Draft, told: &mut Told) {
        draft.flush(&mut told.encoder);
        let ops = told.encoder.ops().to_owned();
        for op in parse_ops(&format!("[{ops}]")).expect("what the encoder writes can be read") {
            told.folded.apply(op).expect("fits");
        }
        assert_eq!(told.folded.value, draft.value(), "{}: folded ops", self.name);
        let open = draft.open_paths();
        told.check_moved(draft, &open, self);
        told.encoder.push_places(&open);
        let written = told
            .encoder
            .ops()
            .strip_prefix(&*ops)
            .expect("they come behind the ops");
        let Places(written) = serde_json::from_str(written).expect("places");
        let read = whole_paths(told.folded.cursor.as_deref(), written).expect("they fit the cursor");
        assert_eq!(read, open, "{}: open places", self.name);
        told.encoder.clear();
    }

    fn check_end(&self, draft: &mut Draft, folded: &mut Told) {
        let outcome = draft.finish();
        self.fold(draft, folded);
        let last = self.steps.last().and_then(|step| step.value.as_ref());
        assert_eq!(
            draft.value().as_ref(),
            self.body.get("final").or(last),
            "{} at the end",
            self.name
        );
        let wanted = self.body.get("end").map_or("complete", string);
        let (given, error) = match &outcome.end {
            End::Complete => ("complete", None),
            End::Truncated => ("truncated", None),
            End::Invalid(error) => ("invalid", Some(error)),
        };
        assert_eq!(given, wanted, "{}: {:?}", self.name, outcome.end);
        if let Some(error) = error {
            let body = object(self.body.get("error").expect("an invalid case says its error"));
            let told = (error.offset, error.kind.code(), error.path.as_str());
            let wanted = (
                number(body.get("offset").unwrap()),
                string(body.get("code").unwrap()),
                string(body.get("path").unwrap()),
            );
            assert_eq!(told, wanted, "{}", self.name);
        }
        let wanted = strings(&self.body, "repairs").unwrap_or_default();
        let repairs = draft.repairs().iter().zip(&wanted).map(|(repair, wanted)| {
            // Where a case says the place, it is held to that, too.
            let code = repair.kind.code();
            if wanted.contains('@') {
                format!("{code}@{}", repair.offset)
            } else {
                code.to_owned()
            }
        });
        assert_eq!(repairs.collect::<Vec<_>>(), wanted, "{}", self.name);
        assert_eq!(outcome.repairs, wanted.len(), "{}", self.name);
        let duplicates = self.body.get("duplicate_keys").map_or(0, number);
        assert_eq!(outcome.duplicate_keys, duplicates, "{}", self.name);
    }
}

/// Flushes: behind every piece, behind every so many, and at the end alone.
const RHYTHMS: [usize; 5] = [1, 2, 3, 7, usize::MAX];

/// The rules of the draft that have a group of cases. Rule C2 is the schema's.
const GROUPS: [&str; 17] = [
    "V1", "V2", "V3", "V4", "V5", "V6", "C1", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "modes",
    "guide",
];

#[test]
fn every_rule_has_its_group() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/partial");
    let groups = fs::read_dir(&home)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name());
    let mut found: Vec<String> = groups
        .map(|name| name.into_string().expect("a plain name"))
        .collect();
    let mut wanted = GROUPS.map(str::to_owned);
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

#[test]
fn golden_cases_hold_at_every_cut() {
    let cases = cases();
    assert!(cases.len() > 100, "only {} cases were found", cases.len());
    for case in &cases {
        let marks: Vec<usize> = case.steps.iter().map(|step| step.end).collect();
        for rhythm in RHYTHMS {
            assert_eq!(case.replay(marks.iter().copied(), rhythm), case.steps.len());
            assert!(case.replay(1..=case.text.len(), rhythm) > 0 || case.text.is_empty());
        }
        for first in 0..=case.text.len() {
            case.replay([first, case.text.len()].into_iter(), 1);
        }
        // Cuts from a fixed sequence: the same in every run.
        let mut seed = 0x2545_F491_4F6C_DD1Du64;
        for round in 0..20 {
            let mut cuts = vec![0];
            while cuts.last() != Some(&case.text.len()) {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                cuts.push((cuts[cuts.len() - 1] + (seed % 7) as usize).min(case.text.len()));
            }
            case.replay(cuts.into_iter(), RHYTHMS[round % RHYTHMS.len()]);
        }
    }
}

#[test]
fn strict_cases_agree_with_a_one_shot_parser() {
    for case in cases() {
        let strict = case.options.lenient == Lenient::Off && case.options.mode != Mode::MdJson;
        if !strict || case.body.contains_key("limits") {
            continue;
        }
        let ours = case.body.get("end").map_or("complete", string) == "complete";
        let theirs = serde_json::from_slice::<serde_json::Value>(&case.text);
        let out_of_range = theirs
            .as_ref()
            .is_err_and(|error| error.to_string().contains("out of range"));
        assert!(
            out_of_range || ours == theirs.is_ok(),
            "{}: {theirs:?}",
            case.name
        );
    }
}
