//! The data folder: one process at a time, and a reserve for a disk that is full.

use std::fs::{self, DirBuilder, File, OpenOptions};
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
        make(path).map_err(unusable)?;
        let lock = private().create(true).truncate(false).open(path.join(LOCK));
        let lock = locked(path, lock.map_err(unusable)?)?;
        Ok(Self {
            path: path.to_owned(),
            reserve_bytes,
            reserve: Mutex::new(Reserve::Missing(clock::now())),
            _lock: lock,
        })
    }

    /// The path of a file of the folder, which is made, empty and its owner's alone, where it is not there.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf, StoreError> {
        let file = self.path.join(name);
        let made = private().create(true).truncate(false).open(&file);
        made.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => StoreError::Full,
            _ => StoreError::Unusable {
                place: file.display().to_string(),
                what: error.to_string(),
            },
        })?;
        Ok(file)
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

/// The lock of a folder that has one, taken until it is dropped; nothing is made.
pub(super) fn lock_if_there(folder: &Path) -> Result<Option<File>, StoreError> {
    match private().open(folder.join(LOCK)) {
        Ok(lock) => locked(folder, lock).map(Some),
        Err(_) => Ok(None),
    }
}

fn locked(folder: &Path, lock: File) -> Result<File, StoreError> {
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse {
            folder: folder.to_owned(),
        }),
        Err(fs::TryLockError::Error(error)) => Err(StoreError::Unusable {
            place: folder.display().to_string(),
            what: error.to_string(),
        }),
    }
}

/// Makes the folder where it is not there, for its owner alone: prompts and answers lie in it.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// To write a file that, where it is made, is its owner's alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Real bytes, not a hole: a hole takes no room.
fn write_reserve(file: &Path, bytes: u64) -> io::Result<()> {
    let mut out = private().create(true).truncate(true).open(file)?;
    let chunk = [0xA5; CHUNK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(CHUNK_BYTES as u64) as usize;
        out.write_all(&chunk[..part])?;
        left -= part as u64;
    }
    out.sync_all()
}
