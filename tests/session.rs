//! The session alone, sans-IO: what comes out for what goes in.

use livedraft::clock;
use livedraft::event::{Epoch, Position};
use livedraft::job::JobId;
use livedraft::session::{Accepted, Ask, Input, Output, Session, SessionOptions, Watched};
use livedraft::wire::{Deliver, Limits, ServerMessage};
use serde_json::json;

fn session() -> Session {
    let options = SessionOptions {
        connection_id: "one".to_owned(),
        limits: Limits::default(),
        heartbeat_ms: 20_000,
        models: vec!["scripted".to_owned()],
    };
    Session::new(options, 0)
}

fn position(seq: u64) -> Position {
    Position {
        epoch: Epoch::new(7),
        seq,
    }
}

/// Attaches from a position; what the world is asked to go on from.
fn attach(session: &mut Session, job: JobId, seq: u64) -> Option<Position> {
    let position = json!({"epoch": position(seq).epoch, "seq": seq});
    let message = json!({"type": "job.attach", "ref": "r", "job_id": job.to_string(), "position": position});
    match session.handle(Input::Text(message.to_string()), 0).remove(0) {
        Output::Ask(Ask::Watch { held, .. }) => held,
        other => panic!("a viewer is asked for, not {other:?}"),
    }
}

/// The world's answer to an attach; whether the viewer begins anew, and what the client is told of it.
fn answer(session: &mut Session, job: JobId, resumed: bool) -> (bool, bool) {
    let outputs = session.handle(
        Input::Watched {
            reference: Some("r".to_owned()),
            job,
            answer: Ok(Watched { resumed }),
        },
        0,
    );
    let [
        Output::Send(ServerMessage::Attached(attached)),
        Output::Begin { anew, .. },
    ] = &outputs[..]
    else {
        panic!("attached, then it begins: {outputs:?}");
    };
    (*anew, attached.resumed)
}

fn job() -> JobId {
    JobId::new(clock::job_uuid())
}

#[test]
fn a_first_attach_goes_on_from_its_position() {
    let (mut session, job) = (session(), job());
    assert_eq!(attach(&mut session, job, 5), Some(position(5)));
    assert_eq!(answer(&mut session, job, true), (false, true));
}

#[test]
fn of_two_attaches_under_way_only_one_may_resume() {
    let (mut session, job) = (session(), job());
    assert_eq!(attach(&mut session, job, 5), Some(position(5)));
    assert_eq!(attach(&mut session, job, 2), None, "seq would fall");
    // The answers may come in any order: the second is the first here, and tells a snapshot.
    assert_eq!(answer(&mut session, job, false), (false, false));
    assert_eq!(
        answer(&mut session, job, true),
        (true, false),
        "the snapshot stands at a later seq than the tail behind 5"
    );
}

#[test]
fn an_attach_overtaken_by_an_end_begins_anew() {
    let (mut session, job) = (session(), job());
    attach(&mut session, job, 5);
    attach(&mut session, job, 5);
    answer(&mut session, job, false);
    session.handle(Input::Over(job), 0);
    assert_eq!(answer(&mut session, job, true), (true, false));
}

#[test]
fn an_attach_overtaken_by_a_create_of_the_same_job_begins_anew() {
    let (mut session, job) = (session(), job());
    attach(&mut session, job, 5);
    let accepted = Accepted {
        job,
        position: position(9),
        ahead: 0,
        existing: true,
    };
    session.handle(
        Input::Submitted {
            reference: None,
            deliver: Deliver::default(),
            answer: Ok(accepted),
        },
        0,
    );
    assert_eq!(answer(&mut session, job, true), (true, false));
}

#[test]
fn a_detached_job_is_resumed_as_if_it_had_never_been_watched() {
    let (mut session, job) = (session(), job());
    attach(&mut session, job, 5);
    answer(&mut session, job, true);
    let detach = json!({"type": "job.detach", "job_id": job.to_string()});
    session.handle(Input::Text(detach.to_string()), 0);
    assert_eq!(attach(&mut session, job, 7), Some(position(7)));
    assert_eq!(answer(&mut session, job, true), (false, true));
}

#[test]
fn a_reference_over_its_limit_does_not_come_back() {
    let told = |bytes: usize| {
        let message = json!({"type": "no such type", "ref": "r".repeat(bytes)});
        match session().handle(Input::Text(message.to_string()), 0).remove(0) {
            Output::Send(ServerMessage::Error(error)) => error.reference.map(|reference| reference.len()),
            other => panic!("an error, not {other:?}"),
        }
    };
    let limit = Limits::default().ref_bytes_max as usize;
    assert_eq!(told(limit), Some(limit));
    assert_eq!(told(limit + 1), None);
}

#[test]
fn a_key_over_its_limit_is_refused_under_the_reference_of_its_message() {
    let request = json!({"model": "scripted", "input": "x", "schema": true});
    let key = "k".repeat(Limits::default().idempotency_key_bytes_max as usize + 1);
    let message = json!({"type": "job.create", "ref": "r", "idempotency_key": key, "request": request});
    match session().handle(Input::Text(message.to_string()), 0).remove(0) {
        Output::Send(ServerMessage::Error(error)) => {
            assert_eq!(error.reference.as_deref(), Some("r"));
            assert_eq!(error.path.as_deref(), Some("/idempotency_key"));
        }
        other => panic!("an error, not {other:?}"),
    }
}
