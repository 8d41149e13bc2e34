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
];

pub(super) async fn run(writer: &SqlitePool, place: &Path) -> Result<(), StoreError> {
    let migrations: Vec<Migration> = STEPS
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
        .collect();
    Migrator::with_migrations(migrations)
        .run(writer)
        .await
        .map_err(|error| refused(place, &error))
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
