//! Wall clocks that are off, for processes of the fleet.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use self::library::ClockFile;
use crate::Outcome;
use crate::folder::Folder;

#[path = "../../../tests/redis_server/clock.rs"]
mod library;

/// What is put in front of a process whose clock is off; compiled once for all fleets.
#[derive(Debug)]
pub(crate) struct Clocks {
    folder: Folder,
    made: AtomicU64,
}

/// A process' clock.
#[derive(Debug)]
pub(crate) struct Skew {
    library: PathBuf,
    file: ClockFile,
}

impl Clocks {
    /// Compiles it.
    pub(crate) async fn compile() -> Outcome<Self> {
        tokio::task::spawn_blocking(|| {
            let clocks = Self {
                folder: Folder::new()?,
                made: AtomicU64::new(0),
            };
            library::compile(&clocks.library())?;
            Ok(clocks)
        })
        .await?
    }

    /// One that is so many seconds off.
    pub(crate) fn off_by(&self, seconds: i64) -> Outcome<Skew> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let file = ClockFile::new(self.folder.path().join(format!("clock-{number}")))?;
        file.set(seconds)?;
        let library = self.library();
        Ok(Skew { library, file })
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }
}

impl Skew {
    /// The variables of its process.
    pub(crate) fn variables(&self) -> [(String, String); 2] {
        self.file.variables(&self.library)
    }

    /// Whether the process has asked it what time it is.
    pub(crate) fn took_hold(&self) -> Outcome<bool> {
        Ok(self.file.looks()? > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Clocks;
    use crate::clock;

    #[tokio::test]
    async fn a_process_goes_by_the_clock_in_front_of_it_and_that_is_known() {
        let clocks = Clocks::compile().await.unwrap();
        let skew = clocks.off_by(-3_600).unwrap();
        assert!(!skew.took_hold().unwrap());
        let told = Command::new("date").arg("+%s").envs(skew.variables()).output();
        let told = String::from_utf8(told.unwrap().stdout).unwrap();
        let off = clock::unix_seconds() - told.trim().parse::<u64>().unwrap();
        assert!((3_600..3_700).contains(&off), "{off}");
        assert!(skew.took_hold().unwrap());
    }
}
