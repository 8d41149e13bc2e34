//! `livedraft serve` as a process of its own.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use reqwest::Client as Http;
use serde_json::{Value as Json, json};

use crate::harness::Client;

/// A server that runs; it is killed where the test leaves it.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: String,
    lines: mpsc::Receiver<String>,
}

impl Serving {
    /// Starts it on a free port, with further arguments and settings of the environment.
    pub(crate) fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let own = ["serve", "--ephemeral", "--bind", "127.0.0.1:0"];
        Self::start_as(&[&own, arguments].concat(), settings)
    }

    /// Starts whatever tells where it listens.
    pub(crate) fn start_as(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_livedraft"));
        command.args(arguments);
        command.env_remove("OPENAI_BASE_URL").env_remove("LIVEDRAFT_LOG");
        command.envs(settings.iter().copied());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let talk = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = mpsc::channel();
        // Read to the end, so that the server never waits for its reader.
        std::thread::spawn(move || {
            for line in talk.lines() {
                let Ok(line) = line else { break };
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let mut serving = Self {
            child,
            address: String::new(),
            lines,
        };
        let listens = serving.line(" on http://");
        let (_, address) = listens.split_once("http://").unwrap();
        serving.address = address.split(' ').next().unwrap().to_owned();
        serving
    }

    /// Reads on to the line that holds these words.
    pub(crate) fn line(&self, words: &str) -> String {
        loop {
            let line = self
                .lines
                .recv()
                .unwrap_or_else(|_| panic!("ended without: {words}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &*pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end: the exit code, and every line not read before.
    pub(crate) fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.child.wait().unwrap().code();
        (code, self.lines.iter().collect())
    }

    pub(crate) fn http() -> Http {
        // A second test finds it installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Http::builder().no_proxy().build().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        Self::http().get(self.url(path)).send().await.unwrap()
    }

    /// A socket whose welcome was read.
    pub(crate) async fn client(&self) -> Client {
        let url = format!("ws://{}/v1/ws", self.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Client { socket };
        client.expect("welcome").await;
        client
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A job whose model says a few tokens and then is silent.
pub(crate) fn silent() -> Json {
    let mut create = crate::harness::create("c");
    create["request"]["script"] = json!({"tokens_per_second": 0, "hang_after": 3});
    create
}

/// Reads on to the first message of this type.
pub(crate) async fn until(client: &mut Client, kind: &str) -> Json {
    loop {
        let message = client.json().await;
        if message["type"] == kind {
            return message;
        }
    }
}

/// Reads on to the first patch: the job runs and has said something.
pub(crate) async fn first_patch(client: &mut Client) {
    while client.json().await.get("j").is_none() {}
}
