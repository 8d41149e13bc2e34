//! A wall clock that is off, for a process under test: a small library that is put in front of it. `loadtest` has this file
//! too.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SOURCE: &[u8] = include_bytes!("clock.c");

/// Compiles the library to there.
pub(crate) fn compile(to: &Path) -> io::Result<()> {
    let mut compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-x", "c", "-o"])
        .arg(to)
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::other(format!("a C compiler (scripts/test installs it): {error}")))?;
    // Its end of the pipe is closed behind the last byte.
    compiler
        .stdin
        .take()
        .map_or(Ok(()), |mut source| source.write_all(SOURCE))?;
    match compiler.wait()?.success() {
        true => Ok(()),
        false => Err(io::Error::other(
            "the library for clocks that are off cannot be compiled",
        )),
    }
}

/// How far one process' clock, or that of several, is off: a file.
#[derive(Debug)]
pub(crate) struct ClockFile(PathBuf);

impl ClockFile {
    /// One that says none.
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        fs::write(&path, [0; 16])?;
        Ok(Self(path))
    }

    /// The variables of a process whose clock goes by it.
    pub(crate) fn variables(&self, library: &Path) -> [(String, String); 2] {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [
            ("LD_PRELOAD".to_owned(), text(library)),
            ("CLOCK_FILE".to_owned(), text(&self.0)),
        ]
    }

    /// So many seconds from now on.
    pub(crate) fn set(&self, seconds: i64) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.0)?;
        file.write_all(&seconds.to_ne_bytes())
    }

    /// How often the clock was looked at.
    pub(crate) fn looks(&self) -> io::Result<u64> {
        let held = fs::read(&self.0)?;
        let looks = held.get(8..16).and_then(|looks| looks.try_into().ok());
        Ok(looks.map_or(0, u64::from_ne_bytes))
    }
}
