//! What meets an answer that goes on from another: faults of the call that asks for it, workers that die within it, answers
//! that are none. What stands is not thrown away, and nothing goes round for ever.

use std::time::Duration;

use livedraft::clock;
use livedraft::event::Event;
use livedraft::job::{JobState, Outcome, Reason};
use livedraft::llm::{BreakerOptions, ChainOptions, Prefill, PrefillChoice, ProvidersOptions, RemoteOptions};
use livedraft::worker::WorkerOptions;
use serde_json::{Value as Json, json};

use crate::ladder::{
    WHOLE, act, asked, code, person, pieces, remote, request, streamed, the_rest, undisturbed,
};
use crate::llm_openai::server::{Act, Seen, Server, answer, options};
use crate::splice::{House, Job, says};

/// What the provider does with one call.
#[derive(Clone)]
enum Say {
    This(Act),
    /// What is asked for, of [`WHOLE`].
    Asked,
}

impl From<Act> for Say {
    fn from(act: Act) -> Self {
        Self::This(act)
    }
}

/// A provider that says these, one a call, the last for ever.
async fn saying(says: Vec<Say>) -> Server {
    Server::playing(move |number, asked| match &says[number.min(says.len() - 1)] {
        Say::This(act) => act.clone(),
        Say::Asked => {
            let text = the_rest(asked).unwrap_or_else(|| WHOLE.to_owned());
            match asked["tools"][0]["function"]["name"].as_str() {
                None => act(streamed(&text, "stop").as_bytes()),
                Some(tool) => calling(tool, &text),
            }
        }
    })
    .await
}

fn calling(tool: &str, arguments: &str) -> Act {
    let call = json!({ "index": 0, "id": "c", "function": { "name": tool, "arguments": arguments } });
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] });
    let stop = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
    act(format!("data: {chunk}\n\ndata: {stop}\n\ndata: [DONE]\n\n").as_bytes())
}

/// Less than the whole, cut within a string.
fn beginning() -> &'static str {
    &WHOLE[..WHOLE.find("don").expect("London")]
}

/// An answer that is cut behind this.
fn cut(text: &str) -> Act {
    act(pieces(text).as_bytes())
}

/// The same, and then nothing more for ever.
fn held(text: &str) -> Act {
    Act {
        hold: true,
        ..cut(text)
    }
}

/// The provider never answers.
fn silent() -> Act {
    Act {
        pieces: Vec::new(),
        hold: true,
    }
}

/// An error behind this text.
fn failing(text: &str, error: &Json) -> Act {
    act(format!("{}data: {}\n\n", pieces(text), json!({ "error": error })).as_bytes())
}

fn whole() -> Json {
    serde_json::from_str(WHOLE).expect("JSON")
}

/// Hears a job to its end: how its attempts began, and what it waited for.
async fn story(job: &mut Job<'_>) -> (livedraft::event::End, Vec<(Reason, bool)>, Vec<String>) {
    let mut waits = Vec::new();
    let end = loop {
        let entry = job.next().await;
        match &entry.event {
            Event::Status(change) if change.status == JobState::Waiting => {
                waits.push(change.reason.clone().unwrap_or_default().to_string());
            }
            Event::End(end) => break (**end).clone(),
            _ => {}
        }
    };
    let begun = job.begun.iter().map(|begins| (begins.reason, begins.reset));
    (end, begun.collect(), waits)
}

/// A call for the rest that is not answered is made again, handed on or put back like any other, and asks for the rest.
#[tokio::test(start_paused = true)]
async fn a_call_for_the_rest_that_fails_is_no_reason_to_begin_anew() {
    let refused = r#"{"error":{"message":"Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.","type":"invalid_request_error","param":"response_format","code":null}}"#;
    let closed = Act {
        pieces: Vec::new(),
        hold: false,
    };
    for (fault, waits) in [
        (answer("503 Busy", "", ""), &[][..]),
        (answer("503 Busy", "retry-after: 60\r\n", ""), &["overloaded"]),
        (
            answer("429 Too Many Requests", "retry-after: 1\r\n", ""),
            &["rate_limited"],
        ),
        (
            answer("400 Bad Request", "content-type: application/json\r\n", refused),
            &[],
        ),
        (closed, &[]),
    ] {
        for (broke, reason) in [("length", Reason::Truncated), ("cut", Reason::Provider)] {
            let half = match broke {
                "cut" => cut(beginning()),
                _ => act(streamed(beginning(), broke).as_bytes()),
            };
            let server = saying(vec![half.into(), fault.clone().into(), Say::Asked]).await;
            let house = remote(&server, PrefillChoice::Never);
            let mode = if fault.pieces.concat().starts_with(b"HTTP/1.1 400") {
                "auto"
            } else {
                "json_schema"
            };
            let mut job = house.submit(asked(mode)).await;
            let (end, begun, waited) = story(&mut job).await;
            assert_eq!(end.outcome, Outcome::Completed, "{broke}: {:?}", end.error);
            assert_eq!(begun, [(Reason::First, true), (reason, false)], "{broke}");
            assert_eq!(
                (job.value(), waited.as_slice()),
                (whole(), waits_of(waits).as_slice())
            );
            assert_eq!(end.attempts.len(), 2);
        }
    }
}

fn waits_of(waits: &[&str]) -> Vec<String> {
    waits.iter().map(|&wait| wait.to_owned()).collect()
}

fn chain(servers: [&Server; 2], worker: WorkerOptions) -> House {
    let named = |(name, server): (&str, &Server)| RemoteOptions {
        name: name.to_owned(),
        ..options(&server.base)
    };
    let mut house = House::start_with(ProvidersOptions {
        scripted: false,
        remote: ["a", "b"].into_iter().zip(servers).map(named).collect(),
        chains: vec![ChainOptions {
            name: "best".to_owned(),
            models: vec!["a/m".to_owned(), "b/m".to_owned()],
        }],
        breaker: BreakerOptions {
            calls_min: u32::MAX,
            ..BreakerOptions::default()
        },
    });
    house.kill();
    house.employ(worker);
    house
}

/// The next model of a chain is asked for the rest, too.
#[tokio::test(start_paused = true)]
async fn the_next_of_a_chain_takes_over_a_call_for_the_rest() {
    let half = act(streamed(beginning(), "length").as_bytes());
    let first = saying(vec![half.into(), answer("503 Busy", "", "").into()]).await;
    let second = saying(vec![Say::Asked]).await;
    let house = chain([&first, &second], WorkerOptions::default());
    let mut request = asked("json_schema");
    request["model"] = json!("best");
    let mut job = house.submit(request).await;
    let (end, begun, _) = story(&mut job).await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert_eq!(begun, [(Reason::First, true), (Reason::Truncated, false)]);
    assert_eq!(job.value(), whole());
}

/// The next model is asked for the whole: what the conversation has said of places does not hold for it.
#[tokio::test(start_paused = true)]
async fn who_is_asked_for_the_whole_behind_a_splice_is_told_so() {
    let wrong = says(
        r#"{"name":7,"tags":["a long tag that is right","y"],"born":{"year":"1815","city":"London"},"ok":true}"#,
    );
    let first = saying(vec![wrong.into(), cut(r#"{"fix_1":"Ada","fix_2":1"#).into()]).await;
    let second = saying(vec![Say::Asked]).await;
    let worker = WorkerOptions {
        continuations_max: 0,
        ..WorkerOptions::default()
    };
    let house = chain([&first, &second], worker);
    let mut request = asked("json_schema");
    request["model"] = json!("best");
    let mut job = house.submit(request).await;
    let (end, begun, _) = story(&mut job).await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert_eq!(begun.last(), Some(&(Reason::Provider, true)));
    let (_, asked) = second.request(0);
    let last = asked["messages"].as_array().and_then(|all| all.last());
    let said = last.and_then(|last| last["content"].as_str()).expect("a text");
    assert!(said.contains("cannot be taken alone"), "{asked}");
}

/// A value that was whole and invalid where its worker died is an invalid answer, also where no places can be mended.
#[tokio::test(start_paused = true)]
async fn an_invalid_value_that_is_taken_over_is_asked_for_again() {
    let mut no_places = person();
    no_places["maxProperties"] = json!(4);
    let extra = WHOLE.replacen('{', r#"{"more":1,"#, 1);
    let bad_year = WHOLE.replace("1815", r#""1815""#);
    for (schema, wrong, places_max) in [(no_places, extra, 16), (person(), bad_year, 0)] {
        for answers in [vec![WHOLE], vec![&*wrong, WHOLE]] {
            let is_mended = answers.len() == 1;
            let mut acts: Vec<Say> = vec![says(&wrong).into(), silent().into()];
            acts.extend(answers.iter().map(|text| says(text).into()));
            let mut server = saying(acts).await;
            let mut house = remote(&server, PrefillChoice::Never);
            let worker = WorkerOptions {
                splice_places_max: places_max,
                ..WorkerOptions::default()
            };
            house.kill();
            house.employ(worker.clone());
            let mut request = asked("json_schema");
            request["schema"] = schema.clone();
            request["max_reasks"] = json!(1);
            request["limits"] = json!({ "seconds": 3_000 });
            let id = house.submit(request).await.id;
            server.saw(Seen::Request).await;
            server.saw(Seen::Request).await;
            house.kill();
            house.employ(worker);
            let mut job = house.hear(id).await;
            let (end, begun, _) = story(&mut job).await;
            assert_eq!(begun, [(Reason::Invalid, true)], "{places_max}");
            let asked = server.request(2).1["messages"].to_string();
            assert!(asked.contains("does not fit the schema"), "{asked}");
            if is_mended {
                assert_eq!((end.outcome, job.value()), (Outcome::Completed, whole()));
            } else {
                assert_eq!((end.outcome, code(&end)), (Outcome::Failed, "invalid_output"));
            }
        }
    }
}

/// What stands whole ends the job, whatever may be spent on another attempt.
#[tokio::test(start_paused = true)]
async fn a_whole_value_that_is_taken_over_needs_no_attempt() {
    let mut server = saying(vec![held(WHOLE).into()]).await;
    let mut house = remote(&server, PrefillChoice::Never);
    let mut request = asked("json_schema");
    request["limits"] = json!({ "attempts": 1 });
    let id = {
        let mut job = house.submit(request).await;
        while job.fold.value.is_none() || !job.fold.at.is_empty() {
            job.next().await;
        }
        job.id
    };
    server.saw(Seen::Request).await;
    house.kill();
    house.employ(WorkerOptions::default());
    let mut job = house.hear(id).await;
    let (end, begun, _) = story(&mut job).await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert_eq!((begun.len(), job.value()), (0, whole()));
}

/// A stream that breaks before it has said anything of the rest: what was taken back for it is no answer.
#[tokio::test(start_paused = true)]
async fn a_fault_before_the_first_word_of_the_rest_is_met_by_another_call() {
    let nothing = || act(b"");
    let prefill = PrefillChoice::Always(Prefill::ContinueFinalMessage);
    let on = || {
        let number = &WHOLE[..WHOLE.find("15,").expect("1815")];
        (cut(number), &WHOLE[number.len() - "18".len()..])
    };
    let (half, rest) = on();
    for (choice, acts) in [
        (
            PrefillChoice::Never,
            vec![cut(beginning()).into(), nothing().into(), Say::Asked],
        ),
        (prefill, vec![half.into(), nothing().into(), says(rest).into()]),
    ] {
        let server = saying(acts).await;
        let house = remote(&server, choice);
        let mut job = house.submit(asked("json_schema")).await;
        let (end, begun, _) = story(&mut job).await;
        assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
        assert_eq!(begun, [(Reason::First, true), (Reason::Provider, false)]);
        assert_eq!((job.value(), end.attempts.len()), (whole(), 2));
        // A worker that takes over now reads the text that there is.
        assert_eq!(server.requests.lock().expect("requests").len(), 3);
    }
}

/// A provider that fails within the first member of the rest is asked for it again; what stands is not given up for that.
#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_early_in_the_rest_is_asked_for_it_again() {
    let early = || cut(r#"{"rest_1":{"city":"Lond"#);
    let server = saying(vec![cut(beginning()).into(), early().into(), Say::Asked]).await;
    let house = remote(&server, PrefillChoice::Never);
    let mut job = house.submit(asked("json_schema")).await;
    let (end, begun, _) = story(&mut job).await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    let again = (Reason::Provider, false);
    assert_eq!(begun, [(Reason::First, true), again, again]);
    assert_eq!(job.value(), whole());

    // Not for ever: two that bring nothing end it, with what stands.
    let server = saying(vec![cut(beginning()).into(), early().into()]).await;
    let house = remote(&server, PrefillChoice::Never);
    let mut job = house.submit(asked("json_schema")).await;
    let (end, begun, _) = story(&mut job).await;
    assert_eq!((end.outcome, code(&end)), (Outcome::Incomplete, "provider_cut"));
    assert_eq!(begun, [(Reason::First, true), again, again]);
    assert_eq!(job.value()["name"], whole()["name"]);
}

/// Behind a fault of its provider an answer is gone on with after a wait, as it is called again before its first change.
#[tokio::test(start_paused = true)]
async fn who_has_failed_is_given_time() {
    let mut house = House::start();
    house.kill();
    house.employ(WorkerOptions {
        retry_base: Duration::from_secs(100),
        retry_wait_max: Duration::from_secs(100),
        ..WorkerOptions::default()
    });
    clock::seed(Some(3));
    for (fault, is_the_providers) in [
        (json!({ "cut_at_percent": 60 }), true),
        (json!({ "stop_by_length_at_percent": 60 }), false),
    ] {
        let mut script = fault.clone();
        script["tokens_per_second"] = json!(0);
        let whole = undisturbed(&house, &script, &json!({})).await;
        let mut job = house.submit(request(&script, &json!({}))).await;
        let began = clock::now();
        assert_eq!(job.end().await.outcome, Outcome::Completed);
        let waited = clock::now() - began > Duration::from_secs(1);
        assert_eq!((waited, job.value()), (is_the_providers, whole), "{fault}");
    }
    clock::seed(None);
}

/// A limit of rate within an answer puts the job back, and is none of the breaks that are gone on from.
#[tokio::test(start_paused = true)]
async fn a_limit_of_rate_within_an_answer_puts_the_job_back() {
    let limit = json!({ "message": "slow down", "code": "rate_limit_exceeded" });
    let limited = failing(beginning(), &limit);
    let again = failing(r#"{"rest_1":{"ci"#, &limit);
    let server = saying(vec![
        limited.into(),
        again.clone().into(),
        again.into(),
        cut(r#"{"rest_1":{"city":"London"},"#).into(),
        Say::Asked,
    ])
    .await;
    let mut house = remote(&server, PrefillChoice::Never);
    house.kill();
    house.employ(WorkerOptions {
        continuations_max: 1,
        retry_base: Duration::from_millis(1),
        ..WorkerOptions::default()
    });
    let mut job = house.submit(asked("json_schema")).await;
    let (end, begun, waits) = story(&mut job).await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert_eq!(waits, ["rate_limited"; 3]);
    assert!(begun[1..].iter().all(|begun| *begun == (Reason::Provider, false)));
    assert_eq!((begun.len(), job.value()), (5, whole()));
}

/// What was taken away as one that goes round is gone once; what came in its place is not taken away again.
#[tokio::test(start_paused = true)]
async fn what_came_in_the_place_of_a_loop_survives_a_takeover() {
    let round = format!(r#"{{"name":"Ada","tags":["x"{}"#, r#","y y""#.repeat(8_000));
    let again = held(r#"{"rest_1":{"tags":["one","two","three"#);
    let rest = says(r#"{"rest_1":["three"],"rest_2":{"born":{"year":1,"city":"L"},"ok":true}}"#);
    let server = saying(vec![says(&round).into(), again.into(), rest.into()]).await;
    let mut house = remote(&server, PrefillChoice::Never);
    let id = {
        let mut job = house.submit(asked("json_schema")).await;
        job.until(2, 0).await;
        while job.value()["tags"][2].is_null() || job.value()["tags"][0] != "one" {
            job.next().await;
        }
        job.id
    };
    house.kill();
    house.employ(WorkerOptions::default());
    let mut job = house.hear(id).await;
    let (end, begun, _) = story(&mut job).await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert_eq!(begun, [(Reason::WorkerLost, false)]);
    assert_eq!(job.value()["tags"], json!(["one", "two", "three"]));
}

/// An answer for the rest, or for places, that is no JSON is asked for once more; then the whole is.
#[tokio::test(start_paused = true)]
async fn a_rest_that_is_no_json_is_asked_for_once_more() {
    let prose = || says("I am sorry, the rest is: none");
    let server = saying(vec![cut(beginning()).into(), prose().into(), Say::Asked]).await;
    let house = remote(&server, PrefillChoice::Never);
    let mut job = house.submit(asked("json")).await;
    let (end, begun, _) = story(&mut job).await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    let first = [(Reason::First, true), (Reason::Provider, false)];
    assert_eq!(begun[..2], first);
    assert_eq!(begun[2..], [(Reason::Invalid, false)]);
    assert_eq!(job.value(), whole());
    let asked_again = server.request(2).1["messages"].to_string();
    assert!(
        asked_again.contains("I am sorry"),
        "its answer is kept: {asked_again}"
    );
    assert!(asked_again.contains("is no valid JSON"), "{asked_again}");

    let server = saying(vec![
        cut(beginning()).into(),
        prose().into(),
        prose().into(),
        Say::Asked,
    ])
    .await;
    let house = remote(&server, PrefillChoice::Never);
    let mut request = asked("json");
    request["max_reasks"] = json!(2);
    let mut job = house.submit(request.clone()).await;
    let (end, begun, _) = story(&mut job).await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert_eq!(begun[2..], [(Reason::Invalid, false), (Reason::Invalid, true)]);
    assert_eq!(job.value(), whole());

    let wrong = r#"{"name":7,"tags":["a long tag that is right","y"],"born":{"year":"1815","city":"London"},"ok":true}"#;
    let server = saying(vec![
        says(wrong).into(),
        says(r#"{"fix_1":"Ada","fix_2":oops}"#).into(),
        says(r#"{"fix_1":1815}"#).into(),
    ])
    .await;
    let house = remote(&server, PrefillChoice::Never);
    request["max_reasks"] = json!(3);
    let mut job = house.submit(request).await;
    let (end, begun, _) = story(&mut job).await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert_eq!(begun[1..], [(Reason::Invalid, false), (Reason::Invalid, false)]);
    assert_eq!(
        (&job.value()["name"], &job.begun[2].at),
        (&json!("Ada"), &vec!["/born/year".to_owned()])
    );
}

/// A list of which the end is not asked for by the schema.
fn rows() -> Json {
    json!({ "type": "object", "required": ["rows"], "properties": {
        "rows": { "type": "array", "items": { "type": "integer" } }, "end": { "type": "string" } } })
}

/// A value that broke off is not whole because it is valid: what it lacks has to be answered.
#[tokio::test(start_paused = true)]
async fn a_rest_that_has_nothing_for_what_is_missing_is_asked_for_once_more() {
    let half = || act(streamed(r#"{"rows":[1,2,3"#, "length").as_bytes());
    let whole = json!({ "rows": [1, 2, 3], "end": "." });
    let full = r#"{"rest_1":[3],"rest_2":{"end":"."}}"#;
    for (said, next) in [
        ("[]", full),
        ("3", full),
        ("null", full),
        ("{}", full),
        (r#"{"other":1}"#, full),
        (r#"{"rest_1":5}"#, full),
        (r#"{"rest_1":"text","rest_2":{}}"#, full),
        (r#"{"rest_1":5,"rest_2":{"end":"."}}"#, r#"{"rest_1":[3]}"#),
        (r#"{"rest_2":{"end":"."}}"#, r#"{"rest_1":[3]}"#),
    ] {
        let server = saying(vec![half().into(), says(said).into(), says(next).into()]).await;
        let house = remote(&server, PrefillChoice::Never);
        let mut request = asked("json_schema");
        request["schema"] = rows();
        request["max_reasks"] = json!(2);
        let mut job = house.submit(request).await;
        let (end, begun, _) = story(&mut job).await;
        assert_eq!(end.outcome, Outcome::Completed, "{said}: {:?}", end.error);
        assert_eq!(
            begun[1..],
            [(Reason::Truncated, false), (Reason::Invalid, false)],
            "{said}"
        );
        assert_eq!(job.value(), whole, "{said}");
        let told = &job.begun[2].errors[0];
        assert_eq!(
            (told.path.as_str(), told.keyword.as_str()),
            ("/rows", "unanswered"),
            "{said}"
        );
        let asked = server.request(2).1["messages"].to_string();
        assert!(asked.contains("nothing that can come there"), "{asked}");
    }

    // Who says that nothing is missing is believed; who says nothing is not, also where no re-ask is left.
    for (said, max_reasks, outcome) in [
        (r#"{"rest_1":[],"rest_2":{}}"#, 2, Outcome::Completed),
        ("{}", 0, Outcome::Failed),
    ] {
        let server = saying(vec![half().into(), says(said).into()]).await;
        let house = remote(&server, PrefillChoice::Never);
        let mut request = asked("json_schema");
        request["schema"] = rows();
        request["max_reasks"] = json!(max_reasks);
        let mut job = house.submit(request).await;
        let (end, begun, _) = story(&mut job).await;
        assert_eq!(
            (end.outcome, begun.len()),
            (outcome, 2),
            "{said}: {:?}",
            end.error
        );
        assert_eq!(job.value(), json!({ "rows": [1, 2] }));
    }
}

/// Blanks without end behind the last place are blanks behind an answer: all has come.
#[tokio::test(start_paused = true)]
async fn blanks_behind_the_last_place_cost_no_call() {
    let blanks = " ".repeat(6_000);
    let wrong = r#"{"name":7,"tags":["a long tag that is right","y"],"born":{"year":"1815","city":"London"},"ok":true}"#;
    let rest = format!(r#"{{"rest_1":{{"city":"London"}},"rest_2":{{"ok":true}}{blanks}"#);
    let fixes = format!(r#"{{"fix_1":"Ada","fix_2":1815{blanks}"#);
    for (first, second) in [(says(wrong), says(&fixes)), (cut(beginning()), says(&rest))] {
        let server = saying(vec![first.into(), second.into(), Say::Asked]).await;
        let house = remote(&server, PrefillChoice::Never);
        let mut job = house.submit(asked("json_schema")).await;
        let (end, begun, _) = story(&mut job).await;
        assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
        assert_eq!((begun.len(), end.attempts.len()), (2, 2), "{begun:?}");
    }
}

/// Places that had come when their worker died are not asked, and paid, for again.
#[tokio::test(start_paused = true)]
async fn places_that_came_before_a_takeover_are_kept() {
    let wrong = r#"{"name":7,"tags":["a long tag that is right","y"],"born":{"year":"1815","city":"London"},"ok":true}"#;
    for (said, begins) in [
        (r#"{"fix_1":"Ad"#, Some(vec!["/name", "/born/year"])),
        (r#"{"fix_1":"Ada","#, Some(vec!["/born/year"])),
        (r#"{"fix_1":"Ada","fix_2":1815}"#, None),
    ] {
        let left = match &begins {
            Some(places) if places.len() == 1 => r#"{"fix_1":1815}"#,
            _ => r#"{"fix_1":"Ada","fix_2":1815}"#,
        };
        let server = saying(vec![says(wrong).into(), held(said).into(), says(left).into()]).await;
        let mut house = remote(&server, PrefillChoice::Never);
        let id = {
            let mut job = house.submit(asked("json_schema")).await;
            job.until(2, 0).await;
            let is_there = |job: &Job<'_>| match &begins {
                None => job.value()["born"]["year"] == 1815,
                Some(_) => job.value()["name"]
                    .as_str()
                    .is_some_and(|name| said.contains(name)),
            };
            while !is_there(&job) {
                job.next().await;
            }
            job.id
        };
        house.kill();
        house.employ(WorkerOptions::default());
        let mut job = house.hear(id).await;
        let (end, begun, _) = story(&mut job).await;
        assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
        assert_eq!(
            (&job.value()["name"], &job.value()["born"]["year"]),
            (&json!("Ada"), &json!(1815))
        );
        let at = job.begun.first().map(|begins| begins.at.clone());
        let expected = begins.map(|places| places.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(at, expected, "{said}: {begun:?}");
    }
}
