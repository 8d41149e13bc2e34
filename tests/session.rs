//! The session alone, sans-IO: what comes out for what goes in.

use std::sync::Arc;

use livedraft::access::{Access, NewKey, Scope, Scopes};
use livedraft::clock;
use livedraft::event::{Epoch, Position};
use livedraft::job::JobId;
use livedraft::session::{Accepted, Ask, Input, Output, Session, SessionOptions, Watched};
use livedraft::wire::{Close, Deliver, ErrorMessage, Limits, ServerMessage};
use serde_json::json;

fn session() -> Session {
    session_of(Access::new(&[], "default").expect("no keys"))
}

/// A session of one who showed nothing.
fn session_of(access: Access) -> Session {
    let options = SessionOptions {
        connection_id: "one".to_owned(),
        limits: Limits::default(),
        heartbeat_ms: 20_000,
        models: vec!["scripted".to_owned()],
        who: access.anyone(),
        access: Arc::new(access),
        auth_timeout_ms: 10_000,
        attaches_per_second_max: 32,
        control_frames_per_second_max: 50,
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
        durable: true,
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

fn key(id: &str, scopes: Scopes) -> NewKey {
    NewKey::make(id, "acme", scopes, [1; 32]).expect("a key")
}

/// What a message is answered with: types, codes of errors, and the number of a close.
fn told(session: &mut Session, input: Input, now_ms: u64) -> Vec<String> {
    let told = session
        .handle(input, now_ms)
        .into_iter()
        .map(|output| match output {
            Output::Send(ServerMessage::Error(error)) => error.code,
            Output::Send(ServerMessage::Welcome(_)) => "welcome".to_owned(),
            Output::Send(ServerMessage::Pong) => "pong".to_owned(),
            Output::Ask(_) => "asked".to_owned(),
            Output::Close(close) => close.number().to_string(),
            other => panic!("{other:?}"),
        });
    told.collect()
}

fn text(message: &serde_json::Value) -> Input {
    Input::Text(message.to_string())
}

fn auth(key: &NewKey) -> Input {
    text(&json!({"type": "auth", "token": key.token.reveal()}))
}

#[test]
fn one_who_is_not_known_says_who_it_is_before_anything_else() {
    let (one, two) = (key("one", Scopes::default()), key("two", Scopes::default()));
    let access = || Access::new(&[one.entry.clone(), two.entry.clone()], "unused").unwrap();
    let mut session = session_of(access());
    assert!(told(&mut session, Input::Opened, 0).is_empty());
    assert_eq!(session.deadline_ms(), 10_000);
    assert_eq!(told(&mut session, auth(&one), 0), ["welcome"]);
    assert_eq!(told(&mut session, text(&json!({"type": "ping"})), 0), ["pong"]);
    assert_eq!(session.deadline_ms(), 20_000, "only the heartbeat is left");
    assert!(told(&mut session, auth(&one), 0).is_empty(), "the same key again");
    assert_eq!(told(&mut session, auth(&two), 0), ["forbidden"]);
    let wrong = text(&json!({"type": "auth", "token": "ld_one_secret"}));
    assert_eq!(told(&mut session, wrong, 0), ["unauthorized", "4401"]);

    let long = json!({"type": "auth", "token": "x".repeat(5_000)});
    for first in [
        text(&json!({"type": "ping"})),
        text(&json!({"type": "auth", "token": "ld_three_secret"})),
        text(&json!({"type": "auth"})),
        text(&long),
        Input::Text("nonsense".to_owned()),
        Input::Binary,
    ] {
        let mut session = session_of(access());
        let shown = format!("{first:?}");
        assert_eq!(told(&mut session, first, 0), ["unauthorized", "4401"], "{shown}");
    }
    let mut session = session_of(access());
    assert!(told(&mut session, Input::Control, 5_000).is_empty());
    assert!(told(&mut session, Input::Tick, 9_999).is_empty());
    assert_eq!(told(&mut session, Input::Tick, 10_000), ["unauthorized", "4401"]);
}

#[test]
fn a_session_ends_with_its_key() {
    let mut one = key("one", Scopes::default());
    one.entry.expires = Some("1970-01-01T00:00:05Z".parse().unwrap());
    let access = || Access::new(std::slice::from_ref(&one.entry), "unused").unwrap();
    let mut late = session_of(access());
    assert_eq!(told(&mut late, auth(&one), 5_000), ["unauthorized", "4401"]);
    for last in [
        Input::Tick,
        text(&json!({"type": "ping"})),
        Input::Control,
        auth(&one),
    ] {
        let mut session = session_of(access());
        assert_eq!(told(&mut session, auth(&one), 0), ["welcome"]);
        assert_eq!(session.deadline_ms(), 5_000, "before the heartbeat's");
        assert_eq!(
            told(&mut session, text(&json!({"type": "ping"})), 4_999),
            ["pong"]
        );
        assert_eq!(told(&mut session, last, 5_000), ["unauthorized", "4401"]);
    }
}

#[test]
fn a_key_does_what_its_scopes_say() {
    let job = job().to_string();
    let request = json!({"model": "scripted", "input": "x", "schema": {}});
    let verbs = [
        (
            json!({"type": "job.create", "request": request}),
            vec![Scope::Submit, Scope::Read],
        ),
        (json!({"type": "job.attach", "job_id": job}), vec![Scope::Read]),
        (json!({"type": "job.detach", "job_id": job}), vec![Scope::Read]),
        (json!({"type": "job.get", "job_id": job}), vec![Scope::Read]),
        (json!({"type": "job.cancel", "job_id": job}), vec![Scope::Cancel]),
        (json!({"type": "ping"}), vec![]),
    ];
    // Every set of scopes there is, but the empty one.
    for set in 1..16_u8 {
        let chosen = (0..).zip(Scope::ALL).filter(|(bit, _)| set >> bit & 1 == 1);
        let scopes: Scopes = chosen.map(|(_, scope)| scope).collect();
        let one = key("one", scopes);
        let mut session = session_of(Access::new(std::slice::from_ref(&one.entry), "unused").unwrap());
        told(&mut session, auth(&one), 0);
        for (message, needed) in &verbs {
            let answer = told(&mut session, text(message), 0);
            let may = needed.iter().all(|scope| scopes.has(*scope));
            assert_eq!(answer == ["forbidden"], !may, "{scopes:?} {message} {answer:?}");
        }
    }
}

#[test]
fn attaches_and_control_frames_are_paced() {
    let mut session = session();
    let attach = || text(&json!({"type": "job.attach", "job_id": "no id"}));
    // By their own pace and not by that of all messages, which is higher.
    let first: Vec<_> = (0..65)
        .map(|_| told(&mut session, attach(), 0).remove(0))
        .collect();
    assert!(first[..64].iter().all(|code| code == "not_found"));
    assert_eq!(first[64], "rate_limited");
    assert_eq!(told(&mut session, attach(), 1_000), ["not_found"]);
    assert!((0..100).all(|_| told(&mut session, Input::Control, 2_000).is_empty()));
    assert_eq!(told(&mut session, Input::Control, 2_000), ["1008"]);
    assert_eq!(Close::Flood.number(), 1008);
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

#[test]
fn what_is_under_way_counts_among_what_a_socket_watches() {
    let access = Access::new(&[], "default").expect("no keys");
    let mut session = Session::new(
        SessionOptions {
            connection_id: "one".to_owned(),
            limits: Limits {
                viewers_max: 2,
                ..Limits::default()
            },
            heartbeat_ms: 20_000,
            models: Vec::new(),
            who: access.anyone(),
            access: Arc::new(access),
            auth_timeout_ms: 10_000,
            attaches_per_second_max: 32,
            control_frames_per_second_max: 50,
        },
        0,
    );
    let create = || {
        let request = json!({"model": "scripted", "schema": {}, "input": "x"});
        Input::Text(json!({"type": "job.create", "request": request}).to_string())
    };
    let attach =
        |job: JobId| Input::Text(json!({"type": "job.attach", "job_id": job.to_string()}).to_string());
    let is_asked = |outputs: Vec<Output>| match &outputs[..] {
        [Output::Ask(_)] => true,
        [Output::Send(ServerMessage::Error(error))] if error.code == "too_many_viewers" => false,
        other => panic!("{other:?}"),
    };
    let [job, other] = [(); 2].map(|()| JobId::new(clock::job_uuid()));
    assert!(is_asked(session.handle(create(), 0)));
    assert!(is_asked(session.handle(attach(job), 0)));
    // Two are under way. The same job again is no third; any other is.
    assert!(is_asked(session.handle(attach(job), 0)));
    assert!(!is_asked(session.handle(create(), 0)));
    assert!(!is_asked(session.handle(attach(other), 0)));
    // A submission that is refused gives its place back.
    let refused = session.handle(
        Input::Submitted {
            reference: None,
            deliver: Deliver::default(),
            answer: Err(refusal()),
        },
        0,
    );
    assert_eq!(refused.len(), 1);
    assert!(is_asked(session.handle(attach(other), 0)));
    assert!(!is_asked(session.handle(create(), 0)));
}

fn refusal() -> Box<ErrorMessage> {
    Box::new(ErrorMessage {
        reference: None,
        job_id: None,
        code: "queue_full".to_owned(),
        message: "as many jobs wait as may".to_owned(),
        path: None,
        retry_after_ms: None,
    })
}
