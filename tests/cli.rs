//! The built binary against a real server: exit codes, and what goes to stdout and what to stderr.
#![allow(clippy::unwrap_used, reason = "a command that cannot run is a broken test")]

use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;

use livedraft::access::ApiKey;
use livedraft::app::{App, Options};
use serde_json::Value as Json;

const USER: &str = r#"{"type":"object","required":["name","age"],"properties":{"name":{"type":"string"},"age":{"type":"integer"}}}"#;

/// One server for all tests of this file, on a runtime of its own; it lives as long as the process.
fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| url_with(Vec::new()))
}

/// Another one, which asks for these keys.
fn url_with(keys: Vec<ApiKey>) -> String {
    let (begun, starts) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut options = Options::default();
            options.server.bind.set_port(0);
            options.server.keys = keys;
            options.store.ephemeral = true;
            let app = App::start(options).await.unwrap();
            begun.send(format!("ws://{}", app.addr())).unwrap();
            std::future::pending::<()>().await;
        });
    });
    starts.recv().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_livedraft"));
    command.args(arguments).stdin(Stdio::null());
    command.env_remove("LIVEDRAFT_URL").env_remove("OPENAI_BASE_URL");
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).env("LIVEDRAFT_URL", url()).output().unwrap()
}

fn extract(more: &[&str]) -> Output {
    let mut arguments = vec!["extract", "Ada Lovelace, 36", "--schema", USER];
    arguments.extend(more);
    run(&arguments)
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn script(extra: &str) -> String {
    format!(r#"{{"tokens_per_second":0{extra}}}"#)
}

/// The id of a job that answers a few tokens and then falls silent.
fn silent_job() -> String {
    submit(&script(r#","hang_after":3"#))
}

fn submit(script: &str) -> String {
    let request: Json = serde_json::from_str(&format!(
        r#"{{"ref":"a","request":{{"model":"scripted","input":"x","schema":{USER},"script":{script}}}}}"#
    ))
    .unwrap();
    let create = serde_json::from_value(request).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = livedraft::client::Client::new(url());
        let mut following = client
            .create(client.connect().await.unwrap(), create)
            .await
            .unwrap();
        while following.follower().job_id().is_none() {
            following.next().await.unwrap();
        }
        following.follower().job_id().unwrap().to_owned()
    })
}

#[test]
fn a_job_may_be_wrapped_and_read_leniently() {
    let script = r#"{"tokens_per_second":0,"sloppy_attempts":1,"items":2}"#;
    let wrap = [
        "--wrap",
        "iterable",
        "--mode",
        "tools",
        "--lenient",
        "auto",
        "--reask",
        "whole",
    ];
    let output = extract(&[&wrap[..], &["--script", script, "--quiet", "--json"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let document: Json = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(document["value"]["tasks"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["attempts"][0]["repairs"], 4, "{document}");
}

#[test]
fn a_value_goes_to_stdout_and_the_talk_to_stderr() {
    let output = extract(&["--script", &script("")]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 1);
    let value: Json = serde_json::from_str(stdout(&output)).unwrap();
    assert!(value["name"].is_string() && value["age"].is_i64());
    let told = stderr(&output);
    assert!(
        told.starts_with("job ") && told.contains("\nattempt 1\ncompleted in "),
        "{told}"
    );
    assert!(!told.contains('\x1b'), "no terminal, no sequences");
}

#[test]
fn quiet_says_nothing_and_json_is_one_document() {
    let output = extract(&["--script", &script(""), "--quiet", "--json"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let document: Json = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(document["type"], "job.completed");
    assert!(document["value"]["age"].is_i64() && document["usage"]["output_tokens"].is_u64());
}

#[test]
fn text_and_schema_come_from_stdin_and_files_too() {
    let folder = std::env::temp_dir().join(format!("livedraft-cli-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let schema = folder.join("user.json");
    let messages = folder.join("messages.json");
    std::fs::write(&schema, USER).unwrap();
    std::fs::write(&messages, r#"[{"role":"user","content":"Ada"}]"#).unwrap();
    let (schema, messages) = (schema.to_str().unwrap(), messages.to_str().unwrap());
    let from_file = run(&["extract", "--quiet", "--schema", schema, "--messages", messages]);
    assert_eq!(code(&from_file), 0, "{}", stderr(&from_file));
    let text = std::fs::File::open(schema).unwrap();
    let piped = command(&["extract", "-", "--quiet", "--schema", schema, "--url", url()])
        .stdin(text)
        .output()
        .unwrap();
    assert_eq!(code(&piped), 0, "{}", stderr(&piped));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_re_ask_is_told_with_what_was_wrong() {
    let output = extract(&["--script", &script(r#","invalid_attempts":1"#)]);
    assert_eq!(code(&output), 0);
    let told = stderr(&output);
    assert!(
        told.contains("\nattempt 2: /age must be an integer; the rest stays\n"),
        "{told}"
    );
}

#[test]
fn every_end_has_its_code() {
    for (fault, expected, word) in [
        (r#","invalid_attempts":9"#, 3, "invalid_output"),
        (r#","stop_by_length_after":2"#, 3, "length"),
        (r#","refuse":true"#, 3, "refused"),
        (r#","error_after":2"#, 4, "provider_in_stream"),
    ] {
        let output = extract(&["--script", &script(fault)]);
        let told = stderr(&output);
        assert_eq!(code(&output), expected, "{told}");
        assert!(told.contains(word), "{told}");
        assert_eq!(stdout(&output), "", "what is not valid is no result");
    }
}

#[test]
fn a_job_is_bounded_by_its_limits() {
    let bounded = [
        "--script",
        &script(r#","invalid_attempts":9"#),
        "--limits",
        r#"{"attempts":1}"#,
    ];
    let output = extract(&bounded);
    let told = stderr(&output);
    assert_eq!(code(&output), 3, "{told}");
    assert!(
        told.contains("budget_exceeded") && told.contains(" tokens"),
        "{told}"
    );
}

#[test]
fn a_timeout_leaves_the_job_alone() {
    let output = extract(&["--script", &script(r#","hang_after":3"#), "--timeout", "0"]);
    assert_eq!((code(&output), stdout(&output)), (124, ""));
    assert!(stderr(&output).contains("the job goes on"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_taken_is_usage() {
    for arguments in [
        &["extract", "x"][..],
        &["extract", "x", "--schema", "/no/such/file"],
        &["extract", "x", "--schema", "{"],
        &["extract", "x", "--schema", r#"{"type":"strin"}"#],
        &["extract", "x", "--schema", "{}", "--script", r#"{"speed":1}"#],
        &["extract", "x", "--schema", "{}", "--limits", r#"{"cost":0.5}"#],
        &["extract", "x", "--schema", "{}", "--limits", r#"{"cost":"0.5"}"#],
        &["extract", "x", "--schema", "{}", "--model", "nobody"],
        &["get", "no-id"],
        &["watch", "0193a4c6-7d1e-7000-8000-000000000001"],
        &["get", "x", "--url", "wss://127.0.0.1:1"],
        &["extract", "--schema", "{}"],
        &["serve", "--bind", "nowhere"],
        &["serve", "--log", "livedraft=loud"],
        &["fly"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert_ne!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_refusal_says_where() {
    let output = extract(&["--max-reasks", "99"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("(at /request/max_reasks)"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_timeout_beyond_all_time_is_none() {
    let output = extract(&["--script", &script(""), "--timeout", &u64::MAX.to_string()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_written_is_a_failure() {
    for more in [&["--quiet"][..], &["--quiet", "--json"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut arguments = vec!["extract", "x", "--schema", USER, "--url", url()];
        arguments.extend(more);
        let child = command(&arguments)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), 1);
        assert!(
            stderr(&output).contains("cannot be written"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn messages_that_nobody_reads_are_not_followed() {
    use std::io::{BufRead as _, BufReader};
    let job = submit(r#"{"tokens_per_second":20,"text_chars":100000}"#);
    let mut watching = command(&["watch", &job, "--json", "--quiet", "--url", url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(watching.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let output = watching.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (1, ""));
    assert_eq!(code(&run(&["cancel", &job])), 0);
}

#[test]
fn a_job_is_known_by_its_id_in_capitals() {
    let job = submit(&script(""));
    let output = run(&["watch", &job.to_uppercase(), "--timeout", "20"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("age"));
}

#[test]
#[cfg(unix)]
fn a_second_signal_does_not_wait() {
    use std::io::{BufRead as _, BufReader};
    let mut serving = command(&["serve", "--ephemeral", "--bind", "127.0.0.1:0", "--log", "off"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut talk = BufReader::new(serving.stderr.take().unwrap()).lines();
    let listens = talk.next().unwrap().unwrap();
    let (_, address) = listens.split_once("http://").unwrap();
    let address = address.split(' ').next().unwrap();
    let server = format!("ws://{address}");
    let mut extracting = command(&["extract", "x", "--schema", USER, "--url", &server])
        .args(["--script", &script(r#","hang_after":3"#)])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let mut its_talk = BufReader::new(extracting.stderr.take().unwrap());
    // It has been accepted once its name is told.
    its_talk.read_line(&mut told).unwrap();
    assert!(told.starts_with("job "), "{told}");
    let pid = serving.id().to_string();
    let signal = || Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(signal().success());
    assert!(talk.next().unwrap().unwrap().starts_with("going down"));
    assert!(signal().success());
    let last = talk.next().unwrap().unwrap();
    assert!(last.contains("left at once"), "{last}");
    assert_eq!(serving.wait().unwrap().code(), Some(130));
    extracting.kill().unwrap();
    extracting.wait().unwrap();
}

#[test]
fn nobody_there_is_told_with_the_next_command() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = command(&["get", "x", "--url", &url]).output().unwrap();
    assert_eq!(code(&output), 5);
    assert!(stderr(&output).contains("livedraft serve"), "{}", stderr(&output));
}

#[test]
fn a_public_address_is_refused_without_the_word() {
    let told = |arguments: &[&str]| {
        let output = command(arguments)
            .env("LIVEDRAFT_SERVER__BIND", "0.0.0.0:0")
            .output()
            .unwrap();
        (code(&output), stderr(&output).to_owned())
    };
    let (served, words) = told(&["serve"]);
    assert_eq!(served, 2);
    assert!(
        words.contains("LIVEDRAFT_SERVER__BIND: server.bind: refusing to listen on 0.0.0.0:0"),
        "{words}"
    );
    assert_eq!(told(&["config", "check"]), (2, words), "the same words");
    let allowed = ["config", "check", "--set", "server.allow_public=true"];
    assert_eq!(told(&allowed).0, 0);
}

#[test]
fn a_job_is_left_got_and_cancelled() {
    let job = silent_job();
    let got = run(&["get", &job, "--json"]);
    assert_eq!(code(&got), 0);
    let state: Json = serde_json::from_str(stdout(&got)).unwrap();
    assert_eq!(state["type"], "job.state");
    let mut watching = command(&["watch", &job, "--json", "--url", url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let cancelled = run(&["cancel", &job]);
    assert_eq!((code(&cancelled), stdout(&cancelled)), (0, ""));
    assert_eq!(watching.wait().unwrap().code(), Some(6));
    let watched = watching.wait_with_output().unwrap();
    let messages: Vec<Json> = stdout(&watched)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(messages.first().unwrap()["type"], "job.attached");
    assert_eq!(messages.last().unwrap()["type"], "job.cancelled");
    let again = run(&["cancel", &job, "--json"]);
    let answer: Json = serde_json::from_str(stdout(&again)).unwrap();
    assert_eq!((code(&again), &answer["already"]), (0, &Json::from("cancelled")));
}

/// Interrupts a command after the first line it says.
#[cfg(unix)]
fn interrupted(mut command: Command) -> (i32, String) {
    use std::io::{BufRead as _, BufReader, Read as _};
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut talk = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    talk.read_line(&mut told).unwrap();
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    talk.read_to_string(&mut told).unwrap();
    (child.wait().unwrap().code().unwrap(), told)
}

#[test]
#[cfg(unix)]
fn an_interrupt_cancels_what_is_ours_and_leaves_what_is_not() {
    let hangs = script(r#","hang_after":3"#);
    let ours = command(&[
        "extract",
        "x",
        "--schema",
        USER,
        "--script",
        &hangs,
        "--url",
        url(),
    ]);
    let (code, told) = interrupted(ours);
    assert_eq!(code, 6, "{told}");
    assert!(told.contains("cancelling; once more to leave"), "{told}");
    let job = submit(&hangs);
    let (code, told) = interrupted(command(&["watch", &job, "--url", url()]));
    assert_eq!(code, 130, "{told}");
    assert!(told.contains(&format!("livedraft watch {job}")), "{told}");
}

#[test]
fn the_demo_shows_and_checks_everything() {
    let output = command(&["demo", "--exit", "--fast"]).output().unwrap();
    let told = stdout(&output);
    assert_eq!(code(&output), 0, "{told}{}", stderr(&output));
    for words in [
        "attempt 2: /skills/",
        "its TCP is cut at seq",
        "resumed behind seq",
        "comes late: one snapshot",
        "attempt 2: /address/city must be a string; the rest stays",
        "✓ job 2: 3 viewers, one value",
        "✓ job 5: 2 viewers, one value",
    ] {
        assert!(told.contains(words), "{words:?} is missing in:\n{told}");
    }
    assert!(!told.contains('\x1b') && !told.contains('✗'));
}

#[test]
fn a_key_is_made_once_and_opens_a_server_that_has_its_entry() {
    let output = run(&[
        "keys",
        "new",
        "--id",
        "ci",
        "--tenant",
        "acme \"1\"",
        "--scopes",
        "submit,read",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let token = stdout(&output).trim_end();
    assert!(
        token.starts_with("ld_ci_") && token.lines().count() == 1,
        "{token}"
    );
    let secret = &token["ld_ci_".len()..];
    let told = stderr(&output);
    assert!(told.contains("[keys.ci]\nsha256 = \""), "{told}");
    assert!(
        told.contains("tenant = \"acme \\\"1\\\"\"\nscopes = [\"submit\", \"read\"]"),
        "{told}"
    );
    assert!(!told.contains(secret), "the entry has the hash alone");
    let hash = told
        .lines()
        .find_map(|line| line.strip_prefix("sha256 = \""))
        .unwrap();
    let key = ApiKey {
        id: "ci".to_owned(),
        sha256: hash.trim_end_matches('"').parse().unwrap(),
        tenant: "acme".to_owned(),
        scopes: Default::default(),
        expires: None,
    };
    let url = url_with(vec![key]);
    let ask = |key: Option<&str>| {
        let mut command = command(&["extract", "Ada", "--schema", USER, "--quiet", "--url", &url]);
        command.env_remove("LIVEDRAFT_KEY_FILE");
        match key {
            Some(key) => command.env("LIVEDRAFT_KEY", key),
            None => command.env_remove("LIVEDRAFT_KEY"),
        };
        command.output().unwrap()
    };
    let output = ask(Some(token));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for wrong in [None, Some("ld_ci_wrong")] {
        let output = ask(wrong);
        assert_eq!(code(&output), 5, "{}", stderr(&output));
        assert!(stderr(&output).contains("LIVEDRAFT_KEY"), "{}", stderr(&output));
    }
    for bad in [["a_b", "acme", "read"], ["a", "", "read"], ["a", "acme", "write"]] {
        let output = run(&[
            "keys", "new", "--id", bad[0], "--tenant", bad[1], "--scopes", bad[2],
        ]);
        assert_eq!((code(&output), stdout(&output)), (2, ""), "{bad:?}");
    }
}
