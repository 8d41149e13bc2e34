//! apalis-redis: how fast empty jobs are claimed and finished. Usage: peer-apalis JOBS BATCH

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use tokio::sync::Notify;

static DONE: AtomicUsize = AtomicUsize::new(0);
static JOBS: AtomicUsize = AtomicUsize::new(0);
static ALL: Notify = Notify::const_new();

async fn empty(_: u32) -> Result<(), BoxDynError> {
    if DONE.fetch_add(1, Ordering::Relaxed) + 1 == JOBS.load(Ordering::Relaxed) {
        ALL.notify_one();
    }
    Ok(())
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), BoxDynError> {
    let mut numbers = std::env::args().skip(1);
    let jobs: usize = numbers.next().ok_or("how many jobs?")?.parse()?;
    let batch: usize = numbers.next().ok_or("how many at a time?")?.parse()?;
    JOBS.store(jobs, Ordering::Relaxed);
    let connection = apalis_redis::connect(std::env::var("REDIS_URL")?).await?;
    let config = Config::default()
        .batch_size(batch)
        .persist_results(false)
        .emit_events(false);
    let mut storage = RedisStorage::new(connection).with_config(config);
    let mut left = u32::try_from(jobs)?;
    while left > 0 {
        let part = left.min(1_000);
        storage.push_bulk((0..part).collect()).await?;
        left -= part;
    }
    let began = Instant::now();
    let worker = WorkerBuilder::new("empty").backend(storage).build(empty);
    tokio::select! {
        ended = worker.run() => ended?,
        () = ALL.notified() => {}
    }
    println!(r#"{{"jobs":{jobs},"seconds":{}}}"#, began.elapsed().as_secs_f64());
    Ok(())
}
