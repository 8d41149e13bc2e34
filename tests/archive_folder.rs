//! The archive's tables and its folder: what goes and when, what is left of it on the disk, who may look.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;

use livedraft::archive::{Archive, ArchiveOptions, Query};
use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::clock;
use livedraft::hub::HubOptions;
use livedraft::job::JobId;
use livedraft::server::ServerOptions;
use livedraft::store::archive::{ArchiveRow, ListFilter};
use livedraft::store::engine::{Batch, OutboxRow};
use livedraft::store::{Look, Store, StoreError, StoreOptions};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::durable::Folder;
use crate::harness::{house_of, options};
use crate::serving::Serving;

async fn database(folder: &Folder) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.database());
    options.connect().await.unwrap()
}

fn row(ended_ms: i64) -> ArchiveRow {
    ArchiveRow {
        id: JobId::new(clock::job_uuid()).to_string(),
        tenant: "default".to_owned(),
        model: "scripted".to_owned(),
        metadata: "{}".to_owned(),
        status: "completed".to_owned(),
        submitted_ms: 1,
        ended_ms: Some(ended_ms),
        error_code: None,
        error: None,
        value: None,
        sha256: None,
        best: None,
        usage: Default::default(),
        timings: "null".to_owned(),
        log_end: None,
    }
}

async fn kept(archive: &Archive) -> Vec<String> {
    let page = archive.list("default", Query::default()).await.unwrap();
    let mut ids: Vec<_> = page.jobs.iter().map(|job| job.job_id.to_string()).collect();
    ids.sort();
    ids
}

fn told(id: i64, record: String) -> Batch {
    Batch {
        outbox: vec![OutboxRow {
            id,
            job: "a job".to_owned(),
            record,
        }],
        ..Batch::default()
    }
}

#[tokio::test]
async fn the_oldest_go_by_age_and_by_count_and_no_more() {
    let store = Arc::new(Store::open(&StoreOptions::ephemeral()).await.unwrap());
    let options = ArchiveOptions {
        retention_ms: 1_000,
        jobs_max: 3,
        forget_max: 2,
        ..ArchiveOptions::default()
    };
    let archive = Archive::new(Arc::clone(&store), options);
    // Five that ended in one moment are held to the count as well.
    let rows: Vec<_> = [10, 5_000, 5_000, 5_000, 5_000, 5_000, 5_001].map(row).into();
    let with: Vec<_> = rows.iter().map(|row| (row.clone(), Vec::new())).collect();
    store.archive(&with, &[], &[]).await.unwrap();
    let mut turns = 1;
    while archive.forget(5_002).await.unwrap() {
        turns += 1;
    }
    assert_eq!(turns, 3, "two of them a time");
    let left = kept(&archive).await;
    assert_eq!(left.len(), 3);
    assert!(left.contains(&rows[6].id) && !left.contains(&rows[0].id));
    assert!(!archive.forget(5_002).await.unwrap());
    assert!(archive.forget(6_001).await.unwrap());
    assert_eq!(kept(&archive).await, [rows[6].id.clone()]);
}

#[tokio::test]
async fn lists_by_model_and_state_have_their_index() {
    let folder = Folder::new("indexes");
    let store = Store::open(&folder.options()).await.unwrap();
    let mut rows = [1, 2, 3, 4].map(row);
    rows[1].model = "other".to_owned();
    rows[2].model = "other".to_owned();
    rows[2].status = "failed".to_owned();
    let with = rows.clone().map(|row| (row, Vec::new()));
    store.archive(&with, &[], &[]).await.unwrap();
    let list = async |status: Option<&str>, model: Option<&str>, before: Option<&String>| {
        let filter = ListFilter {
            tenant: "default".to_owned(),
            status: status.map(str::to_owned),
            model: model.map(str::to_owned),
            before: before.cloned(),
            limit: 10,
            ..ListFilter::default()
        };
        let jobs = store.list(&filter).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    let ids = rows.map(|row| row.id);
    let backwards = |at: &[usize]| at.iter().map(|at| ids[*at].clone()).collect::<Vec<_>>();
    assert_eq!(list(None, None, None).await, backwards(&[3, 2, 1, 0]));
    assert_eq!(list(None, Some("other"), None).await, backwards(&[2, 1]));
    assert_eq!(list(None, Some("other"), Some(&ids[2])).await, backwards(&[1]));
    assert_eq!(list(Some("failed"), Some("other"), None).await, backwards(&[2]));
    assert_eq!(
        list(Some("completed"), None, Some(&ids[3])).await,
        backwards(&[1, 0])
    );
    store.close().await;
    let mut database = database(&folder).await;
    let indexes: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE tbl_name = 'jobs' AND sql LIKE '%, id, submitted_ms)'",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    for index in [
        "jobs_of_tenant",
        "jobs_by_status",
        "jobs_by_model",
        "jobs_by_model_and_status",
    ] {
        assert!(indexes.iter().any(|name| name == index), "{index} of {indexes:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_stops_nothing() {
    let folder = Folder::new("aside");
    let store = Arc::new(Store::open(&folder.options()).await.unwrap());
    let archive = Archive::new(Arc::clone(&store), ArchiveOptions::default());
    store.write(&told(1, "of tomorrow".to_owned())).await.unwrap();
    let job = JobId::new(clock::job_uuid());
    let record = json!({"job": job, "tenant": "default", "model": "scripted", "submitted_ms": 1});
    store.write(&told(2, record.to_string())).await.unwrap();
    while archive.drain().await.unwrap() {}
    assert_eq!(kept(&archive).await, [job.to_string()]);
    assert!(store.outbox(10).await.unwrap().is_empty());
    store.close().await;
    drop((store, archive));
    assert_eq!(
        Store::look(&folder.options()).await.unwrap(),
        Look::Sound { aside: 1 }
    );
    let mut database = database(&folder).await;
    let record: String = sqlx::query_scalar("SELECT record FROM archive_aside")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(record, "of tomorrow");
    database.close().await.unwrap();
    // It goes when ends of that time go.
    let store = Arc::new(Store::open(&folder.options()).await.unwrap());
    let archive = Archive::new(Arc::clone(&store), ArchiveOptions::default());
    archive.tidy(u64::MAX).await.unwrap();
    store.close().await;
    drop((store, archive));
    assert_eq!(
        Store::look(&folder.options()).await.unwrap(),
        Look::Sound { aside: 0 }
    );
}

#[tokio::test]
async fn what_is_dropped_leaves_the_disk() {
    const SECRET: &str = "what nobody else may read ";
    let folder = Folder::new("secret");
    let store = Arc::new(Store::open(&folder.options()).await.unwrap());
    let mut secret = row(1);
    secret.value = Some(format!("\"{}\"", SECRET.repeat(40_000)));
    let jobs = [(secret, Vec::new()), (row(2), Vec::new())];
    store.archive(&jobs, &[], &[]).await.unwrap();
    assert_eq!(store.forget_archived(2, 10, 10).await.unwrap(), 1);
    let options = ArchiveOptions {
        shrink_pages_max: 100,
        ..ArchiveOptions::default()
    };
    let archive = Archive::new(Arc::clone(&store), options);
    archive.tidy(2).await.unwrap();
    store.close().await;
    let file = std::fs::read(folder.database()).unwrap();
    assert!(!file.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));
    let free = async || -> i64 {
        let mut database = database(&folder).await;
        let free = sqlx::query_scalar("PRAGMA freelist_count")
            .fetch_one(&mut database)
            .await
            .unwrap();
        database.close().await.unwrap();
        free
    };
    let before = free().await;
    assert!(before > 100, "a hundred pages a turn, and no more: {before}");
    drop((store, archive));
    let store = Store::open(&folder.options()).await.unwrap();
    store.tidy(0, 100_000).await.unwrap();
    store.close().await;
    assert_eq!(free().await, 0);
    assert!(std::fs::metadata(folder.database()).unwrap().len() < file.len() as u64);
}

#[tokio::test]
#[cfg(unix)]
async fn a_folder_that_is_made_is_its_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("private");
    let store = Store::open(&folder.options()).await.unwrap();
    store.write(&told(1, "x".to_owned())).await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.0), 0o700);
    let files: Vec<_> = std::fs::read_dir(&folder.0).unwrap().collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    store.close().await;
}

#[tokio::test]
async fn a_look_changes_nothing() {
    let folder = Folder::new("look");
    let options = folder.options();
    assert_eq!(Store::look(&options).await.unwrap(), Look::Absent);
    assert!(!folder.0.exists());
    std::fs::create_dir(&folder.0).unwrap();
    assert_eq!(Store::look(&options).await.unwrap(), Look::Sound { aside: 0 });
    let names = || {
        let entries = std::fs::read_dir(&folder.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert!(names().is_empty());
    let store = Store::open(&options).await.unwrap();
    let used = Store::look(&options).await;
    assert!(matches!(used, Err(StoreError::InUse { .. })), "{used:?}");
    store.close().await;
    drop(store);
    // As if of the version before: a look brings no tables forward.
    let mut database = database(&folder).await;
    for statement in [
        "DROP TABLE archive_aside",
        "DELETE FROM _sqlx_migrations WHERE version >= 4",
    ] {
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }
    database.close().await.unwrap();
    std::fs::remove_file(folder.0.join("reserve")).unwrap();
    let (before, file) = (names(), std::fs::read(folder.database()).unwrap());
    assert_eq!(Store::look(&options).await.unwrap(), Look::Sound { aside: 0 });
    assert_eq!(names(), before);
    assert_eq!(std::fs::read(folder.database()).unwrap(), file);
    std::fs::write(folder.database(), &file[..file.len() / 2]).unwrap();
    let damaged = Store::look(&options).await;
    assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{damaged:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_lists_are_made_at_a_time() {
    let folder = Folder::new("lists");
    let store = Arc::new(Store::open(&folder.options()).await.unwrap());
    // What is to be archived before a list waits for another program's lock.
    store.write(&told(1, "x".to_owned())).await.unwrap();
    let archive = Archive::new(Arc::clone(&store), ArchiveOptions::default());
    let engine = Arc::new(Embedded::new(EngineOptions::default()));
    let one = ServerOptions {
        lists_max: 1,
        ..options()
    };
    let house = house_of(engine, Some(archive), one, HubOptions::default());
    let mut database = database(&folder).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut database)
        .await
        .unwrap();
    let url = house.url("/v1/jobs");
    let list = || tokio::spawn(Serving::http().get(&url).send());
    let (mut first, mut second) = (list(), list());
    let refused = tokio::select! {
        answer = &mut first => answer,
        answer = &mut second => answer,
    };
    let refused = refused.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(refused.text().await.unwrap().contains("lists are being made"));
    sqlx::query("ROLLBACK").execute(&mut database).await.unwrap();
    let made = if first.is_finished() { second } else { first };
    assert_eq!(made.await.unwrap().unwrap().status(), 200);
    assert_eq!(list().await.unwrap().unwrap().status(), 200);
    store.close().await;
}
