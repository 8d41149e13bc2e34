//! The data folder: one SQLite database, one writer, `migrations/`. The only place for SQL.
//!
//! Tables `engine_…` belong to the embedded engine ([`engine`]), the others to the archive ([`archive`]); neither
//! reads the other's. What comes in and goes out are plain rows: texts, numbers, milliseconds since 1970.
//!
//! The database is in WAL mode. With `synchronous=NORMAL` a commit survives the end of the process in any way, with
//! `FULL` also that of the machine (<https://www.sqlite.org/pragma.html#pragma_synchronous>).

pub mod archive;
pub mod column;
pub mod engine;
mod error;
mod folder;
mod look;
mod migrate;
mod rows;

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, SqlitePool};

pub use self::error::StoreError;
use self::folder::Folder;
pub use self::look::Look;

/// The database's file in the data folder.
const FILE: &str = "livedraft.db";
const BEGIN: &str = "BEGIN IMMEDIATE";
/// Bytes of one of its pages.
const PAGE_BYTES: u64 = 4_096;

/// Where the data is kept, and how safely.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreOptions {
    /// The data folder; it is made where it is not there. Default: `livedraft-data`.
    pub folder: String,
    /// Whether nothing is stored: everything is in memory and ends with the process. Default: false.
    pub ephemeral: bool,
    /// Whether a commit waits for the disk, so that it survives the loss of power. Default: false.
    pub sync_full: bool,
    /// Bytes of a file that is given up when the disk is full, so that jobs can still end. Default: 4 MiB.
    pub reserve_bytes: u64,
    /// Bytes that the database may take; 0 for as many as there are. Default: 0.
    pub bytes_max: u64,
    /// How long a statement waits for a lock of another program, ms. Default: 5,000.
    pub busy_timeout_ms: u64,
    /// Connections that read beside the writer. Default: 2.
    pub readers: u32,
    /// How long a statement waits for a connection, ms. Default: 30,000.
    pub acquire_timeout_ms: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            folder: "livedraft-data".to_owned(),
            ephemeral: false,
            sync_full: false,
            reserve_bytes: 4 * 1024 * 1024,
            bytes_max: 0,
            busy_timeout_ms: 5_000,
            readers: 2,
            acquire_timeout_ms: 30_000,
        }
    }
}

impl StoreOptions {
    /// Options of a store that is in memory alone.
    pub fn ephemeral() -> Self {
        Self {
            ephemeral: true,
            ..Self::default()
        }
    }
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    /// One connection: writes come one behind the other.
    writer: SqlitePool,
    readers: SqlitePool,
    /// One connection for what the server reads of its own accord: no client's question is before it in line.
    inner: SqlitePool,
    folder: Option<Arc<Folder>>,
    /// The database's file, for words.
    place: PathBuf,
}

impl Store {
    /// Opens the database, makes it if it is not there, and brings its tables forward.
    ///
    /// # Errors
    /// A folder that cannot be written or that another process uses, a file that is damaged or of a newer version.
    pub async fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let folder = match options.ephemeral {
            true => None,
            false => Some(Folder::take(Path::new(&options.folder), options.reserve_bytes)?),
        };
        let store = match (Self::open_in(options, folder.as_ref()).await, &folder) {
            // The reserve of the process before may be all the room that there is.
            (Err(StoreError::Full), Some(taken)) if taken.free_reserve() => {
                Self::open_in(options, folder.as_ref()).await?
            }
            (opened, _) => opened?,
        };
        let store = Self {
            folder: folder.map(Arc::new),
            ..store
        };
        if !store.has_reserve().await {
            tracing::warn!("there is no room for the reserve of the data folder: no jobs are taken");
        }
        Ok(store)
    }

    async fn open_in(options: &StoreOptions, folder: Option<&Folder>) -> Result<Self, StoreError> {
        let file = folder.map(|folder| folder.file(FILE)).transpose()?;
        let place = file.as_deref().unwrap_or_else(|| Path::new(":memory:"));
        let connect = connect_options(options, file.as_deref())?;
        let writer = pool(1, options)
            .connect_with(connect.clone())
            .await
            .map_err(|error| StoreError::open(place, &error))?;
        if let Err(error) = ready(&writer, place).await {
            writer.close().await;
            return Err(error);
        }
        // A database in memory is its connection's own.
        let reading = connect.pragma("query_only", "ON");
        let (readers, inner) = match file {
            Some(_) => (
                pool(options.readers, options).connect_with(reading.clone()).await,
                pool(1, options).connect_with(reading).await,
            ),
            None => (Ok(writer.clone()), Ok(writer.clone())),
        };
        let unusable = |error: sqlx::Error| StoreError::open(place, &error);
        let (readers, inner) = (readers.map_err(unusable)?, inner.map_err(unusable)?);
        Ok(Self {
            writer,
            readers,
            inner,
            folder: None,
            place: place.to_owned(),
        })
    }

    /// What it holds cannot be: the file is not what was written.
    pub fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged {
            file: self.place.clone(),
            what,
        }
    }

    /// Gives up the reserve, so that a full disk has room for the ends of jobs; false if there is none any more.
    pub fn free_reserve(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.free_reserve())
    }

    /// Whether the reserve is there, or was taken again just now; while it is not, what room there is belongs to the
    /// ends of jobs.
    pub async fn has_reserve(&self) -> bool {
        let Some(folder) = self.folder.as_ref().filter(|folder| !folder.holds_reserve()) else {
            return true;
        };
        let folder = Arc::clone(folder);
        // A file of megabytes is written for it.
        tokio::task::spawn_blocking(move || folder.has_reserve())
            .await
            .unwrap_or(false)
    }

    /// Begins a transaction on the writer's connection; [`end`](Self::end) must follow.
    async fn begin(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        let mut connection = self.writer.acquire().await?;
        let begun = sqlx::query(BEGIN).execute(&mut *connection).await;
        if begun.is_err() {
            // One that was left in the middle, because whoever waited for it went.
            sqlx::query("ROLLBACK").execute(&mut *connection).await?;
            sqlx::query(BEGIN).execute(&mut *connection).await?;
        }
        Ok(connection)
    }

    /// Ends a transaction: what went well is committed, all else is as if it had not been.
    ///
    /// sqlx's own transactions count how deep they are; where SQLite rolls back by itself, as it may when the disk is
    /// full (<https://www.sqlite.org/lang_transaction.html>, section 3), that count stays wrong for good.
    async fn end<T>(
        mut connection: PoolConnection<Sqlite>,
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = match done {
            Ok(done) => match sqlx::query("COMMIT").execute(&mut *connection).await {
                Ok(_) => return Ok(done),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        // There may be nothing left to roll back.
        let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        done
    }

    /// Closes the database in order: what its log holds is moved into its file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.inner.close().await;
        self.writer.close().await;
    }
}

fn pool(connections: u32, options: &StoreOptions) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .acquire_timeout(Duration::from_millis(options.acquire_timeout_ms))
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn connect_options(options: &StoreOptions, file: Option<&Path>) -> Result<SqliteConnectOptions, StoreError> {
    let connect = match file {
        Some(file) => SqliteConnectOptions::new().filename(file).create_if_missing(true),
        None => SqliteConnectOptions::from_str("sqlite::memory:")
            .map_err(|error| StoreError::open(Path::new(":memory:"), &error))?,
    };
    let synchronous = if options.sync_full {
        SqliteSynchronous::Full
    } else {
        SqliteSynchronous::Normal
    };
    let connect = match options.bytes_max / PAGE_BYTES {
        0 => connect,
        pages => connect.pragma("max_page_count", pages.to_string()),
    };
    Ok(connect
        .page_size(PAGE_BYTES as u32)
        .statement_cache_capacity(rows::PREPARED)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        // What is deleted is overwritten: a prompt does not outlive its job in free pages.
        .pragma("secure_delete", "ON")
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(Duration::from_millis(options.busy_timeout_ms)))
}

/// Whether the file can be worked with; its tables are brought forward.
async fn ready(writer: &SqlitePool, place: &Path) -> Result<(), StoreError> {
    check(writer, place).await?;
    migrate::run(writer, place).await
}

/// Looks through the file's structure: a damaged one is refused before anything is written to it.
async fn check(writer: &SqlitePool, place: &Path) -> Result<(), StoreError> {
    let told: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(writer)
        .await
        .map_err(|error| StoreError::open(place, &error))?;
    if told == "ok" {
        Ok(())
    } else {
        Err(StoreError::Damaged {
            file: place.to_owned(),
            what: told,
        })
    }
}
