//! The environment: `LIVEDRAFT_SECTION__KEY`, and the names that others know.

use std::ffi::{OsStr, OsString};

use super::fault::{Fault, Source};
use super::field::Given;
use super::layers::{FILE_VARIABLE, Saying};

const PREFIX: &str = "LIVEDRAFT_";
/// What joins section and key.
const JOINT: &str = "__";

/// Names beside the systematic ones, and the keys they stand for; a later one wins, and the systematic ones over all.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("OPENAI_BASE_URL", "providers.openai.base_url"),
    ("LIVEDRAFT_OPENAI_KEY_FILE", "providers.openai.key_file"),
    ("OPENAI_API_KEY", "providers.openai.key"),
    ("LIVEDRAFT_LOG", "log.level"),
];

/// Variables of ours that are no keys: the server that clients speak to, what they show it, and the file itself.
const NO_KEYS: &[&str] = &[
    "LIVEDRAFT_URL",
    "LIVEDRAFT_KEY",
    "LIVEDRAFT_KEY_FILE",
    FILE_VARIABLE,
];

/// What the environment says. An empty variable says nothing.
pub(super) fn read(environment: &[(OsString, OsString)], faults: &mut Vec<Fault>) -> Vec<Saying> {
    let mut said = Vec::new();
    for (name, key) in OTHER_NAMES {
        if let Some((_, value)) = environment.iter().find(|(known, _)| known == name) {
            say(
                &mut said,
                faults,
                name,
                key.split('.').map(str::to_owned).collect(),
                value,
            );
        }
    }
    let mut ours: Vec<_> = environment
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX) && !NO_KEYS.contains(name))
        .filter(|(name, _)| OTHER_NAMES.iter().all(|(other, _)| other != name))
        .filter(|(name, value)| !is_service_link(name, value))
        .collect();
    // The order of an environment means nothing.
    ours.sort_unstable();
    for (name, value) in ours {
        let path = name[PREFIX.len()..].to_ascii_lowercase();
        let path = path.split(JOINT).map(str::to_owned).collect();
        say(&mut said, faults, name, path, value);
    }
    said
}

fn say(said: &mut Vec<Saying>, faults: &mut Vec<Fault>, name: &str, path: Vec<String>, value: &OsStr) {
    let source = Source::Variable(name.to_owned());
    match value.to_str() {
        Some("") => {}
        Some(word) => said.push(Saying {
            path,
            given: Given::Word(word.to_owned()),
            source,
        }),
        None => faults.push(Fault::new(source, &path.join("."), "is not UTF-8")),
    }
}

/// The variable of a key, for one who misspelt it.
pub(super) fn variable_of(key: &str) -> String {
    let name = key.replace('.', JOINT).replace('-', "_");
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

/// Kubernetes gives each pod the addresses of services, under names made of theirs: those of a service `livedraft`
/// would be taken for settings (`LIVEDRAFT_SERVICE_HOST`, `LIVEDRAFT_PORT`, `LIVEDRAFT_PORT_8080_TCP_ADDR`).
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_digit = |first: char| first.is_ascii_digit();
    let numbered = name
        .split("_PORT_")
        .nth(1)
        .is_some_and(|rest| rest.starts_with(is_digit));
    let is_url = value.to_str().is_some_and(|value| value.contains("://"));
    !name.contains(JOINT)
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || numbered
            || (name.ends_with("_PORT") && is_url))
}
