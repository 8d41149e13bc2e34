//! What can go wrong with the data folder, in words that say the way out.

use std::path::{Path, PathBuf};

/// Why something could not be stored or read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or the file cannot be used.
    #[error(
        "{place} cannot be used as data folder: {what}; choose another by --data, or --ephemeral to store nothing"
    )]
    Unusable {
        /// Which.
        place: String,
        /// What the system said.
        what: String,
    },
    /// Another process has it.
    #[error("the data folder {} is in use by another process: end that one, or choose another folder by --data", folder.display())]
    InUse {
        /// Which.
        folder: PathBuf,
    },
    /// The file is not what it was.
    #[error("the database {} is damaged ({what}): put a copy back in its place, or move it away to begin anew", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// It was written by a newer version.
    #[error("the database {} was written by a newer version (step {step} is not known here): use that version, or another folder by --data", file.display())]
    Newer {
        /// Which.
        file: PathBuf,
        /// The migration that is not known.
        step: i64,
    },
    /// The disk is full.
    #[error("the disk of the data folder is full")]
    Full,
    /// Another program holds the database.
    #[error("another program holds the database of the data folder")]
    Busy,
    /// A statement failed in another way.
    #[error("the database cannot be used now: {0}")]
    Failed(String),
}

/// SQLite's own numbers (<https://www.sqlite.org/rescode.html>), without the extended part.
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_NOTADB: u32 = 26;

impl StoreError {
    pub(super) fn open(place: &Path, error: &sqlx::Error) -> Self {
        match number(error) {
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Damaged {
                file: place.to_owned(),
                what: error.to_string(),
            },
            Some(SQLITE_FULL) => Self::Full,
            _ => Self::Unusable {
                place: place.display().to_string(),
                what: error.to_string(),
            },
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match number(&error) {
            Some(SQLITE_FULL) => Self::Full,
            Some(SQLITE_BUSY | SQLITE_LOCKED) => Self::Busy,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// SQLite's number of an error.
fn number(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    Some(code.parse::<u32>().ok()? & 0xFF)
}
