//! What follows a call that failed before anything of its answer was told: another, of the same model or of the next
//! of its chain, a wait outside the worker, or the end; and how long one is left alone that failed behind that.

use std::time::Duration;

use super::WorkerOptions;
use crate::clock;
use crate::llm::{LlmError, LlmErrorKind};

/// What follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum After {
    /// The same model is asked again within the attempt, after a wait.
    Retry(Duration),
    /// The next model of the chain is asked at once.
    Fallback,
    /// The job is put back for so long, with this word.
    Defer(&'static str, Duration),
    /// No more calls.
    End,
}

/// How long a job leaves a provider alone that is busy, as it said or as is set.
pub(super) fn busy_wait(options: &WorkerOptions, error: &LlmError) -> Duration {
    error
        .retry_after
        .unwrap_or(options.rate_limit_wait)
        .min(options.rate_limit_wait_max)
}

/// What is added to the time at which many may ask again, so that they do not all at once.
pub(super) fn spread(options: &WorkerOptions, wait: Duration) -> Duration {
    clock::jitter(wait.min(options.rate_limit_wait))
}

/// The rule. `retries` were made in this attempt, `left` is there until the job's time is over.
///
/// One who configured a chain wants an answer now: its next model is asked before the same one again.
pub(super) fn after(
    options: &WorkerOptions,
    error: &LlmError,
    retries: u32,
    can_fall_back: bool,
    left: Duration,
) -> After {
    if can_fall_back {
        return After::Fallback;
    }
    if error.kind.is_fault()
        && retries < options.retries_max
        && let Some(soon) = soon(options, error, retries, left)
    {
        return soon;
    }
    later(options, error, left)
}

/// What follows a fault behind the first change, where the answer is to be gone on with: how often that may be is not
/// decided here. `breaks` were met before.
pub(super) fn behind(options: &WorkerOptions, error: &LlmError, breaks: u32, left: Duration) -> After {
    match error.kind {
        LlmErrorKind::RateLimited => later(options, error, left),
        _ => soon(options, error, breaks, left).unwrap_or_else(|| later(options, error, left)),
    }
}

/// Another call after a wait for which a slot may be held.
fn soon(options: &WorkerOptions, error: &LlmError, retries: u32, left: Duration) -> Option<After> {
    let wait = retry_wait(options, error, retries);
    let is_short = error.retry_after.unwrap_or_default() <= options.retry_wait_max;
    (is_short && wait < left).then_some(After::Retry(wait))
}

/// A wait that holds none, where there is time for it.
fn later(options: &WorkerOptions, error: &LlmError, left: Duration) -> After {
    let word = match (error.kind, error.retry_after) {
        (LlmErrorKind::RateLimited, _) => "rate_limited",
        (LlmErrorKind::Overloaded, _) => "overloaded",
        // Longer than a slot is held for it.
        (kind, Some(asked)) if kind.is_fault() && asked > options.retry_wait_max => "unavailable",
        _ => return After::End,
    };
    let wait = busy_wait(options, error);
    if wait >= left {
        return After::End;
    }
    After::Defer(word, wait + spread(options, wait))
}

/// As long as the provider said, and a little; else anything up to a bound that doubles with each retry (full jitter).
fn retry_wait(options: &WorkerOptions, error: &LlmError, retries: u32) -> Duration {
    match error.retry_after {
        Some(asked) => asked + spread(options, asked.min(options.retry_base)),
        None => {
            let bound = options.retry_base.saturating_mul(1 << retries.min(16));
            clock::jitter(bound.min(options.retry_wait_max))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: LlmErrorKind, retry_after: Option<u64>) -> LlmError {
        LlmError {
            retry_after: retry_after.map(Duration::from_secs),
            ..LlmError::new(kind, "no")
        }
    }

    fn decide(kind: LlmErrorKind, retry_after: Option<u64>, retries: u32, left_s: u64) -> After {
        let (options, left) = (WorkerOptions::default(), Duration::from_secs(left_s));
        after(&options, &error(kind, retry_after), retries, false, left)
    }

    #[test]
    fn faults_that_pass_are_retried_with_full_jitter_and_a_bound() {
        clock::seed(Some(7));
        let options = WorkerOptions::default();
        let mut longest = [Duration::ZERO; 4];
        for _ in 0..200 {
            for (retries, longest) in (0..4).zip(&mut longest) {
                let After::Retry(wait) = decide(LlmErrorKind::Server, None, retries, 600) else {
                    panic!("no retry");
                };
                assert!(wait < options.retry_base * (1 << retries));
                *longest = wait.max(*longest);
            }
        }
        clock::seed(None);
        assert!(longest[3] > options.retry_base * 6, "it is drawn from all of it");
        assert_eq!(decide(LlmErrorKind::Server, None, 4, 600), After::End);
        assert_eq!(decide(LlmErrorKind::BadRequest, None, 0, 600), After::End);
    }

    #[test]
    fn one_who_fails_behind_the_first_change_is_given_as_much_time() {
        let options = WorkerOptions::default();
        let decide = |kind, retry_after, breaks, left_s| {
            let left = Duration::from_secs(left_s);
            behind(&options, &error(kind, retry_after), breaks, left)
        };
        for breaks in [0, 3, 9] {
            let After::Retry(wait) = decide(LlmErrorKind::Cut, None, breaks, 600) else {
                panic!("no retry");
            };
            assert!(
                wait <= options.retry_wait_max,
                "how many follow is not decided here"
            );
        }
        let After::Retry(wait) = decide(LlmErrorKind::Overloaded, Some(3), 0, 600) else {
            panic!("no retry");
        };
        assert!(wait >= Duration::from_secs(3));
        for (kind, seconds, word) in [
            (LlmErrorKind::RateLimited, 1, "rate_limited"),
            (LlmErrorKind::Overloaded, 30, "overloaded"),
            (LlmErrorKind::InStream, 30, "unavailable"),
        ] {
            let decided = decide(kind, Some(seconds), 0, 600);
            assert!(
                matches!(decided, After::Defer(told, _) if told == word),
                "{decided:?}"
            );
        }
        assert_eq!(decide(LlmErrorKind::InStream, Some(9), 0, 5), After::End);
    }

    #[test]
    fn what_a_provider_asks_for_is_kept() {
        let After::Retry(wait) = decide(LlmErrorKind::Overloaded, Some(3), 0, 600) else {
            panic!("no retry");
        };
        assert!(wait >= Duration::from_secs(3));
        // Too long to hold a slot for.
        for retries in [0, 9] {
            let After::Defer("overloaded", wait) = decide(LlmErrorKind::Overloaded, Some(30), retries, 600)
            else {
                panic!("no deferral");
            };
            assert!(wait >= Duration::from_secs(30));
        }
        assert!(matches!(
            decide(LlmErrorKind::Server, Some(30), 0, 600),
            After::Defer("unavailable", _)
        ));
        assert!(matches!(
            decide(LlmErrorKind::RateLimited, Some(1), 0, 600),
            After::Defer("rate_limited", _)
        ));
        assert_eq!(decide(LlmErrorKind::RateLimited, Some(9), 0, 5), After::End);
        let options = WorkerOptions::default();
        for kind in LlmErrorKind::ALL {
            let decided = after(&options, &error(kind, None), 0, true, Duration::from_secs(600));
            assert_eq!(decided, After::Fallback, "{kind:?}");
        }
    }
}
