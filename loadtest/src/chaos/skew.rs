//! A wall clock that is off, for one process: a small library that is put in front of it.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::folder::Folder;

const SOURCE: &str = include_str!("clock.c");

/// The library, compiled once a fleet.
#[derive(Debug)]
pub(crate) struct Skew {
    folder: Folder,
}

impl Skew {
    /// Compiles it.
    pub(crate) fn new() -> Outcome<Self> {
        let folder = Folder::new()?;
        let source = folder.path().join("clock.c");
        std::fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([folder.path().join("clock.so"), source])
            .status()
            .map_err(|error| format!("a C compiler (scripts/test installs it): {error}"))?;
        if !compiled.success() {
            return Err("the library for clocks that are off cannot be compiled".into());
        }
        Ok(Self { folder })
    }

    /// The variables of a process whose clock is off by so many seconds.
    pub(crate) fn variables(&self, seconds: i64) -> Vec<(String, String)> {
        let library: PathBuf = self.folder.path().join("clock.so");
        vec![
            ("LD_PRELOAD".to_owned(), library.to_string_lossy().into_owned()),
            ("CLOCK_OFF".to_owned(), seconds.to_string()),
        ]
    }
}
