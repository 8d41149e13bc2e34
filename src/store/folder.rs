//! The data folder: one process at a time, and a reserve for a disk that is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::StoreError;
use crate::clock;

const LOCK: &str = "lock";
const RESERVE: &str = "reserve";
const CHUNK_BYTES: usize = 64 * 1024;
/// How long after a vain try to take the reserve again the next may come: a try writes until the disk is full.
const AGAIN: Duration = Duration::from_secs(1);

/// The folder, taken for this process until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    reserve_bytes: u64,
    reserve: Mutex<Reserve>,
    /// The system lets go of the lock when the process ends, in any way.
    _lock: File,
}

#[derive(Clone, Copy, Debug)]
enum Reserve {
    Held,
    /// Given up, or no room for it; it is tried again from then on.
    Missing(Instant),
}

impl Folder {
    /// Makes the folder if need be and takes it.
    pub(super) fn take(path: &Path, reserve_bytes: u64) -> Result<Self, StoreError> {
        let unusable = |error: io::Error| StoreError::Unusable {
            place: path.display().to_string(),
            what: error.to_string(),
        };
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => StoreError::InUse {
                folder: path.to_owned(),
            },
            fs::TryLockError::Error(error) => unusable(error),
        })?;
        Ok(Self {
            path: path.to_owned(),
            reserve_bytes,
            reserve: Mutex::new(Reserve::Missing(clock::now())),
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn free_reserve(&self) -> bool {
        *self.reserve.lock().unwrap_or_else(PoisonError::into_inner) = Reserve::Missing(clock::now() + AGAIN);
        fs::remove_file(self.path.join(RESERVE)).is_ok()
    }

    /// Whether it is there, without a look at the disk.
    pub(super) fn holds_reserve(&self) -> bool {
        let reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve_bytes == 0 || matches!(*reserve, Reserve::Held)
    }

    /// Takes it again where it is missing and there is room.
    pub(super) fn has_reserve(&self) -> bool {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        match *reserve {
            Reserve::Held => true,
            Reserve::Missing(again) if clock::now() < again => false,
            Reserve::Missing(_) => {
                let taken = self.take_reserve();
                *reserve = match taken {
                    true => Reserve::Held,
                    false => Reserve::Missing(clock::now() + AGAIN),
                };
                taken
            }
        }
    }

    fn take_reserve(&self) -> bool {
        let file = self.path.join(RESERVE);
        let whole = |file: fs::Metadata| file.len() >= self.reserve_bytes;
        if fs::metadata(&file).is_ok_and(whole) {
            return true;
        }
        let written = write_reserve(&file, self.reserve_bytes);
        if let Err(error) = &written {
            tracing::debug!(%error, "no room for the reserve of the data folder");
            // Half a reserve would only take room from the jobs.
            let _ = fs::remove_file(&file);
        }
        written.is_ok()
    }
}

/// Real bytes, not a hole: a hole takes no room.
fn write_reserve(file: &Path, bytes: u64) -> io::Result<()> {
    let mut out = File::create(file)?;
    let chunk = [0xA5; CHUNK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(CHUNK_BYTES as u64) as usize;
        out.write_all(&chunk[..part])?;
        left -= part as u64;
    }
    out.sync_all()
}
