//! The contract of an engine, as to pages of dead letters: in which order they come, and that whoever goes from page to page
//! meets each once. Over every engine, as `backend_contract` runs its cases.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ::redis::Commands as _;
use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::fault::{FaultRates, Faulty};
use livedraft::backend::*;
use livedraft::clock;
use livedraft::job::*;

use crate::backend_contract::{
    Line, StandingTime, Time, again, contract, durable, over_parts, redis_as_user_of_the_page, submission,
};
use crate::redis_server::{RedisCluster, RedisServer, as_user_of_the_page};

fn options() -> EngineOptions {
    EngineOptions {
        queued_max: 100,
        ..EngineOptions::default()
    }
}

/// So many parts that letters of one page lie in several, and so few that several lie in one.
const fn shards_of(_case: &str) -> u32 {
    4
}

impl Line {
    /// So many jobs that are given up by one step of each part: in one millisecond there.
    async fn give_up(&self, count: usize) -> BTreeSet<JobId> {
        let mut given_up = BTreeSet::new();
        for _ in 0..count {
            let own = submission();
            self.submit(&own).await;
            given_up.insert(own.id);
        }
        for _ in 0..3 {
            for _ in 0..count {
                self.claim().await.expect("in line");
            }
            self.pass(Duration::from_secs(16)).await;
            self.reap().await;
        }
        given_up
    }

    /// The page behind a place: its jobs, and where the next begins.
    async fn page(&self, behind: Option<DeadCursor>, limit: usize) -> (Vec<JobId>, Option<DeadCursor>) {
        let page = again(|| self.0.dead_letters(behind, limit)).await;
        assert!(page.letters.len() <= limit, "{page:?}");
        (page.letters.iter().map(|letter| letter.id).collect(), page.next)
    }

    /// All from a place to the end, by pages of so many.
    async fn all_behind(&self, mut behind: Option<DeadCursor>, limit: usize) -> Vec<JobId> {
        let mut all = Vec::new();
        loop {
            let (jobs, next) = self.page(behind, limit).await;
            all.extend(jobs);
            match next {
                Some(next) => assert!(behind.replace(next).is_none_or(|before| next < before), "{next}"),
                None => return all,
            }
        }
    }

    async fn redrive(&self, letter: JobId) {
        let new = Submission {
            id: self.0.draw_beside(letter),
            ..submission()
        };
        let told = again(|| self.0.redrive(letter, new.clone())).await;
        assert!(matches!(told, Some(Submitted::New { .. })), "{told:?}");
    }
}

contract! {
    /// Pages of any size tell the same, each letter once, also where several were given up in one millisecond.
    async fn pages_of_dead_letters_are_one_list(line: &Line) {
        assert_eq!(line.page(None, 10).await, (Vec::new(), None));
        let old = line.give_up(5).await;
        let new = line.give_up(4).await;
        let (whole, next) = line.page(None, 100).await;
        assert_eq!(next, None, "it is the last");
        assert_eq!(whole[..4].iter().copied().collect::<BTreeSet<_>>(), new, "the newest first");
        assert_eq!(whole[4..].iter().copied().collect::<BTreeSet<_>>(), old);
        for limit in 1..=whole.len() {
            assert_eq!(line.all_behind(None, limit).await, whole, "by {limit}");
        }
        assert_eq!(line.page(None, whole.len()).await.1, None, "nothing is behind it");
    }

    /// What comes and goes between two pages neither hides another letter nor has one told twice. A cursor is as good where
    /// its letter is gone.
    async fn pages_of_dead_letters_stand_while_letters_come_and_go(line: &Line) {
        line.give_up(4).await;
        line.give_up(7).await;
        let (whole, _) = line.page(None, 100).await;
        let (first, next) = line.page(None, 3).await;
        assert_eq!(first, whole[..3]);
        let next = next.expect("there are more");
        assert_eq!(next.to_string().parse(), Ok(next));
        assert_eq!(next.id, whole[2]);
        // Of those that were told, the one of the cursor among them, and the next to come.
        for at in [0, 2, 3] {
            line.redrive(whole[at]).await;
        }
        while let Some(claim) = line.claim().await {
            line.cancel(claim.id).await;
        }
        line.pass(Duration::from_secs(16)).await;
        line.reap().await;
        let later = line.give_up(2).await;
        for limit in [1, 2, 100] {
            assert_eq!(line.all_behind(Some(next), limit).await, whole[4..], "by {limit}");
        }
        let (anew, _) = line.page(None, 2).await;
        assert_eq!(anew.into_iter().collect::<BTreeSet<_>>(), later);
    }

    /// Those that are forgotten by their age, the cursor's among them, end the list.
    async fn pages_of_dead_letters_end_where_letters_are_forgotten(line: &Line) {
        line.give_up(3).await;
        line.pass(Duration::from_secs(6 * 24 * 3_600)).await;
        let new = line.give_up(2).await;
        let (_, next) = line.page(None, 3).await;
        let next = next.expect("there are more");
        line.pass(Duration::from_secs(2 * 24 * 3_600)).await;
        line.promote().await;
        assert_eq!(line.page(Some(next), 10).await, (Vec::new(), None));
        assert_eq!(line.all_behind(None, 1).await.into_iter().collect::<BTreeSet<_>>(), new);
    }
}

/// A part goes by others where its letters cannot be read: pages hide none of them, and tell none twice.
#[tokio::test]
async fn pages_of_dead_letters_pass_over_what_cannot_be_read() {
    let server = RedisServer::start();
    let engine = server.engine(2, options()).await;
    let mut keys = server.connection();
    let line = Line(Arc::new(engine), Time::Theirs(server));
    line.give_up(8).await;
    let new = line.give_up(8).await;
    let (mut readable, _) = line.page(None, 100).await;
    // Of one part, half of the newer ones.
    let there: Vec<JobId> = new
        .into_iter()
        .filter(|job| {
            let key = format!("{{livedraft:0}}:job:{job}");
            keys.exists(key).unwrap()
        })
        .collect();
    for job in there.iter().step_by(2) {
        let key = format!("{{livedraft:0}}:job:{job}");
        let _: i64 = keys.hset(key, "sub", "spoilt").unwrap();
        readable.retain(|letter| letter != job);
    }
    for limit in 1..=readable.len() {
        assert_eq!(line.all_behind(None, limit).await, readable, "by {limit}");
    }
}
