//! Where a value comes from, and what is wrong with one.

use std::fmt;
use std::path::PathBuf;

/// Who says something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Nobody: the default stands.
    Default,
    /// A line of the file, from 1.
    File(PathBuf, usize),
    /// The file as a whole.
    WholeFile(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command.
    Flag(String),
}

/// Where a value was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Who says it.
    pub source: Source,
    /// The file that holds a secret, where the source names one.
    pub held_in: Option<PathBuf>,
}

/// Something wrong with the configuration. It never shows a secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{by}: {}{message}", named(key))]
pub struct Fault {
    /// Who says it.
    pub by: Source,
    /// Which key it is about; empty where it is about none.
    pub key: String,
    /// What is wrong, what is allowed, and the nearest name.
    pub message: String,
}

fn named(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!("{key}: ")
    }
}

impl Fault {
    pub(super) fn new(source: Source, key: &str, message: impl Into<String>) -> Self {
        Self {
            by: source,
            key: key.to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::WholeFile(path) => write!(f, "{}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.held_in {
            None => self.source.fmt(f),
            Some(file) => write!(f, "{}, held in {}", self.source, file.display()),
        }
    }
}

impl From<Source> for Origin {
    fn from(source: Source) -> Self {
        Self {
            source,
            held_in: None,
        }
    }
}
