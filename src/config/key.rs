//! A key of the configuration: its name, and what there is to say of it.

use std::fmt;

use serde_json::Value as Json;

use super::Config;
use super::field::{Bounds, Field};
use super::keys::KEYS;
use super::named::{Named, kind};
use crate::nearest::nearest;

/// In a key's name: any name, as of a provider.
pub(super) const ANY: &str = "*";
/// Bytes of such a name.
const NAME_MAX: usize = 64;
/// What stands behind a secret's key where a file holds it.
const FILE_SUFFIX: &str = "_file";

/// Where a value is in the options; of the name in the place of [`ANY`], if there is one.
pub(super) type Place = for<'a> fn(&'a mut Config, &str) -> &'a mut dyn Field;

/// A key of the configuration.
pub struct Key {
    /// Section and key, as in `server.bind`. A `*` stands for any name: `providers.*.base_url`.
    pub name: &'static str,
    /// What its number counts; empty where it is none.
    pub unit: &'static str,
    /// What it means.
    pub meaning: &'static str,
    pub(super) bounds: Bounds,
    /// Where it goes; parts that must agree have one key.
    pub(super) places: &'static [Place],
}

/// What a dotted name is.
pub(super) enum Found {
    Key {
        key: &'static Key,
        /// In the place of `*`.
        name: String,
        /// It names the file that holds the secret.
        in_file: bool,
    },
    /// A section; of a name, if it has one.
    Section(Option<(&'static Named, String)>),
    Unknown(Option<String>),
    /// What is wrong with the name in the place of `*`.
    BadName(String),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// The key's default, `null` where it has none; of a named part, that of the one with this name.
    pub fn default_of(&self, name: &str) -> Json {
        self.tell(&mut Config::default(), name)
    }

    /// What it takes, in words, with its bounds.
    pub fn takes(&self) -> String {
        let mut config = Config::default();
        self.places[0](&mut config, ANY).takes(self.bounds)
    }

    /// Whether it is a secret, which may be held in a file.
    pub fn is_secret(&self) -> bool {
        self.bounds == Bounds::Secret
    }

    /// The section it is in, and its last part.
    pub fn split(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }

    pub(super) fn tell(&self, config: &mut Config, name: &str) -> Json {
        self.places[0](config, name).tell()
    }

    /// The key's own name, with a name in the place of `*`.
    pub(super) fn of(&self, name: &str) -> String {
        filled(self.name, name)
    }
}

/// A name that stands in the place of `*`, or of two: the first has no `/`.
pub(super) fn names_in(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or((name, name))
}

/// A section or key with a name in the place of `*`.
pub(super) fn filled(pattern: &str, name: &str) -> String {
    if pattern.matches(ANY).count() < 2 {
        return pattern.replacen(ANY, name, 1);
    }
    let (first, second) = names_in(name);
    pattern.replacen(ANY, first, 1).replacen(ANY, second, 1)
}

/// Finds what a dotted name is.
pub(super) fn find(path: &[String]) -> Found {
    for key in KEYS {
        let (last, section) = (
            path.last().map_or("", String::as_str),
            &path[..path.len().saturating_sub(1)],
        );
        let in_file = key.is_secret() && last.strip_suffix(FILE_SUFFIX) == Some(key.split().1);
        let parts = || key.name.split('.');
        let same = |path: &[String]| {
            path.iter()
                .map(String::as_str)
                .zip(parts())
                .all(|(said, known)| known == ANY || said == known)
        };
        let count = parts().count();
        if same(section) && path.len() == count && (in_file || same(path)) {
            return named(key, path, |name| Found::Key { key, name, in_file });
        }
        if path.len() < count && same(path) {
            let kind = kind(key.split().0).filter(|_| path.len() > at_name(key));
            return named(key, path, |name| Found::Section(kind.map(|kind| (kind, name))));
        }
    }
    Found::Unknown(suggestion(path))
}

/// Which part of the key's name is the last `*`; one that none of them reaches where there is none.
fn at_name(key: &Key) -> usize {
    let parts: Vec<&str> = key.name.split('.').collect();
    parts.iter().rposition(|part| *part == ANY).unwrap_or(usize::MAX)
}

fn named(key: &Key, path: &[String], found: impl FnOnce(String) -> Found) -> Found {
    let name = path.get(at_name(key)).cloned().unwrap_or_default();
    let kind = kind(key.split().0);
    let also = kind.map_or("_", |kind| kind.also);
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || also.contains(letter);
    let reserved = kind.and_then(|kind| kind.reserved);
    if reserved.is_some_and(|reserved| reserved == name) {
        return Found::BadName(format!("`{name}` is a name of our own; take another"));
    }
    if name.len() > NAME_MAX || !name.chars().all(fits) || (name.is_empty() && path.len() > at_name(key)) {
        let also: Vec<String> = also.chars().map(|letter| format!("`{letter}`")).collect();
        return Found::BadName(format!(
            "a name has 1 to {NAME_MAX} letters, digits, `-` and {}",
            also.join(", ")
        ));
    }
    // The part that another is in has its own rule, and its own name.
    let outer = key.name.split('.').position(|part| part == ANY);
    match outer.filter(|at| *at < at_name(key)).and_then(|at| path.get(at)) {
        Some(outer) if name.is_empty() => found(outer.clone()),
        Some(outer) => found(format!("{outer}/{name}")),
        None => found(name),
    }
}

/// The same key in another section, else the name that looks most alike.
fn suggestion(path: &[String]) -> Option<String> {
    let last = path.last()?;
    let name = path.get(1).map_or("", String::as_str);
    let of = |key: &Key| {
        if path.len() == 3 {
            key.of(name)
        } else {
            key.name.to_owned()
        }
    };
    let mut elsewhere = KEYS.iter().filter(|key| path.len() > 1 && key.split().1 == last);
    if let (Some(key), None) = (elsewhere.next(), elsewhere.next()) {
        return Some(of(key));
    }
    let sections = KEYS.iter().map(|key| key.split().0.to_owned());
    let files = KEYS.iter().filter(|key| key.is_secret());
    let files = files.map(|key| format!("{}{FILE_SUFFIX}", of(key)));
    let known: Vec<String> = KEYS.iter().map(of).chain(files).chain(sections).collect();
    nearest(&path.join("."), &known).map(str::to_owned)
}
