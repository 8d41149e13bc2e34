//! `docs/providers.md`, held to the code.

use livedraft::llm::{Kind, LlmErrorKind, MODE_ROWS, RemoteOptions};
use livedraft::schema::dialect::{Dialect, MODES};

const PAGE: &str = include_str!("../../docs/providers.md");

/// The cells of the rows of the table behind this heading.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let (_, behind) = PAGE.split_once(heading).expect(heading);
    // A table may be named by its own head, too.
    let rows_before = if heading.starts_with('|') { 1 } else { 2 };
    let lines = behind.lines().skip(1).skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|')).skip(rows_before);
    table
        .map(|row| {
            let cells = row.trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

#[test]
fn every_kind_has_its_row() {
    let told: Vec<[String; 2]> = rows("## Kinds")
        .iter()
        .map(|row| [row[0].clone(), row[2].clone()])
        .collect();
    let kinds = Kind::ALL.map(|kind| {
        let options = RemoteOptions {
            kind,
            ..RemoteOptions::new("a", "")
        };
        let own = match options.base_url() {
            "" => "–".to_owned(),
            url => format!("`{url}`"),
        };
        [format!("`{}`", kind.word()), own]
    });
    assert_eq!(told, kinds);
}

#[test]
fn every_fault_has_its_row() {
    let told: Vec<String> = rows("## Faults").iter().map(|row| row[1].clone()).collect();
    for kind in LlmErrorKind::ALL {
        let code = format!("`{}`", kind.code());
        assert!(told.contains(&code), "no row for {code}");
    }
}

#[test]
fn every_mode_has_its_row() {
    let told = rows("| mode | `openai`");
    let modes = MODES.iter().filter(|mode| mode.dialect != Dialect::ParallelTools);
    let now: Vec<Vec<String>> = modes
        .clone()
        .map(|mode| {
            let of = |kind| {
                let row = MODE_ROWS
                    .iter()
                    .find(|row| row.kind == kind && row.dialect == mode.dialect);
                row.map(|row| row.carries)
                    .filter(|carries| !carries.is_empty())
                    .unwrap_or("–")
            };
            let mut cells = vec![format!("`{}`", mode.word)];
            cells.extend(Kind::ALL.map(|kind| of(kind).to_owned()));
            cells
        })
        .collect();
    assert_eq!(told, now);
    let first: Vec<[String; 2]> = rows("## Modes")
        .iter()
        .map(|row| [row[0].clone(), row[4].clone()])
        .collect();
    let next = modes.map(|mode| {
        let next = mode
            .next
            .map_or("–".to_owned(), |next| format!("`{}`", next.mode().word));
        [format!("`{}`", mode.word), next]
    });
    assert_eq!(first, next.collect::<Vec<_>>());
}
