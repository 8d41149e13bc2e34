//! `config`, `doctor` and `completions` of the built binary, and `serve` by a file.
#![allow(clippy::unwrap_used, reason = "a command that cannot run is a broken test")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use livedraft::config::KEYS;
use serde_json::Value as Json;

use crate::config::Folder;
use crate::serving::Serving;

const SECRET: &str = "planted-secret";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_file_opens_the_door() {
    let folder = Folder::new("door");
    let new = ["keys", "new", "--id", "ci.2", "--tenant", "acme \"1\""];
    let (code, token, told) = run(&folder, &new, &[]);
    assert_eq!(code, 0, "{told}");
    let entry: String = told
        .lines()
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let file = folder.file("own.toml", &entry);
    let (code, _, told) = run(&folder, &["config", "check"], &[("LIVEDRAFT_CONFIG", "own.toml")]);
    assert_eq!(code, 0, "{entry}\n{told}");
    assert!(told.contains("own.toml, 3 settings"), "{told}");
    // The check that runs a job shows a key of its own.
    let (_, found, _) = run(
        &folder,
        &["doctor", "--json"],
        &[("LIVEDRAFT_CONFIG", "own.toml")],
    );
    let trip = found.split("round trip").nth(1).expect("it is among the checks");
    assert!(trip.contains("a job over WebSocket"), "{found}");
    let serving = Serving::start(&["--config", file.to_str().unwrap()], &[]);
    let url = format!("http://{}/v1/models", serving.address);
    let ask = |key: Option<&str>| {
        let request = Serving::http().get(&url);
        match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
        .send()
    };
    assert_eq!(ask(Some(token.trim())).await.unwrap().status(), 200);
    assert_eq!(ask(None).await.unwrap().status(), 401);
    assert_eq!(ask(Some("ld_ci.2_wrong")).await.unwrap().status(), 401);
}

/// The binary, in a folder of the test's own and with no environment but this.
fn command(folder: &Folder, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_livedraft"));
    command.args(arguments).stdin(Stdio::null());
    command
        .current_dir(&folder.0)
        .env_clear()
        .envs(variables.iter().copied());
    command
}

/// Its exit code, what it wrote to stdout, what to stderr.
fn run(folder: &Folder, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output: Output = command(folder, arguments, variables).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn check_says_all_that_is_wrong_and_nothing_secret() {
    let folder = Folder::new("check");
    let (code, out, told) = run(&folder, &["config", "check"], &[]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(told.contains("no file, 0 settings beside the defaults"), "{told}");
    folder.file(
        "livedraft.toml",
        &format!("[worker]\nslots = 0\n[providers.a]\nkey = \"{SECRET}\"\n"),
    );
    let variables = [("LIVEDRAFT_OPENAI_KEY_FILE", SECRET), ("LIVEDRAFT_HUB__PO", "1")];
    for verb in [
        &["config", "check"][..],
        &["config", "show"],
        &["config", "show", "--json"],
        &["serve"],
        &["doctor"],
    ] {
        let (code, out, told) = run(&folder, verb, &variables);
        assert_eq!(code, if verb == ["doctor"] { 1 } else { 2 }, "{verb:?}");
        for words in [
            "livedraft.toml:2: worker.slots: ",
            "livedraft.toml:3: providers.a.base_url: is missing",
            "LIVEDRAFT_HUB__PO: ",
            "LIVEDRAFT_OPENAI_KEY_FILE: ",
        ] {
            assert!(
                out.contains(words) || told.contains(words),
                "{words} by {verb:?}:\n{out}{told}"
            );
        }
        assert!(
            !out.contains(SECRET) && !told.contains(SECRET),
            "{verb:?}:\n{out}{told}"
        );
    }
}

#[test]
fn show_says_what_holds_and_why_and_can_be_read_again() {
    let folder = Folder::new("show");
    folder.file("own.toml", "[worker]\nslots = 7\n");
    let variables = [
        ("LIVEDRAFT_CONFIG", "own.toml"),
        ("OPENAI_API_KEY", SECRET),
        ("LIVEDRAFT_HUB__POLL_MS", "500"),
    ];
    let arguments = ["config", "show", "--set", "engine.queued_max=9"];
    let (code, out, told) = run(&folder, &arguments, &variables);
    assert_eq!((code, told.as_str()), (0, ""));
    for line in [
        "worker.slots = 7  # own.toml:2\n",
        "hub.poll_ms = 500  # LIVEDRAFT_HUB__POLL_MS\n",
        "engine.queued_max = 9  # --set\n",
        "server.bind = \"127.0.0.1:8080\"  # default\n",
        "# providers.openai.key = \"[redacted]\"  # OPENAI_API_KEY\n",
    ] {
        assert!(out.contains(line), "{line} is missing in:\n{out}");
    }
    assert!(!out.contains(SECRET) && !out.contains('\x1b'));
    // Of parts with names only those are shown that there are: one provider, no API key, price, chain or tenant.
    let absent = ["keys.", "models.", "providers.*.prices.", "tenants.*."];
    let shown = KEYS
        .iter()
        .filter(|key| absent.iter().all(|part| !key.name.starts_with(part)));
    assert_eq!(out.lines().count(), shown.count());
    folder.file("again.toml", &out);
    let (code, again, _) = run(
        &folder,
        &["config", "show", "--config", "again.toml", "--json"],
        &[],
    );
    let again: Json = serde_json::from_str(&again).unwrap();
    assert_eq!((code, &again["worker.slots"]["value"]), (0, &Json::from(7)));
    let line = out
        .lines()
        .position(|line| line.starts_with("hub.poll_ms"))
        .unwrap()
        + 1;
    assert_eq!(again["hub.poll_ms"]["source"], format!("again.toml:{line}"));
}

#[test]
fn init_leaves_a_file_that_is_there_alone() {
    let folder = Folder::new("init");
    let (code, out, _) = run(&folder, &["config", "init"], &[]);
    assert_eq!((code, out.as_str()), (0, ""));
    let written = std::fs::read_to_string(folder.0.join("livedraft.toml")).unwrap();
    assert_eq!(written, livedraft::config::init());
    folder.file("livedraft.toml", "mine");
    let (code, _, told) = run(&folder, &["config", "init"], &[]);
    assert_eq!(code, 2);
    assert!(told.contains("livedraft.toml cannot be written"), "{told}");
    assert_eq!(
        std::fs::read_to_string(folder.0.join("livedraft.toml")).unwrap(),
        "mine"
    );
    let (code, out, _) = run(&folder, &["config", "init", "-"], &[]);
    assert_eq!((code, out), (0, written));
}

#[test]
fn each_shell_gets_its_completions() {
    let folder = Folder::new("completions");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, told) = run(&folder, &["completions", shell], &[]);
        assert_eq!((code, told.as_str()), (0, ""));
        assert!(out.contains("extract") && out.contains("doctor"), "{shell}");
    }
    assert_eq!(run(&folder, &["completions", "csh"], &[]).0, 2);
}

/// The checks that `doctor --json` names, by name.
fn checks(out: &str) -> Vec<(String, String)> {
    let document: Json = serde_json::from_str(out).unwrap();
    let word = |check: &Json, member: &str| check[member].as_str().unwrap().to_owned();
    let checks = document["checks"].as_array().unwrap();
    checks
        .iter()
        .map(|check| (word(check, "name"), word(check, "status")))
        .collect()
}

fn status(out: &str, name: &str) -> String {
    let found = checks(out).into_iter().find(|(check, _)| check == name);
    found.unwrap_or_else(|| panic!("{name} is not in {out}")).1
}

#[test]
fn the_doctor_looks_the_machine_over() {
    let folder = Folder::new("doctor");
    let variables = [
        ("LIVEDRAFT_SERVER__BIND", "127.0.0.1:0"),
        ("LIVEDRAFT_SERVER__CONNECTIONS_MAX", "1"),
    ];
    let (code, out, told) = run(&folder, &["doctor", "--json"], &variables);
    assert_eq!((code, told.as_str()), (0, ""), "{out}");
    let names: Vec<_> = checks(&out).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "configuration",
            "address",
            "file descriptors",
            "clock",
            "data",
            "models",
            "round trip"
        ]
    );
    assert_eq!(status(&out, "round trip"), "ok", "{out}");
    let (code, out, _) = run(&folder, &["doctor"], &variables);
    assert!(code == 0 && out.contains("0 failed"), "{out}");
    let data = folder.0.join("livedraft-data");
    assert!(!data.exists(), "the doctor made a data folder");
    #[cfg(unix)]
    for (mode, warned) in [(0o755, true), (0o700, false)] {
        use std::os::unix::fs::PermissionsExt as _;
        let _ = std::fs::create_dir(&data);
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
        let (_, out, _) = run(&folder, &["doctor"], &variables);
        assert_eq!(out.contains("chmod 700 livedraft-data"), warned, "{out}");
    }
}

#[test]
fn the_doctor_says_what_is_wrong_and_the_way_out() {
    let folder = Folder::new("ill");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = silent.local_addr().unwrap().to_string();
    // Whoever asks what listens there is hung up on.
    let hang_up = std::thread::spawn(move || drop(silent.accept()));
    let variables = [
        ("LIVEDRAFT_SERVER__BIND", taken.as_str()),
        ("LIVEDRAFT_PROVIDERS__OPENAI__MODELS", "m"),
    ];
    let (code, out, _) = run(&folder, &["doctor", "--json"], &variables);
    assert_eq!(code, 1);
    assert_eq!(
        [status(&out, "address"), status(&out, "provider openai")],
        ["fail", "fail"],
        "{out}"
    );
    assert!(
        out.contains(&format!("something else listens on {taken}"))
            && out.contains("LIVEDRAFT_PROVIDERS__OPENAI__KEY")
    );
    hang_up.join().unwrap();
    let (code, out, _) = run(
        &folder,
        &["doctor", "--json", "--set", "server.bind=0.0.0.0:0"],
        &[],
    );
    assert!(code == 1 && out.contains("refusing to listen"), "{out}");
    let (code, out, _) = run(
        &folder,
        &["doctor", "--json", "--set", "server.connections_max=1000000"],
        &[("LIVEDRAFT_SERVER__BIND", "127.0.0.1:0")],
    );
    assert!(code == 0 && status(&out, "file descriptors") != "fail", "{out}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", nobody.local_addr().unwrap());
    drop(nobody);
    let variables = [
        ("OPENAI_BASE_URL", url.as_str()),
        ("LIVEDRAFT_SERVER__BIND", "127.0.0.1:0"),
    ];
    let (code, out, _) = run(&folder, &["doctor", "--json"], &variables);
    assert_eq!(
        (code, status(&out, "provider openai").as_str()),
        (0, "ok"),
        "not asked unless told to: {out}"
    );
    let (code, out, _) = run(&folder, &["doctor", "--json", "--online"], &variables);
    assert_eq!(
        (code, status(&out, "provider openai").as_str()),
        (1, "fail"),
        "{out}"
    );
}

#[test]
#[cfg(unix)]
fn the_doctor_sees_a_secret_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("open");
    let file = folder.file(
        "livedraft.toml",
        &format!("[providers.openai]\nkey = \"{SECRET}\"\n[server]\nbind = \"127.0.0.1:0\"\n"),
    );
    for (mode, warned) in [(0o644, true), (0o640, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let (_, out, _) = run(&folder, &["doctor"], &[]);
        assert_eq!(out.contains("chmod 600 livedraft.toml"), warned, "{out}");
        assert!(!out.contains(SECRET));
    }
}

#[test]
fn serve_is_configured_by_all_layers() {
    let folder = Folder::new("serve");
    folder.file("livedraft.toml", "[server]\nbind = \"127.0.0.1:1\"\n[providers.groq]\nbase_url = \"http://127.0.0.1:9/v1\"\nmodels = [\"m\"]\n[log]\nlevel = \"off\"\n");
    let variables = [
        ("LIVEDRAFT_SERVER__BIND", "127.0.0.1:2"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
    ];
    let mut serving = command(
        &folder,
        &[
            "serve",
            "--ephemeral",
            "--bind",
            "127.0.0.1:0",
            "--set",
            "breaker.calls_min=1",
            "--set",
            "breaker.open_ms=600000",
            "--set",
            "worker.retries_max=0",
        ],
        &variables,
    )
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut line = String::new();
    let mut talk = BufReader::new(serving.stderr.take().unwrap());
    talk.read_line(&mut line).unwrap();
    let address = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let bind = format!("server.bind={}", address.unwrap());
    // Nobody is there, which is one fault too many.
    let url = format!("ws://{}", address.unwrap());
    let asking = [
        "extract", "x", "--schema", "{}", "--model", "openai/m", "--url", &url,
    ];
    let (code, _, told) = run(&folder, &asking, &[]);
    assert_eq!(code, 4, "{told}");
    let (code, out, told) = run(&folder, &["doctor", "--json", "--set", &bind], &[]);
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert_eq!(
        (code, status(&out, "address").as_str()),
        (0, "warn"),
        "{out}{told}"
    );
    assert!(out.contains("a livedraft server answers"), "{out}");
    assert!(out.contains("1 model of it not asked now"), "{out}");
    assert!(
        line.starts_with("livedraft listens on http://127.0.0.1:"),
        "{line}"
    );
    assert!(line.ends_with("models: scripted, m, openai/*\n"), "{line}");
    let (code, _, told) = run(&folder, &["serve", "--slots", "0", "--log", "a=b"], &[]);
    assert_eq!(code, 2);
    assert!(
        told.contains("--slots: worker.slots: ") && told.contains("--log: log.level: "),
        "{told}"
    );
}
