//! `docs/providers.md`, held to the code.

use livedraft::llm::{Kind, LlmErrorKind, RemoteOptions};

const PAGE: &str = include_str!("../../docs/providers.md");

/// The cells of the rows of the table behind this heading.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let (_, behind) = PAGE.split_once(heading).expect(heading);
    let lines = behind.lines().skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|')).skip(2);
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
