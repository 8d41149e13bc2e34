//! The layers, one over the other: what each says is put where its key belongs, and every fault is kept.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde_json::Value as Json;

use super::fault::{Fault, Origin, Source};
use super::field::Given;
use super::key::{ANY, Found, Key, find};
use super::keys::{KEYS, SECTIONS};
use super::named::{NAMED, kind};
use super::{Config, file, rules, secret, variables};

/// The file that is read where none is named and this one is there.
pub const FILE: &str = "livedraft.toml";
/// The variable that names the file.
pub const FILE_VARIABLE: &str = "LIVEDRAFT_CONFIG";
/// Faults that are told.
const FAULTS_MAX: usize = 256;

/// What a configuration is read from. Not to be shown: the environment holds secrets, ours and others'.
#[derive(Clone, Default)]
pub struct Layers {
    /// The file to read, as a flag names it.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What flags say: the flag, the key, the value. A later one wins.
    pub flags: Vec<(String, String, String)>,
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// A configuration as far as it could be read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds; where there was a fault, the layer below or the default.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// All that is wrong.
    pub faults: Vec<Fault>,
    origins: BTreeMap<String, Origin>,
}

/// A key as it holds.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name, with the provider's in the place of `*`.
    pub key: String,
    /// What it holds; `null` if nothing, and of a secret only that there is one.
    pub value: Json,
    /// Who says so.
    pub origin: Origin,
    /// Whether it is a secret.
    pub is_secret: bool,
}

impl Setting {
    /// Whether somebody set it.
    pub fn is_set(&self) -> bool {
        self.origin.source != Source::Default
    }
}

/// One thing that a source says.
pub(super) struct Saying {
    pub(super) path: Vec<String>,
    pub(super) given: Given,
    pub(super) source: Source,
}

/// Reads all layers. Nothing is lost on the way: what could not be read is among the faults.
pub fn load(layers: &Layers) -> Loaded {
    let mut loaded = Loaded {
        config: Config::default(),
        file: named_file(layers),
        faults: Vec::new(),
        origins: BTreeMap::new(),
    };
    let mut said = Vec::new();
    if let Some(path) = &loaded.file {
        said.extend(file::read(path, &mut loaded.faults));
    }
    said.extend(variables::read(&layers.environment, &mut loaded.faults));
    said.extend(layers.flags.iter().map(|(flag, key, value)| Saying {
        path: segments(key),
        given: Given::Word(value.clone()),
        source: Source::Flag(flag.clone()),
    }));
    for saying in said {
        if loaded.faults.len() >= FAULTS_MAX {
            let message =
                format!("these are {FAULTS_MAX} faults: what is said from here on was not looked at");
            loaded.faults.push(Fault::new(saying.source, "", message));
            break;
        }
        loaded.take(saying);
    }
    let broken = rules::broken(&loaded);
    loaded.faults.extend(broken);
    loaded
}

/// The flag's file, the variable's, or the one that is there.
fn named_file(layers: &Layers) -> Option<PathBuf> {
    let variable = layers.environment.iter().find(|(name, _)| name == FILE_VARIABLE);
    let variable = variable.filter(|(_, path)| !path.is_empty());
    let there = || Some(PathBuf::from(FILE)).filter(|path| path.exists());
    layers
        .file
        .clone()
        .or_else(|| variable.map(|(_, path)| path.into()))
        .or_else(there)
}

impl Layers {
    /// The environment of this process, and no flag.
    pub fn of_process() -> Self {
        Self {
            environment: std::env::vars_os().collect(),
            ..Self::default()
        }
    }
}

impl Loaded {
    /// Every key as it holds, section by section; those of named parts once for each.
    pub fn settings(&self) -> Vec<Setting> {
        let mut config = self.config.clone();
        let mut settings = Vec::new();
        for (section, _) in SECTIONS {
            let names = kind(section).map_or_else(|| vec![ANY.to_owned()], |kind| (kind.names)(&config));
            for name in names {
                let keys = KEYS.iter().filter(|key| key.split().0 == *section);
                settings.extend(keys.map(|key| {
                    let full = key.of(&name);
                    Setting {
                        value: key.tell(&mut config, &name),
                        origin: self.origin(&full),
                        is_secret: key.is_secret(),
                        key: full,
                    }
                }));
            }
        }
        settings
    }

    /// Who says what a key holds.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins
            .get(key)
            .cloned()
            .unwrap_or_else(|| Source::Default.into())
    }

    /// Who first named a part, or else a key of it.
    pub(super) fn namer(&self, part: &str) -> Source {
        let below = format!("{part}.");
        let mut named = self
            .origins
            .iter()
            .filter(|(key, _)| *key == part || key.starts_with(&below));
        named
            .next()
            .map_or(Source::Default, |(_, origin)| origin.source.clone())
    }

    fn take(&mut self, mut saying: Saying) {
        self.use_known_name(&mut saying);
        let told = saying.path.join(".");
        if self.is_below_fault(&told, &saying.source) {
            return;
        }
        let is_table = matches!(saying.given, Given::Section);
        let source = saying.source;
        let taken = match find(&saying.path) {
            Found::Key { key, name, in_file } => self.put(key, &name, in_file, saying.given, &source),
            Found::Section(None) if is_table => Ok(()),
            Found::Section(Some((kind, name))) if is_table => {
                self.origins
                    .entry(told.clone())
                    .or_insert_with(|| source.clone().into());
                kind.admit(&mut self.config, &name)
            }
            Found::Section(_) => {
                Err("is a section: its keys follow it behind a dot, or below it in brackets".to_owned())
            }
            Found::BadName(fault) => Err(fault),
            Found::Unknown(nearest) => Err(unknown(&source, nearest)),
        };
        if let Err(fault) = taken {
            self.faults.push(Fault::new(source, &told, fault));
        }
    }

    /// A variable cannot tell capitals, nor `-` from `_`: it means the part that is there.
    fn use_known_name(&self, saying: &mut Saying) {
        let (Source::Variable(_), [head, name, _, ..]) = (&saying.source, saying.path.as_mut_slice()) else {
            return;
        };
        let Some(kind) = NAMED.iter().find(|kind| kind.head() == head) else {
            return;
        };
        let alike = |known: &String| known.to_ascii_lowercase().replace(['-', '.'], "_") == *name;
        if let Some(known) = (kind.names)(&self.config).into_iter().find(alike) {
            *name = known;
        }
    }

    /// Whether the table it stands in was told to be none: then nothing in it is said.
    fn is_below_fault(&self, told: &str, source: &Source) -> bool {
        let in_file = |source: &Source| matches!(source, Source::File(..));
        let faults = self
            .faults
            .iter()
            .filter(|fault| in_file(&fault.by) && !fault.key.is_empty());
        let below = |key: &str| told.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        in_file(source) && faults.map(|fault| fault.key.as_str()).any(below)
    }

    fn put(
        &mut self,
        key: &Key,
        name: &str,
        in_file: bool,
        given: Given,
        source: &Source,
    ) -> Result<(), String> {
        let full = key.of(name);
        let (given, origin) = secret::value(key, &full, in_file, given, source)?;
        let before = self.origins.get(&full);
        // Who could say which of the two is meant?
        if key.is_secret() && before.is_some_and(|before| secret::is_twice(before, &origin)) {
            return Err(format!("is given twice, as `{}` and by its file", key.split().1));
        }
        self.fill(key, name, &given)?;
        self.origins.insert(full, origin);
        Ok(())
    }

    /// Every place of the key takes the value, or none does.
    fn fill(&mut self, key: &Key, name: &str, given: &Given) -> Result<(), String> {
        let mut filled = self.config.clone();
        if let Some(kind) = kind(key.split().0) {
            kind.admit(&mut filled, name)?;
        }
        for place in key.places {
            place(&mut filled, name).put(given, key.bounds)?;
        }
        self.config = filled;
        Ok(())
    }
}

fn unknown(source: &Source, nearest: Option<String>) -> String {
    let nearest = nearest.map(|name| match source {
        Source::Variable(_) => variables::variable_of(&name),
        Source::Default | Source::File(..) | Source::WholeFile(_) | Source::Flag(_) => name,
    });
    match nearest {
        Some(name) => format!("is no key; did you mean `{name}`?"),
        None => "is no key; `livedraft config init -` lists them all".to_owned(),
    }
}

/// The segments of a key as a flag names it. A name with dots is quoted, as in the file:
/// `providers.openai.prices."gpt-4.1".output`.
fn segments(key: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut is_quoted = false;
    for letter in key.chars() {
        match (letter, segments.last_mut()) {
            ('"', _) => is_quoted = !is_quoted,
            ('.', _) if !is_quoted => segments.push(String::new()),
            (_, Some(last)) => last.push(letter),
            (_, None) => {}
        }
    }
    segments
}
