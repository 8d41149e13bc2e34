//! The data folder, looked at and not touched: nothing is made, written or brought forward.

use std::io;
use std::path::Path;

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use super::error::StoreError;
use super::{FILE, Store, StoreOptions, check, folder, migrate, pool};

/// What was found where a data folder is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Nothing yet; it can be made.
    Absent,
    /// A folder that can be written, with a sound database or none yet.
    Sound {
        /// Records that no version before could read.
        aside: u64,
    },
}

impl Store {
    /// Looks at a data folder as [`open`](Self::open) would, without changing it.
    ///
    /// # Errors
    /// What `open` would refuse.
    pub async fn look(options: &StoreOptions) -> Result<Look, StoreError> {
        let path = Path::new(&options.folder);
        let unusable = |error: io::Error| StoreError::Unusable {
            place: path.display().to_string(),
            what: error.to_string(),
        };
        if !path.try_exists().map_err(unusable)? {
            let there = path.ancestors().skip(1).find(|parent| parent.exists());
            // A relative path begins where the process stands.
            may_write(there.unwrap_or_else(|| Path::new("."))).map_err(unusable)?;
            return Ok(Look::Absent);
        }
        may_write(path).map_err(unusable)?;
        let _lock = folder::lock_if_there(path)?;
        let file = path.join(FILE);
        if !file.exists() {
            return Ok(Look::Sound { aside: 0 });
        }
        may_write(&file).map_err(unusable)?;
        let database = read_only(options, &file).await?;
        let looked = looked(&database, &file).await;
        database.close().await;
        looked
    }
}

async fn looked(database: &SqlitePool, file: &Path) -> Result<Look, StoreError> {
    check(database, file).await?;
    migrate::look(database, file).await?;
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = 'archive_aside'")
        .fetch_one(database)
        .await?;
    let aside: i64 = match tables {
        0 => 0,
        _ => {
            sqlx::query_scalar("SELECT COUNT(*) FROM archive_aside")
                .fetch_one(database)
                .await?
        }
    };
    Ok(Look::Sound {
        aside: aside.unsigned_abs(),
    })
}

/// A file that was closed in order has no log beside it, and is read as it is; else its log is read with it.
async fn read_only(options: &StoreOptions, file: &Path) -> Result<SqlitePool, StoreError> {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let connect = SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .immutable(!Path::new(&log).exists());
    let pool = pool(1, options).connect_with(connect).await;
    pool.map_err(|error| StoreError::open(file, &error))
}

#[cfg(unix)]
fn may_write(path: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    // An empty path is where the process stands.
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    access(path, Access::WRITE_OK).map_err(Into::into)
}

#[cfg(not(unix))]
fn may_write(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path)?.permissions().readonly() {
        true => Err(io::ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    }
}
