//! Bringing the tables forward (`migrations/README.md` has the rules).

use std::borrow::Cow;
use std::path::Path;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlStr, SqlitePool};

use super::error::StoreError;

/// Every step, in order; a released one never changes.
const STEPS: &[(i64, &str, &str)] = &[
    (1, "engine", include_str!("../../migrations/0001_engine.sql")),
    (2, "archive", include_str!("../../migrations/0002_archive.sql")),
    (
        3,
        "late_viewers",
        include_str!("../../migrations/0003_late_viewers.sql"),
    ),
    (4, "lists", include_str!("../../migrations/0004_lists.sql")),
    (
        5,
        "list_times",
        include_str!("../../migrations/0005_list_times.sql"),
    ),
    (6, "costs", include_str!("../../migrations/0006_costs.sql")),
    (7, "viewers", include_str!("../../migrations/0007_viewers.sql")),
    (
        8,
        "dead_letters",
        include_str!("../../migrations/0008_dead_letters.sql"),
    ),
    (9, "pauses", include_str!("../../migrations/0009_pauses.sql")),
];

fn steps() -> Vec<Migration> {
    STEPS
        .iter()
        .map(|(version, name, sql)| {
            Migration::new(
                *version,
                Cow::Borrowed(*name),
                MigrationType::Simple,
                SqlStr::from_static(sql),
                false,
            )
        })
        .collect()
}

pub(super) async fn run(writer: &SqlitePool, place: &Path) -> Result<(), StoreError> {
    Migrator::with_migrations(steps())
        .run(writer)
        .await
        .map_err(|error| refused(place, &error))
}

/// Whether the tables could be brought forward; nothing is.
pub(super) async fn look(database: &SqlitePool, place: &Path) -> Result<(), StoreError> {
    let tables: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'")
            .fetch_one(database)
            .await?;
    if tables == 0 {
        return Ok(());
    }
    let done: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(database)
            .await?;
    let steps = steps();
    for (version, checksum) in done {
        let Some(step) = steps.iter().find(|step| step.version == version) else {
            return Err(refused(place, &MigrateError::VersionMissing(version)));
        };
        if *step.checksum != *checksum {
            return Err(refused(place, &MigrateError::VersionMismatch(version)));
        }
    }
    Ok(())
}

fn refused(place: &Path, error: &MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(step) | MigrateError::VersionTooNew(step, _) => StoreError::Newer {
            file: place.to_owned(),
            step: *step,
        },
        MigrateError::VersionMismatch(step) => StoreError::Damaged {
            file: place.to_owned(),
            what: format!("step {step} of its tables is not the one that was released"),
        },
        other => StoreError::Unusable {
            place: place.display().to_string(),
            what: other.to_string(),
        },
    }
}
