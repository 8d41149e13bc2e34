//! The data folder: what was promised is there after a restart, also after one that nobody announced.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it fails; the kills are counted aloud"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::*;
use livedraft::client::{Client, Following, Patience};
use livedraft::clock;
use livedraft::event::*;
use livedraft::job::*;
use livedraft::store::{Store, StoreError, StoreOptions};
use livedraft::wire::{Deliver, JobCreate};

use crate::harness::frame;
use serde_json::json;

/// A folder of its own below the system's, taken away at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("livedraft-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn options(&self) -> StoreOptions {
        StoreOptions {
            folder: self.0.to_str().unwrap().to_owned(),
            reserve_bytes: 64 * 1024,
            ..StoreOptions::default()
        }
    }

    pub(crate) async fn engine(&self) -> Embedded {
        let store = Arc::new(Store::open(&self.options()).await.unwrap());
        Embedded::open(EngineOptions::default(), store).await.unwrap()
    }

    /// The store, once it is free: a process that another test begins has the folder's lock for as long as it is not begun.
    pub(crate) async fn store(&self) -> Arc<Store> {
        loop {
            match Store::open(&self.options()).await {
                Ok(store) => return Arc::new(store),
                Err(StoreError::InUse { .. }) => clock::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("livedraft.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn epoch() -> Epoch {
    Epoch::new(clock::nonce())
}

pub(crate) fn submission(key: Option<&str>) -> Submission {
    let spec = json!({"model": "scripted", "input": "x", "schema": {"type": "number", "minimum": 0.1}, "metadata": {"a": "b"}});
    Submission {
        id: JobId::new(clock::job_uuid()),
        epoch: epoch(),
        tenant: "one".into(),
        spec: Arc::new(serde_json::from_value(spec).unwrap()),
        shape: Arc::default(),
        idempotency: key.map(|key| Idempotency {
            key: key.into(),
            request: [7; 32],
        }),
    }
}

pub(crate) fn next(position: Position) -> Position {
    Position {
        seq: position.seq + 1,
        ..position
    }
}

pub(crate) fn patch(claim: &Claim, position: Position, ops: &str, raw: &str) -> Append {
    Append {
        write: Write {
            position,
            opens: false,
            event: Event::Patch(frame(claim.id, position.seq, ops).into()),
        },
        raw: raw.to_owned(),
        raw_anew: false,
        record: None,
        snapshot: None,
    }
}

pub(crate) fn end(position: Position) -> Write {
    let end = End {
        outcome: Outcome::Completed,
        error: None,
        sha256: None,
        best: None,
        usage: Usage::default(),
        attempts: Vec::new(),
        timings: Timings::default(),
        durable: true,
    };
    Write {
        position,
        opens: false,
        event: Event::End(Box::new(end)),
    }
}

pub(crate) async fn claimed(engine: &Embedded) -> Claim {
    engine.claim(clock::nonce(), epoch()).await.unwrap().unwrap()
}

/// Where tenants stand in line is not kept: what a job has cost is charged whole then.
#[tokio::test]
async fn nobody_is_given_back_what_was_charged_before_a_restart() {
    let folder = Folder::new("charged");
    let engine = folder.engine().await;
    let dear = submission(None);
    engine.submit(dear.clone()).await.unwrap();
    claimed(&engine).await;
    engine.close().await;
    drop(engine);

    let engine = folder.engine().await;
    let claim = claimed(&engine).await;
    assert_eq!(claim.id, dear.id);
    let mut write = end(next(claim.position));
    if let Event::End(end) = &mut write.event {
        end.usage.output_tokens = 5_000;
    }
    let told = engine.finish(claim.id, claim.token(), write).await;
    assert_eq!(told, Ok(Fenced::Ok));
    let (first, all) = (submission(None), |_| Submission {
        tenant: "two".into(),
        ..submission(None)
    });
    for job in [first.clone()].into_iter().chain((0..8).map(all)) {
        engine.submit(job).await.unwrap();
    }
    let mut others = 0;
    while claimed(&engine).await.id != first.id {
        others += 1;
    }
    // Each is thought to cost a little more than a thousand.
    assert_eq!(others, 5);
    engine.close().await;
}

#[tokio::test]
async fn a_restart_takes_up_what_was_there() {
    let folder = Folder::new("restart");
    let engine = folder.engine().await;
    let (ended, running, queued) = (submission(Some("k")), submission(None), submission(None));
    for job in [&ended, &running, &queued] {
        assert!(matches!(
            engine.submit(job.clone()).await.unwrap(),
            Submitted::New { .. }
        ));
    }
    let claim = claimed(&engine).await;
    assert_eq!(claim.id, ended.id);
    let told = next(claim.position);
    let change = patch(&claim, told, "[\"\",1.50,0]", "1.50");
    assert_eq!(
        engine.append(claim.id, claim.token(), &change).await,
        Ok(Appended::Ok)
    );
    let write = end(next(told));
    assert_eq!(
        engine.finish(claim.id, claim.token(), write).await,
        Ok(Fenced::Ok)
    );
    let claim = claimed(&engine).await;
    assert_eq!(claim.id, running.id);
    let held = next(claim.position);
    let change = patch(&claim, held, "[\"\",\"Ad\",0]", "\"Ad");
    assert_eq!(
        engine.append(claim.id, claim.token(), &change).await,
        Ok(Appended::Ok)
    );
    engine.close().await;
    drop(engine);

    let engine = folder.engine().await;
    let stats = engine.stats().await.unwrap();
    assert_eq!((stats.queued, stats.running, stats.ended), (2, 0, 1));
    let reading = engine.read(ended.id, None).await.unwrap().unwrap();
    let last = reading.tail.last().unwrap();
    assert!(matches!(last.event, Event::End(_)));
    let patches = reading
        .tail
        .iter()
        .filter(|entry| matches!(&entry.event, Event::Patch(frame) if frame.contains("1.50")));
    assert_eq!(patches.count(), 1, "digits are kept");
    let again = Submission {
        id: JobId::new(clock::job_uuid()),
        ..ended.clone()
    };
    assert_eq!(engine.submit(again).await, Ok(Submitted::existing(ended.id)));
    // A viewer goes on from what was stored by its tail: the claim opens its epoch there.
    let reading = engine.read(running.id, Some(held)).await.unwrap().unwrap();
    assert!(matches!(reading.start, Start::Tail));
    let statuses: Vec<_> = reading.tail.iter().map(|entry| entry.event.clone()).collect();
    assert!(
        matches!(&statuses[..], [Event::Status(status)] if status.status == JobState::Recovering && status.reason.as_deref() == Some("restart")),
        "{statuses:?}"
    );
    let claim = claimed(&engine).await;
    assert_eq!(claim.id, running.id, "what was interrupted goes first");
    assert_eq!(claim.checkpoint.raw, "\"Ad");
    assert_eq!(
        claim.checkpoint.fold.value,
        livedraft::partial::parse("\"Ad\"").ok()
    );
    assert_eq!(claimed(&engine).await.id, queued.id);
    engine.close().await;
}

#[tokio::test]
async fn an_end_is_told_once_it_is_stored_and_not_before() {
    let folder = Folder::new("told");
    let engine = folder.engine().await;
    let job = submission(None);
    engine.submit(job.clone()).await.unwrap();
    let claim = claimed(&engine).await;
    let mut live = engine.subscribe(job.id).await.unwrap();
    let finished = engine.finish(claim.id, claim.token(), end(next(claim.position)));
    assert_eq!(finished.await, Ok(Fenced::Ok));
    let told = live.recv().await.unwrap();
    assert!(matches!(&told.event, Event::End(end) if end.durable));
    engine.close().await;
    drop(engine);
    let jobs = Store::open(&folder.options())
        .await
        .unwrap()
        .jobs()
        .await
        .unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].run.state, "completed");
    assert_eq!(
        jobs[0].fixed.spec, "",
        "what was asked for is dropped with the end"
    );
}

#[tokio::test]
async fn a_job_that_is_cancelled_before_it_is_stored_is_never_in_line() {
    let folder = Folder::new("early");
    let engine = Arc::new(folder.engine().await);
    let (early, later) = (submission(None), submission(None));
    // Both steps are taken before the writer has had its turn.
    let (kept, cancelled) = tokio::join!(engine.submit(early.clone()), engine.cancel(early.id, epoch()));
    assert!(matches!(kept.unwrap(), Submitted::New { .. }));
    assert_eq!(cancelled.unwrap(), Some(Cancelled::Now));
    engine.submit(later.clone()).await.unwrap();
    assert_eq!(engine.stats().await.unwrap().queued, 1);
    assert_eq!(claimed(&engine).await.id, later.id);
    let reading = engine.read(early.id, None).await.unwrap().unwrap();
    let ends = reading
        .tail
        .iter()
        .filter(|entry| matches!(entry.event, Event::End(_)));
    assert_eq!(ends.count(), 1);
    engine.close().await;
}

#[tokio::test]
async fn a_full_folder_refuses_jobs_and_still_lets_them_end() {
    let folder = Folder::new("full");
    let options = StoreOptions {
        bytes_max: 512 * 1024,
        ..folder.options()
    };
    let store = Arc::new(Store::open(&options).await.unwrap());
    let engine = Embedded::open(EngineOptions::default(), store).await.unwrap();
    engine.submit(submission(None)).await.unwrap();
    let claim = claimed(&engine).await;
    let mut kept = 1;
    let refused = loop {
        let large = Submission {
            spec: {
                let text = "x".repeat(32 * 1024);
                let spec = json!({"model": "scripted", "input": text, "schema": {}});
                Arc::new(serde_json::from_value(spec).unwrap())
            },
            ..submission(None)
        };
        match engine.submit(large).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100, "the limit is not held");
    };
    assert!(refused.to_string().contains("full"), "{refused}");
    assert_eq!(
        engine.stats().await.unwrap().queued,
        kept - 1,
        "what was refused is gone"
    );
    // The job that runs goes on in memory, and its end is told, if need be with the word that it is not stored.
    let mut at = claim.position;
    for _ in 0..20 {
        at = next(at);
        let text = "y".repeat(16 * 1024);
        let ops = format!("[\"\",\"{text}\",0]");
        let change = patch(&claim, at, &ops, &text);
        assert_eq!(
            engine.append(claim.id, claim.token(), &change).await,
            Ok(Appended::Ok)
        );
    }
    assert_eq!(
        engine.finish(claim.id, claim.token(), end(next(at))).await,
        Ok(Fenced::Ok)
    );
    let reading = engine.read(claim.id, None).await.unwrap().unwrap();
    let last = reading.tail.last().unwrap();
    assert!(matches!(&last.event, Event::End(end) if !end.durable), "{last:?}");
    engine.close().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_refused_with_words() {
    let folder = Folder::new("refused");
    let store = Store::open(&folder.options()).await.unwrap();
    let error = Store::open(&folder.options()).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    store.close().await;
    drop(store);

    let sound = std::fs::read(folder.database()).unwrap();
    let mut torn = sound.clone();
    torn[4_096..12_288].fill(0xA5);
    std::fs::write(folder.database(), &torn).unwrap();
    let error = Store::open(&folder.options()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("move it away"), "{error}");
    std::fs::write(
        folder.database(),
        b"no database at all, but long enough to be looked at",
    )
    .unwrap();
    let error = Store::open(&folder.options()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");

    let file = folder.0.join("file");
    std::fs::write(&file, "").unwrap();
    let options = StoreOptions {
        folder: file.to_str().unwrap().to_owned(),
        ..folder.options()
    };
    let error = Store::open(&options).await.unwrap_err();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
}

/// A server of its own process over a folder.
struct Served {
    process: Child,
    url: String,
}

impl Served {
    fn start(folder: &Path, settings: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_livedraft"))
            .args(["serve", "--bind", "127.0.0.1:0", "--log", "off", "--data"])
            .arg(folder)
            .args(settings.iter().flat_map(|setting| ["--set", *setting]))
            .env_clear()
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talk = BufReader::new(process.stderr.take().unwrap()).lines();
        let listens = talk.next().unwrap().unwrap();
        let (_, address) = listens.split_once("http://").expect(&listens);
        let url = format!("ws://{}", address.split(' ').next().unwrap());
        Self { process, url }
    }

    /// Ends it in the way that nobody can prepare for.
    fn kill(self) {}
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn create(tokens_per_second: u32) -> JobCreate {
    let request = json!({"request": {"model": "scripted", "input": "x", "flush_ms": 10,
        "schema": {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "integer"}}, "required": ["a", "n"]},
        "script": {"tokens_per_second": tokens_per_second, "text_chars": 400}}});
    serde_json::from_value(request).unwrap()
}

/// Settings by turns: what they are when nothing is said, and those that let most happen while something is written.
const SETTINGS: [&[&str]; 2] = [&[], &["store.sync_full=true", "engine.checkpoint_bytes=1"]];

/// Reads until the job ends or the server is gone; gives what was told of the end.
async fn told_of(mut job: Following) -> Option<(String, Position)> {
    while let Ok(Some(_)) = job.next().await {}
    let follower = job.follower();
    let is_durable = follower.end().is_some_and(|end| end.durable);
    let end = follower.position().filter(|_| is_durable);
    Some((follower.job_id()?.to_owned(), end?))
}

/// Kills at random moments: `DURABLE_KILLS` of them, by default a few.
#[tokio::test]
async fn no_accepted_job_is_lost_to_a_kill() {
    let kills: u64 = std::env::var("DURABLE_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let folder = Folder::new("kills");
    let (mut accepted, mut ends) = (Vec::new(), Vec::new());
    for round in 0..kills {
        let served = Served::start(&folder.0, SETTINGS[round as usize % SETTINGS.len()]);
        // Who was cut off stays so: the server is gone.
        let client = Client::new(served.url.clone()).patience(Patience {
            tries_max: 0,
            ..Patience::default()
        });
        let until = clock::now() + Duration::from_millis(clock::nonce() % 400);
        let mut following = Vec::new();
        while clock::now() < until {
            let connection = client.connect().await.unwrap();
            let mut job = client
                .create(connection, create(500 + (round as u32 % 3) * 1_000))
                .await
                .unwrap();
            while job.follower().job_id().is_none() {
                job.next().await.unwrap().unwrap();
            }
            accepted.push(job.follower().job_id().unwrap().to_owned());
            following.push(tokio::spawn(told_of(job)));
        }
        served.kill();
        for one in following {
            ends.extend(one.await.unwrap());
        }
    }
    let served = Served::start(&folder.0, &[]);
    let client = Client::new(served.url.clone()).patience(Patience::default());
    assert!(!accepted.is_empty());
    for job in &accepted {
        let mut following = client.follow(job, Deliver::default()).await.unwrap();
        while following.next().await.unwrap().is_some() {}
        let follower = following.close().await;
        let end = follower.end().expect("it ended");
        assert_eq!(end.outcome, Outcome::Completed, "{job}: {:?}", end.error);
        assert!(end.durable);
        assert_eq!(follower.tally().duplicated, 0);
        let told = ends.iter().find(|(told, _)| told == job).map(|(_, at)| *at);
        assert!(
            told.is_none() || told == follower.position(),
            "{job}: its end was told at {told:?}"
        );
    }
    served.kill();
    let store = Store::open(&folder.options()).await.unwrap();
    let stored = store.jobs().await.unwrap();
    assert_eq!(stored.len(), accepted.len());
    assert!(stored.iter().all(|job| job.run.state == "completed"));
    println!(
        "{kills} kills, {} jobs accepted, none lost; {} ends told before a kill, each there behind it",
        accepted.len(),
        ends.len()
    );
}
