//! The data folder after what must not happen: a torn file, another version's tables.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it fails; the cases are counted aloud"
)]

use std::borrow::Cow;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use livedraft::archive::{Archive, ArchiveOptions, Query};
use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::*;
use livedraft::job::*;
use livedraft::store::{Store, StoreError, StoreOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::durable::{Folder, claimed, end, next, patch, submission};

const FIRST: &str = include_str!("../migrations/0001_engine.sql");
const FIRST_LEFT: &str = include_str!("golden/store/0001.sql");

fn log_of(database: &Path) -> std::path::PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// splitmix64: a case is its number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    }
}

/// The two files of a database, as a kill leaves them.
#[derive(Clone)]
struct Files {
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Files {
    /// Taken between two steps of an engine on this thread, so nothing is being written.
    fn of(folder: &Folder) -> Self {
        Self {
            database: std::fs::read(folder.database()).unwrap(),
            log: std::fs::read(log_of(&folder.database())).unwrap(),
        }
    }

    fn put(&self, folder: &Folder) {
        let _ = std::fs::remove_dir_all(&folder.0);
        std::fs::create_dir(&folder.0).unwrap();
        std::fs::write(folder.database(), &self.database).unwrap();
        std::fs::write(log_of(&folder.database()), &self.log).unwrap();
    }
}

/// A job that was accepted, and how long the database's log was then.
struct Accepted {
    id: JobId,
    log_bytes: usize,
}

/// Jobs of all kinds: in line, running with text, ended.
async fn busy(folder: &Folder, jobs: usize) -> (Embedded, Vec<Accepted>) {
    let engine = folder.engine().await;
    let mut accepted = Vec::new();
    for number in 0..jobs {
        let job = submission(Some(&format!("key-{number}")));
        engine.submit(job.clone()).await.unwrap();
        let log = std::fs::metadata(log_of(&folder.database())).unwrap();
        accepted.push(Accepted {
            id: job.id,
            log_bytes: log.len() as usize,
        });
        if number % 3 == 0 {
            let claim = claimed(&engine).await;
            let mut at = next(claim.position);
            let change = patch(&claim, at, "[\"\",\"Ad\",0]", "\"Ad");
            engine.append(claim.id, claim.token(), &change).await.unwrap();
            if number % 2 == 0 {
                at = next(at);
                let ended = engine.finish(claim.id, claim.token(), end(at)).await;
                assert_eq!(ended, Ok(Fenced::Ok));
            }
        }
    }
    (engine, accepted)
}

async fn opened(options: &StoreOptions) -> Result<Embedded, StoreError> {
    let store = Arc::new(Store::open(options).await?);
    Embedded::open(EngineOptions::default(), store).await
}

/// How many of the first accepted jobs there are; all of them must be whole, and none may be there behind one that is
/// not.
async fn whole(engine: &Embedded, accepted: &[Accepted], case: &str) -> usize {
    let mut kept = 0;
    for (number, job) in accepted.iter().enumerate() {
        let Some(reading) = engine.read(job.id, None).await.unwrap() else {
            continue;
        };
        assert_eq!(kept, number, "{case}: a job is lost before another");
        kept += 1;
        let Start::Snapshot(snapshot) = reading.start else {
            panic!("{case}: nothing was held");
        };
        let mut fold = Fold::clone(&snapshot);
        for entry in &reading.tail {
            fold.apply(entry)
                .unwrap_or_else(|error| panic!("{case}: job {number}: {error}"));
        }
        assert_eq!(fold.position, reading.last, "{case}: job {number}");
        let again = Submission {
            id: JobId::new(clock::job_uuid()),
            ..submission(Some(&format!("key-{number}")))
        };
        assert_eq!(
            engine.submit(again).await,
            Ok(Submitted::existing(job.id)),
            "{case}: job {number}"
        );
    }
    let stats = engine.stats().await.unwrap();
    assert_eq!(
        stats.queued + stats.running + stats.ended,
        kept,
        "{case}: {stats:?}"
    );
    kept
}

/// It still takes jobs.
async fn works(engine: &Embedded, case: &str) {
    let answer = engine.submit(submission(None)).await;
    assert!(matches!(answer, Ok(Submitted::New { .. })), "{case}: {answer:?}");
}

fn cases() -> u64 {
    std::env::var("TORN_CASES").map_or(40, |cases| cases.parse().unwrap())
}

/// `TORN_CASES` tears, by default some: what was committed before the tear is there.
#[tokio::test]
async fn a_torn_log_loses_nothing_before_the_tear() {
    let (folder, torn) = (Folder::new("whole"), Folder::new("torn"));
    let (engine, accepted) = busy(&folder, 30).await;
    let sound = Files::of(&folder);
    let (mut kept_all, mut kept_some) = (0, 0);
    for seed in 0..cases() {
        let mut dice = Dice(seed);
        let mut files = sound.clone();
        let at = dice.roll(files.log.len());
        let how = match dice.roll(3) {
            0 => {
                files.log.truncate(at);
                "cut"
            }
            1 => {
                let end = files.log.len().min(at + 1 + dice.roll(64));
                files.log[at..end].iter_mut().for_each(|byte| *byte ^= 0x5A);
                "other bytes"
            }
            _ => {
                files.log[at..].fill(0);
                "never written"
            }
        };
        let case = format!("seed {seed}: {how} from byte {at} of {}", sound.log.len());
        files.put(&torn);
        let engine = opened(&torn.options())
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        let kept = whole(&engine, &accepted, &case).await;
        let due = accepted.iter().take_while(|job| job.log_bytes <= at).count();
        assert!(kept >= due, "{case}: {kept} of {due} jobs");
        works(&engine, &case).await;
        engine.close().await;
        *if kept == accepted.len() {
            &mut kept_all
        } else {
            &mut kept_some
        } += 1;
    }
    println!(
        "{} tears: {kept_all} lost nothing, {kept_some} what came behind them",
        cases()
    );
    assert!(kept_some > 0, "sometimes");
    engine.close().await;
}

/// The same with a log that has gone round, and with a database file that is cut: what cannot be whole is refused.
#[tokio::test]
async fn a_torn_database_is_whole_or_refused() {
    let (folder, torn) = (Folder::new("round"), Folder::new("torn-round"));
    let (engine, accepted) = busy(&folder, 160).await;
    let sound = Files::of(&folder);
    assert!(sound.database.len() > 64 * 1024, "the log has gone round");
    let (mut served, mut refused) = (0, 0);
    for seed in 0..cases() {
        let mut dice = Dice(seed);
        let mut files = sound.clone();
        let (name, bytes) = match dice.roll(2) {
            0 => ("log", &mut files.log),
            _ => ("database", &mut files.database),
        };
        let at = dice.roll(bytes.len());
        bytes.truncate(at);
        let case = format!("seed {seed}: the {name} is cut at {at}");
        files.put(&torn);
        match opened(&torn.options()).await {
            Ok(engine) => {
                served += 1;
                whole(&engine, &accepted, &case).await;
                works(&engine, &case).await;
                engine.close().await;
            }
            Err(error) => {
                refused += 1;
                let told = error.to_string();
                assert!(
                    told.contains("livedraft.db") && told.contains("move it away"),
                    "{case}: {told}"
                );
            }
        }
    }
    println!("{} tears: {served} served whole, {refused} refused", cases());
    assert!(served > 0 && refused > 0, "sometimes");
    engine.close().await;
}

async fn database(folder: &Folder) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(folder.database())
        .create_if_missing(true);
    options.connect().await.unwrap()
}

fn serve(folder: &Folder) -> Output {
    Command::new(env!("CARGO_BIN_EXE_livedraft"))
        .args(["serve", "--bind", "127.0.0.1:0", "--log", "off", "--data"])
        .arg(&folder.0)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[tokio::test]
async fn parts_of_jobs_are_refused() {
    let folder = Folder::new("parts");
    let (engine, accepted) = busy(&folder, 6).await;
    engine.close().await;
    drop(engine);
    let sound = std::fs::read(folder.database()).unwrap();
    let [ended, running, queued] = [0, 1, 2].map(|number| accepted[number].id);
    for (statement, says) in [
        (
            format!("DELETE FROM engine_jobs WHERE id = '{ended}'"),
            "parts of it are there",
        ),
        (
            format!("DELETE FROM engine_runs WHERE job = '{queued}'"),
            "parts of it are gone",
        ),
        (
            format!("DELETE FROM engine_snapshots WHERE job = '{queued}'"),
            "parts of it are gone",
        ),
        (
            format!("DELETE FROM engine_entries WHERE job = '{ended}' AND seq = 2"),
            "a hole behind seq 1",
        ),
        (
            format!("DELETE FROM engine_entries WHERE job = '{ended}' AND kind = 'end'"),
            "its log ends at",
        ),
        (
            format!("UPDATE engine_runs SET state = 'queued' WHERE job = '{ended}'"),
            "its log says otherwise",
        ),
        (
            format!("UPDATE engine_jobs SET spec = '' WHERE id = '{queued}'"),
            "what it asks for is gone",
        ),
        (
            format!("UPDATE engine_raw SET part = 1 WHERE job = '{running}'"),
            "piece 0 of its raw text is gone",
        ),
    ] {
        std::fs::write(folder.database(), &sound).unwrap();
        let mut database = database(&folder).await;
        let changed = sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
            .execute(&mut database)
            .await
            .unwrap();
        assert!(changed.rows_affected() > 0, "{statement}");
        database.close().await.unwrap();
        let error = opened(&folder.options()).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{statement}: {error}"
        );
        assert!(error.to_string().contains(says), "{statement}: {error}");
    }
    let refused = serve(&folder);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(
        told.contains(&running.to_string()) && told.contains("move it away"),
        "{told}"
    );
}

#[tokio::test]
async fn a_newer_folder_is_refused() {
    let folder = Folder::new("newer");
    let store = Store::open(&folder.options()).await.unwrap();
    store.close().await;
    drop(store);
    let mut database = database(&folder).await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(later).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    let refused = serve(&folder);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    for words in ["newer version", "step 9999", "use that version", "--data"] {
        assert!(told.contains(words), "{told}");
    }
}

#[tokio::test]
async fn an_older_folder_goes_forward_with_its_jobs() {
    let folder = Folder::new("older");
    std::fs::create_dir(&folder.0).unwrap();
    let mut database = database(&folder).await;
    let first = Migration::new(
        1,
        Cow::Borrowed("engine"),
        MigrationType::Simple,
        sqlx::SqlStr::from_static(FIRST),
        false,
    );
    Migrator::with_migrations(vec![first])
        .run(&mut database)
        .await
        .unwrap();
    sqlx::raw_sql(FIRST_LEFT).execute(&mut database).await.unwrap();
    database.close().await.unwrap();

    let [ended, running, queued] = [
        "01a1fe66-9aad-751a-827b-5e50a92a8c0c",
        "01a1fe66-9cae-7133-9c4e-f9ef67bc3686",
        "01a1fe66-9cb7-77ee-bf1b-2c4d8c63ac95",
    ]
    .map(|id| id.parse::<JobId>().unwrap());
    let store = Arc::new(Store::open(&folder.options()).await.unwrap());
    let archive = Archive::new(Arc::clone(&store), ArchiveOptions::default());
    let engine = Embedded::open(EngineOptions::default(), store).await.unwrap();
    let reading = engine.read(ended, None).await.unwrap().unwrap();
    let last = reading.tail.last().unwrap();
    assert!(matches!(&last.event, Event::End(end) if end.outcome == Outcome::Completed));
    let claim = claimed(&engine).await;
    assert_eq!(
        (claim.id, claim.checkpoint.raw.as_str()),
        (running, "{\"name\":\"Freya Ivanova\",")
    );
    assert_eq!(claimed(&engine).await.id, queued);
    while archive.drain().await.unwrap() {}
    let page = archive.list("default", Query::default()).await.unwrap();
    let listed: Vec<_> = page
        .jobs
        .iter()
        .map(|job| (job.job_id, job.status.as_str()))
        .collect();
    assert_eq!(
        listed,
        [(queued, "queued"), (running, "queued"), (ended, "completed")]
    );
    engine.close().await;
}
