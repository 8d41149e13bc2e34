//! The data folder: one process at a time, and a reserve for a disk that is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::error::StoreError;

const LOCK: &str = "lock";
const RESERVE: &str = "reserve";
const CHUNK_BYTES: usize = 64 * 1024;

/// The folder, taken for this process until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    reserve_bytes: u64,
    /// The system lets go of the lock when the process ends, in any way.
    _lock: File,
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
        let folder = Self {
            path: path.to_owned(),
            reserve_bytes,
            _lock: lock,
        };
        folder.restore_reserve();
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn free_reserve(&self) -> bool {
        fs::remove_file(self.path.join(RESERVE)).is_ok()
    }

    pub(super) fn restore_reserve(&self) {
        let file = self.path.join(RESERVE);
        if self.reserve_bytes == 0 || file.exists() {
            return;
        }
        if let Err(error) = write_reserve(&file, self.reserve_bytes) {
            tracing::warn!(%error, "there is no room for the reserve of the data folder");
            // Half a reserve would only take room from the jobs.
            let _ = fs::remove_file(&file);
        }
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
