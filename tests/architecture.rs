//! The house rules that the compiler does not check: which module may import which, which crate lives where, how
//! long a file may be. Standard library only, so it runs before anything else compiles.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module → modules it may import. A module without a row fails. Layer 2 and up may use `clock` too.
const ARROWS: &[(&str, &[&str])] = &[
    // 0: pure
    ("hex", &[]),
    ("job", &[]),
    ("nearest", &[]),
    ("partial", &[]),
    ("recent", &[]),
    ("schema", &["partial"]),
    ("event", &["job", "partial"]),
    // 1: pure
    ("access", &["hex", "recent"]),
    ("wire", &["job", "event", "nearest", "partial"]),
    ("session", &["access", "wire", "event", "job"]),
    // 2: rim
    ("clock", &[]),
    ("metrics", &["event", "job"]),
    ("compiler", &["recent", "schema", "clock", "metrics"]),
    ("store", &["clock"]),
    (
        "backend",
        &[
            "job", "event", "hex", "partial", "recent", "store", "clock", "metrics",
        ],
    ),
    ("archive", &["job", "event", "partial", "store", "clock"]),
    (
        "hub",
        &[
            "wire", "event", "hex", "job", "partial", "backend", "clock", "metrics",
        ],
    ),
    (
        "llm",
        &[
            "job", "nearest", "partial", "recent", "schema", "clock", "metrics",
        ],
    ),
    // 3: flow
    (
        "submit",
        &["job", "schema", "event", "compiler", "backend", "clock"],
    ),
    (
        "worker",
        &[
            "job", "event", "hex", "partial", "schema", "wire", "llm", "compiler", "backend", "clock",
            "metrics",
        ],
    ),
    ("outbox", &["job", "event", "archive", "store", "clock"]),
    // 4: shell
    ("client", &["access", "wire", "event", "job", "partial", "clock"]),
    (
        "server",
        &[
            "session", "access", "wire", "event", "submit", "hub", "backend", "archive", "job", "clock",
            "metrics",
        ],
    ),
    // 5: root
    ("config", ANY),
    ("app", ANY),
    ("cli", ANY),
    ("main", ANY),
    ("lib", ANY),
];

const ANY: &[&str] = &["*"];

/// Outside crate → the only places that may name it.
const FENCES: &[(&str, &[&str])] = &[
    ("actix_web", &["server"]),
    ("actix_http", &["server"]),
    ("actix_ws", &["server"]),
    ("socket2", &["server"]),
    ("reqwest", &["llm"]),
    ("rustls", &["llm"]),
    ("jsonschema", &["schema"]),
    ("minijinja", &["job"]),
    ("tokio_tungstenite", &["client"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("toml", &["config"]),
    ("prost", &["wire"]),
    ("subtle", &["access"]),
    ("getrandom", &["clock"]),
    ("prometheus_client", &["metrics"]),
    ("sqlx", &["store"]),
    ("redis", &["backend"]),
    ("deadpool_redis", &["backend"]),
];

/// Modules of layers 0 and 1: no runtime, no clock, no logging.
const PURE: &[&str] = &[
    "hex", "job", "nearest", "partial", "recent", "schema", "access", "event", "wire", "session",
];
const IMPURE_CRATES: &[&str] = &["tokio", "tracing"];

const LINES_MAX: usize = 600;
const NAMES_REFUSED: &[&str] = &["util", "utils", "common", "helpers", "manager", "types", "misc"];

struct Source {
    path: PathBuf,
    module: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(
        found.len() > 20,
        "the walk over src found only {} files",
        found.len()
    );
    found
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let first = path
                .strip_prefix(root)
                .expect("below src")
                .iter()
                .next()
                .expect("a file");
            let module = first.to_str().expect("UTF-8").trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("readable");
            found.push(Source {
                module,
                code: without_comments(&text),
                path,
            });
        }
    }
}

fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Code without its in-file tests.
fn product(code: &str) -> &str {
    code.split("#[cfg(test)]").next().unwrap_or(code)
}

/// Names right behind `prefix::`.
fn names_after<'a>(code: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(prefix)
        .filter(|(at, _)| !code[..*at].ends_with(is_name))
        .map(|(at, _)| {
            let rest = &code[at + prefix.len()..];
            &rest[..rest.find(|letter| !is_name(letter)).unwrap_or(rest.len())]
        })
        .collect()
}

fn allowed(module: &str) -> &'static [&'static str] {
    let row = ARROWS.iter().find(|(name, _)| *name == module);
    row.unwrap_or_else(|| panic!("src/{module} has no row in the table of arrows"))
        .1
}

fn violations_of(module: &str, code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let may = allowed(module);
    let free = may.contains(&"*");
    if code.contains("crate::{") {
        faults.push("a grouped import `crate::{`: write one `use` a module".to_owned());
    }
    if code.contains("super::super::super") {
        faults.push("a path through three `super`".to_owned());
    }
    for name in names_after(code, "crate::") {
        if !free && name != module && !may.contains(&name) {
            faults.push(format!("{module} may not import {name}"));
        }
    }
    for (outside, homes) in FENCES {
        let named = code.contains(&format!("{outside}::"));
        if named && !homes.contains(&module) {
            faults.push(format!("{outside} may be named only in {homes:?}"));
        }
    }
    for outside in IMPURE_CRATES {
        if PURE.contains(&module) && code.contains(&format!("{outside}::")) {
            faults.push(format!("{module} is pure and may not use {outside}"));
        }
    }
    faults
}

#[test]
fn imports_follow_the_table() {
    let mut faults = Vec::new();
    for source in sources() {
        for fault in violations_of(&source.module, &source.code) {
            faults.push(format!("{}: {fault}", source.path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Outside crates that the draft engine needs: it can be used alone.
const PARTIAL_CRATES: &[&str] = &["indexmap", "itoa", "serde", "thiserror"];

/// What keeps code of the draft engine from standing alone.
fn ties_of_partial(code: &str) -> Vec<String> {
    let mut ties = Vec::new();
    if code.contains("crate::") || code.contains("super::super::") {
        ties.push("a path out of the module".to_owned());
    }
    let used = code.lines().filter_map(|line| {
        let path = line
            .trim_start()
            .trim_start_matches("pub ")
            .strip_prefix("use ")?;
        path.split("::").next()
    });
    let own = ["std", "super", "self"];
    // Re-exports in `mod.rs` name modules beside it.
    let beside = |name: &str| code.contains(&format!("mod {name};"));
    for name in used.filter(|name| !own.contains(name) && !PARTIAL_CRATES.contains(name) && !beside(name)) {
        ties.push(format!("the crate {name}"));
    }
    ties
}

#[test]
fn the_draft_engine_stands_alone() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.module == "partial") {
        for tie in ties_of_partial(&source.code) {
            faults.push(format!("{}: {tie}", source.path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(ties_of_partial("use serde_json::Value;").len(), 1);
    assert_eq!(ties_of_partial("use super::super::job::Job;").len(), 1);
    assert_eq!(
        ties_of_partial("mod op;\npub use op::Op;\nuse std::fmt;").len(),
        0
    );
}

#[test]
fn the_table_has_no_cycle_and_keeps_the_arcs_apart() {
    fn reach(from: &str, seen: &mut BTreeSet<&'static str>) {
        for to in allowed(from).iter().filter(|to| **to != "*") {
            if seen.insert(to) {
                reach(to, seen);
            }
        }
    }
    for (module, _) in ARROWS {
        let mut seen = BTreeSet::new();
        reach(module, &mut seen);
        assert!(!seen.contains(module), "{module} reaches itself");
        assert!(!(*module == "worker" && (seen.contains("hub") || seen.contains("session"))));
        assert!(!(*module == "server" && (seen.contains("worker") || seen.contains("llm"))));
    }
}

#[test]
fn files_stay_small_and_well_named() {
    let mut faults = Vec::new();
    for source in sources() {
        let lines = product(&source.code).lines().count();
        if lines > LINES_MAX {
            faults.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}",
                source.path.display()
            ));
        }
        let stem = source
            .path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("UTF-8");
        if NAMES_REFUSED.contains(&stem) {
            faults.push(format!("{}: a name that says nothing", source.path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn planted_violations_are_found() {
    assert_eq!(violations_of("job", "use crate::partial::Value;").len(), 1);
    assert_eq!(violations_of("job", "use crate::{clock, job};").len(), 2);
    assert_eq!(
        violations_of("worker", "let page = actix_web::web::Data::new(1);").len(),
        1
    );
    assert_eq!(violations_of("session", "tokio::spawn(async {});").len(), 1);
    assert_eq!(
        violations_of("schema", "use crate::partial::Value; jsonschema::options();").len(),
        0
    );
}
