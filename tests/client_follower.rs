//! The follower on conversations made by hand: what it holds, what it counts, what it refuses.
#![allow(clippy::unwrap_used, reason = "a broken conversation is a broken test")]

use livedraft::client::{FollowError, Follower, Received, Took};
use livedraft::event::{Entry, Epoch, Event, Fold, PatchWriter, Position};
use livedraft::job::{JobId, JobState, Reason};
use livedraft::partial::{OpSink, Value, parse};
use livedraft::wire::{Deliver, Form, ServerMessage, Unseen, snapshot_parts};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

const JOB: &str = "0193a4c6-7d1e-7000-8000-000000000001";
const E1: &str = "00000000000000e1";
const E2: &str = "00000000000000e2";

fn job() -> JobId {
    JOB.parse().unwrap()
}

fn tag() -> String {
    job().tag().to_string()
}

fn message(text: impl Into<String>) -> Received {
    Received::read(text).unwrap()
}

fn accepted() -> Received {
    let tag = tag();
    message(format!(
        r#"{{"type":"job.accepted","ref":"a","job_id":"{JOB}","tag":"{tag}","epoch":"{E1}","seq":1,"ahead":0}}"#
    ))
}

fn attached(resumed: bool) -> Received {
    let tag = tag();
    message(format!(
        r#"{{"type":"job.attached","ref":"b","job_id":"{JOB}","tag":"{tag}","resumed":{resumed}}}"#
    ))
}

fn status(epoch: &str, seq: u64, status: &str) -> Received {
    message(format!(
        r#"{{"type":"job.status","job_id":"{JOB}","epoch":"{epoch}","seq":{seq},"status":"{status}"}}"#
    ))
}

fn attempt(seq: u64, n: u32, reason: &str, reset: bool) -> Received {
    let errors = if n > 1 {
        r#","errors":[{"path":"/age","keyword":"type","message":"must be an integer"}]"#
    } else {
        ""
    };
    message(format!(
        r#"{{"type":"job.attempt","job_id":"{JOB}","epoch":"{E2}","seq":{seq},"attempt":{n},"reason":"{reason}","reset":{reset}{errors}}}"#
    ))
}

fn patched(seq: u64, ops: &str) -> Received {
    let tag = tag();
    message(format!(r#"{{"j":"{tag}","s":{seq},"o":{ops}}}"#))
}

fn snapshot(epoch: &str, seq: u64, value: &str, cursor: &str) -> Received {
    message(format!(
        r#"{{"type":"job.snapshot","job_id":"{JOB}","epoch":"{epoch}","seq":{seq},"status":"running","attempt":1,"attempts":[{{"n":1,"reason":"first"}}],"value":{value},"cursor":"{cursor}","at":["{cursor}"]}}"#
    ))
}

fn end(seq: u64, kind: &str, rest: &str) -> Received {
    message(format!(
        r#"{{"type":"job.{kind}","job_id":"{JOB}","epoch":"{E2}","seq":{seq},"attempt":1,"usage":{{"input_tokens":1,"output_tokens":2}},"attempts":[],"timings":{{"total_ms":5}}{rest}}}"#
    ))
}

fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn follow(messages: &[Received]) -> Follower {
    let mut follower = Follower::unbound(Deliver::default());
    for received in messages {
        follower.take(received).unwrap();
    }
    follower
}

fn begun() -> Vec<Received> {
    vec![
        accepted(),
        status(E2, 2, "running"),
        attempt(3, 1, "first", true),
        patched(4, r#"[["",{},0],["/name","",0],["Ad"]]"#),
    ]
}

fn json(follower: &Follower) -> String {
    follower.value().map(Value::to_json).unwrap_or_default()
}

fn at(epoch: &str, seq: u64) -> Position {
    Position {
        epoch: epoch.parse().unwrap(),
        seq,
    }
}

#[test]
fn a_job_is_folded_from_its_acceptance_to_its_end() {
    let mut messages = begun();
    messages.push(patched(5, r#"[["a"],["/age",36,0]]"#));
    let value = r#"{"name":"Ada","age":36}"#;
    messages.push(end(6, "completed", &format!(r#","sha256":"{}""#, sha256(value))));
    let follower = follow(&messages);
    assert_eq!(json(&follower), value);
    assert_eq!(follower.position(), Some(at(E2, 6)));
    assert_eq!(follower.fold().unwrap().status, JobState::Completed);
    let tally = follower.tally();
    assert_eq!(
        (tally.frames, tally.lost, tally.duplicated, tally.snapshots),
        (6, 0, 0, 0)
    );
    assert_eq!(
        tally.bytes,
        messages.iter().map(|one| one.text.len() as u64).sum::<u64>()
    );
    assert_eq!((tally.first, tally.last), (Some(at(E1, 1)), Some(at(E2, 6))));
}

#[test]
fn messages_of_other_jobs_are_not_its_own() {
    let mut follower = follow(&begun());
    for text in [
        r#"{"j":"zzzzzz","s":5,"o":[["x"]]}"#,
        r#"{"type":"job.patch","job_id":"0193a4c6-7d1e-7000-8000-00000000000f","seq":5,"ops":[["x"]]}"#,
        r#"{"type":"pong"}"#,
    ] {
        assert_eq!(follower.take(&message(text)).unwrap(), Took::Foreign);
    }
    assert_eq!(json(&follower), r#"{"name":"Ad"}"#);
    assert_eq!(follower.tally().frames, 4);
}

#[test]
fn the_long_form_of_a_patch_is_the_same_patch() {
    let mut follower = follow(&begun());
    let long = format!(r#"{{"type":"job.patch","job_id":"{JOB}","seq":5,"ops":[["a"]],"at":["/name"]}}"#);
    assert_eq!(follower.take(&message(long)).unwrap(), Took::Changed);
    assert_eq!(json(&follower), r#"{"name":"Ada"}"#);
    assert_eq!(follower.fold().unwrap().at, ["/name"]);
}

#[test]
fn gaps_in_seq_mean_nothing() {
    let mut follower = follow(&begun());
    follower.take(&patched(40, r#"[["a"]]"#)).unwrap();
    assert_eq!(json(&follower), r#"{"name":"Ada"}"#);
    assert_eq!((follower.tally().lost, follower.tally().duplicated), (0, 0));
}

#[test]
fn what_came_already_is_counted_and_not_applied() {
    let mut follower = follow(&begun());
    assert_eq!(
        follower.take(&patched(4, r#"[["/name","again"]]"#)).unwrap(),
        Took::Skipped
    );
    assert_eq!((follower.tally().lost, follower.tally().duplicated), (0, 1));
    assert_eq!(follower.take(&status(E1, 3, "waiting")).unwrap(), Took::Skipped);
    assert_eq!((follower.tally().lost, follower.tally().duplicated), (1, 1));
    assert_eq!(json(&follower), r#"{"name":"Ad"}"#);
}

#[test]
fn a_reset_empties_the_draft_and_a_continuation_does_not() {
    let mut kept = follow(&begun());
    kept.take(&attempt(5, 2, "truncated", false)).unwrap();
    assert_eq!(json(&kept), r#"{"name":"Ad"}"#);
    let mut emptied = follow(&begun());
    emptied.take(&attempt(5, 2, "invalid", true)).unwrap();
    assert_eq!(emptied.value(), None);
    let fold = emptied.fold().unwrap();
    assert_eq!((fold.attempt, fold.attempts.len(), &fold.cursor), (2, 2, &None));
    assert_eq!(fold.attempts[1].reason, Reason::Invalid);
    assert_eq!(fold.attempts[1].errors[0].path, "/age");
}

#[test]
fn a_change_that_does_not_fit_asks_for_a_snapshot() {
    let mut follower = follow(&begun());
    let error = follower.take(&patched(5, r#"[["/nowhere","x"]]"#)).unwrap_err();
    assert!(error.heals(), "{error}");
    assert_eq!((follower.tally().lost, follower.position()), (1, None));
    // Until then nothing is folded onto a state that is known to be false.
    assert_eq!(follower.take(&patched(6, r#"[["x"]]"#)).unwrap(), Took::Skipped);
    follower.take(&attached(false)).unwrap();
    let healed = snapshot(E2, 7, r#"{"name":"Ada L"}"#, "/name");
    assert_eq!(follower.take(&healed).unwrap(), Took::Replaced);
    follower.take(&patched(8, r#"[["ovelace"]]"#)).unwrap();
    assert_eq!(json(&follower), r#"{"name":"Ada Lovelace"}"#);
    assert_eq!((follower.tally().lost, follower.tally().snapshots), (1, 1));
}

#[test]
fn a_tail_goes_on_from_the_position_held() {
    let mut follower = follow(&begun());
    assert_eq!(
        follower.take(&attached(true)).unwrap(),
        Took::Bound { resumed: true }
    );
    assert_eq!(follower.position(), Some(at(E2, 4)));
    // The cursor is part of what was held.
    follower.take(&patched(5, r#"[["a"]]"#)).unwrap();
    assert_eq!(json(&follower), r#"{"name":"Ada"}"#);
    let tally = follower.tally();
    assert_eq!((tally.resumed, tally.lost, tally.duplicated), (1, 0, 0));
}

#[test]
fn a_snapshot_of_another_epoch_may_step_back() {
    let mut follower = follow(&begun());
    follower.take(&attached(false)).unwrap();
    follower
        .take(&snapshot("00000000000000e3", 3, r#"{"name":"A"}"#, "/name"))
        .unwrap();
    assert_eq!(follower.position(), Some(at("00000000000000e3", 3)));
    assert_eq!(follower.tally().lost, 0);
    // On one socket and one line it may not.
    follower
        .take(&snapshot("00000000000000e3", 2, r#"{"name":""}"#, "/name"))
        .unwrap();
    assert_eq!(follower.tally().lost, 1);
}

fn parts(value: &str, bytes: usize) -> Vec<Received> {
    let mut fold = Fold::submitted(at(E2, 9));
    fold.value = Some(parse(value).unwrap());
    fold.cursor = Some("/name".to_owned());
    let parts = snapshot_parts(job(), &fold, fold.value.as_ref(), bytes);
    let text = |part| ServerMessage::Snapshot(Box::new(part)).encode().unwrap();
    parts.into_iter().map(|part| message(text(part))).collect()
}

#[test]
fn a_snapshot_in_parts_replaces_once_it_is_whole() {
    let value = r#"{"name":"Ada — ∑ of parts","age":36}"#;
    let parts = parts(value, 8);
    assert!(parts.len() > 3);
    let mut follower = Follower::of(JOB, Deliver::default());
    follower.take(&attached(false)).unwrap();
    for part in &parts[..parts.len() - 1] {
        assert_eq!(follower.take(part).unwrap(), Took::Part);
        assert_eq!(follower.position(), None);
    }
    assert_eq!(follower.take(&parts[parts.len() - 1]).unwrap(), Took::Replaced);
    assert_eq!(json(&follower), value);
    assert_eq!(follower.tally().snapshots, 1);
}

#[test]
fn parts_begin_anew_and_must_follow_one_another() {
    let parts = parts(r#"{"name":"Ada Lovelace"}"#, 8);
    let mut follower = Follower::of(JOB, Deliver::default());
    follower.take(&attached(false)).unwrap();
    follower.take(&parts[0]).unwrap();
    follower.take(&parts[0]).unwrap();
    let error = follower.take(&parts[2]).unwrap_err();
    assert!(matches!(error, FollowError::Parts(_)) && error.heals());
    for part in &parts {
        follower.take(part).unwrap();
    }
    assert_eq!(json(&follower), r#"{"name":"Ada Lovelace"}"#);
}

#[test]
fn a_false_end_is_an_error() {
    for rest in [
        format!(r#","sha256":"{}""#, sha256(r#"{"name":"Adam"}"#)),
        r#","value":{"name":"Adam"}"#.to_owned(),
    ] {
        let mut follower = follow(&begun());
        let error = follower.take(&end(5, "completed", &rest)).unwrap_err();
        assert!(matches!(error, FollowError::Mismatch { .. }), "{error}");
        assert!(!error.heals());
    }
    let true_value = format!(
        r#","value":{{"name":"Ad"}},"sha256":"{}""#,
        sha256(r#"{"name":"Ad"}"#)
    );
    let mut follower = follow(&begun());
    assert_eq!(
        follower.take(&end(5, "completed", &true_value)).unwrap(),
        Took::Ended
    );
}

#[test]
fn an_end_without_a_value_keeps_what_was_reached() {
    let mut follower = follow(&begun());
    let error = r#","error":{"code":"cancelled","message":"asked for"}"#;
    follower.take(&end(5, "cancelled", error)).unwrap();
    assert_eq!(json(&follower), r#"{"name":"Ad"}"#);
    assert_eq!(follower.fold().unwrap().status, JobState::Cancelled);
    assert_eq!(follower.end().unwrap().error.as_ref().unwrap().code, "cancelled");
}

#[test]
fn an_end_told_again_is_no_second_end() {
    let mut follower = follow(&begun());
    follower.take(&end(5, "completed", "")).unwrap();
    follower.take(&attached(true)).unwrap();
    assert_eq!(follower.take(&end(5, "completed", "")).unwrap(), Took::Skipped);
    assert_eq!((follower.tally().lost, follower.tally().duplicated), (0, 0));
}

#[test]
fn other_forms_take_the_value_of_the_end() {
    let looks = [
        Deliver {
            form: Form::Final,
            ..Deliver::default()
        },
        Deliver {
            unseen: Unseen::Null,
            ..Deliver::default()
        },
    ];
    for deliver in looks {
        let mut follower = Follower::of(JOB, deliver);
        follower.take(&attached(false)).unwrap();
        follower
            .take(&end(5, "completed", r#","value":{"name":"Ada","age":null}"#))
            .unwrap();
        assert_eq!(json(&follower), r#"{"name":"Ada","age":null}"#);
    }
}

/// A log: strings that grow, members that come, an attempt in between that may empty the draft.
#[derive(Clone, Debug)]
enum Step {
    Grow(String),
    Number(u32),
    Begin(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => "[a-zé\"\\\\😀]{1,6}".prop_map(Step::Grow),
        2 => any::<u32>().prop_map(Step::Number),
        1 => any::<bool>().prop_map(Step::Begin),
    ]
}

/// Plays the steps as a worker writes them: frames with the cursor, entries with their seq.
fn log_of(steps: &[Step]) -> Vec<Entry> {
    let position = |seq| Position {
        epoch: Epoch::new(0xe2),
        seq,
    };
    let mut patches = PatchWriter::new(job().tag(), None);
    let mut empty = true;
    let mut members = 0;
    let mut attempts = 0;
    let mut entries = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let encoder = patches.begin(index as u64 + 2);
        if empty && !matches!(step, Step::Begin(_)) {
            encoder.set("", &parse("{\"text\":\"\"}").unwrap());
            empty = false;
        }
        match step {
            Step::Begin(_) => encoder.forget_cursor(),
            Step::Grow(text) => encoder.append("/text", text),
            Step::Number(n) => {
                members += 1;
                encoder.set(&format!("/n{members}"), &parse(&n.to_string()).unwrap());
            }
        }
        let event = match step {
            Step::Begin(reset) => {
                attempts += 1;
                empty |= reset;
                let begins = format!(r#"{{"attempt":{attempts},"reason":"provider","reset":{reset}}}"#);
                Event::Attempt(serde_json::from_str(&begins).unwrap())
            }
            Step::Grow(_) | Step::Number(_) => Event::Patch(patches.end(Some(&["/text".to_owned()])).into()),
        };
        let entry = Entry {
            position: position(index as u64 + 2),
            opens: None,
            event,
        };
        entries.push(entry);
    }
    entries
}

fn told(entry: &Entry) -> Received {
    match &entry.event {
        Event::Patch(frame) => message(&**frame),
        Event::Attempt(begins) => {
            let Position { epoch, seq } = entry.position;
            let body = serde_json::to_string(begins).unwrap();
            message(format!(
                r#"{{"type":"job.attempt","job_id":"{JOB}","epoch":"{epoch}","seq":{seq},{}"#,
                &body[1..]
            ))
        }
        other => panic!("no such step: {other:?}"),
    }
}

fn state_at(entries: &[Entry]) -> Fold {
    let mut fold = Fold::submitted(Position {
        epoch: Epoch::new(0xe2),
        seq: 1,
    });
    for entry in entries {
        fold.apply(entry).unwrap();
    }
    fold
}

proptest! {
    /// A snapshot anywhere, in parts of any size, and the tail behind it: the same state as the whole log gives.
    #[test]
    fn any_snapshot_and_its_tail_fold_to_the_same(
        steps in proptest::collection::vec(step(), 1..30),
        cut in any::<proptest::sample::Index>(),
        bytes in 4_usize..200,
    ) {
        let log = log_of(&steps);
        let whole = state_at(&log);
        let cut = cut.index(log.len() + 1);
        let held = state_at(&log[..cut]);
        let mut follower = Follower::of(JOB, Deliver::default());
        follower.take(&attached(false)).unwrap();
        for part in snapshot_parts(job(), &held, held.value.as_ref(), bytes) {
            let text = ServerMessage::Snapshot(Box::new(part)).encode().unwrap();
            follower.take(&message(text)).unwrap();
        }
        for entry in &log[cut..] {
            follower.take(&told(entry)).unwrap();
        }
        prop_assert_eq!(follower.fold(), Some(&whole));
        prop_assert_eq!((follower.tally().lost, follower.tally().duplicated), (0, 0));
    }

    /// A socket lost anywhere, a tail that begins anywhere at or below what was held: nothing is applied twice.
    #[test]
    fn an_overlapping_tail_changes_nothing(
        steps in proptest::collection::vec(step(), 1..30),
        cut in any::<proptest::sample::Index>(),
        overlap in 0_usize..4,
    ) {
        let log = log_of(&steps);
        let cut = cut.index(log.len() + 1);
        let mut follower = Follower::of(JOB, Deliver::default());
        follower.take(&attached(false)).unwrap();
        let start = state_at(&[]);
        for part in snapshot_parts(job(), &start, None, 100) {
            let text = ServerMessage::Snapshot(Box::new(part)).encode().unwrap();
            follower.take(&message(text)).unwrap();
        }
        for entry in &log[..cut] {
            follower.take(&told(entry)).unwrap();
        }
        follower.take(&attached(true)).unwrap();
        let again = cut.saturating_sub(overlap);
        for entry in &log[again..] {
            follower.take(&told(entry)).unwrap();
        }
        prop_assert_eq!(follower.fold(), Some(&state_at(&log)));
        let told_again = follower.tally().lost + follower.tally().duplicated;
        prop_assert_eq!(told_again, (cut - again) as u64);
    }
}
