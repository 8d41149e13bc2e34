//! A Redis of a run's own: a process on a free port, and the few questions that are asked of it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::folder::Folder;
use crate::{Outcome, clock};

/// How long it may take to start, to load what it kept, or to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Another port is tried so often where somebody else took it meanwhile.
const PORTS_MAX: u32 = 5;

/// The process; it is killed when dropped, and its folder taken away.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Child,
    port: u16,
    folder: Folder,
    keeps: bool,
}

/// Commands as clients send them, by name, counted while this lives. Redis is slower meanwhile.
#[derive(Debug)]
pub(crate) struct Monitor {
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
    task: JoinHandle<()>,
}

impl Redis {
    /// Starts one; `keeps`: every write is on the disk before it is answered, else nothing is.
    pub(crate) async fn start(keeps: bool) -> Outcome<Self> {
        let mut last = "no port".into();
        for _ in 0..PORTS_MAX {
            let folder = Folder::new()?;
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut redis = Self {
                child: spawn(port, folder.path(), keeps, None)?,
                port,
                folder,
                keeps,
            };
            match redis.ready().await {
                Ok(()) => return Ok(redis),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again where it was, on what it kept.
    pub(crate) async fn start_again(&mut self) -> Outcome<()> {
        self.child = spawn(self.port, self.folder.path(), self.keeps, None)?;
        self.ready().await
    }

    /// The same, as a replica from its first moment: it takes no write of a client that has not heard of the new master.
    pub(crate) async fn start_again_behind(&mut self, master: SocketAddr) -> Outcome<()> {
        self.child = spawn(self.port, self.folder.path(), self.keeps, Some(master))?;
        self.ready().await
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Outcome<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// How many keys it holds.
    pub(crate) async fn keys(&self) -> Outcome<u64> {
        let answer = self.ask("DBSIZE").await?;
        Ok(answer.trim_start_matches(':').trim().parse()?)
    }

    /// How many of them do not go by themselves.
    pub(crate) async fn lasting_keys(&self) -> Outcome<u64> {
        const COUNT: &str = "EVAL \"local count = 0 for _, key in ipairs(redis.call('KEYS', '*')) do \
             if redis.call('PTTL', key) < 0 then count = count + 1 end end return count\" 0";
        let answer = self.ask(COUNT).await?;
        Ok(answer.trim_start_matches(':').trim().parse()?)
    }

    /// Counts commands from now on.
    pub(crate) async fn monitor(&self) -> Outcome<Monitor> {
        let mut stream = BufReader::new(TcpStream::connect(self.address()).await?);
        stream.get_mut().write_all(b"MONITOR\r\n").await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut line = Vec::new();
            while stream
                .read_until(b'\n', &mut line)
                .await
                .is_ok_and(|read| read > 0)
            {
                if let Some(name) = sent_by_a_client(&String::from_utf8_lossy(&line)) {
                    let mut counts = counted.lock().unwrap_or_else(PoisonError::into_inner);
                    *counts.entry(name).or_default() += 1;
                }
                line.clear();
            }
        });
        Ok(Monitor { counts, task })
    }

    /// Sends one command of plain words, and returns what is answered: a line, or a text. An answer that is an error is one.
    pub(crate) async fn ask(&self, command: &str) -> Outcome<String> {
        tokio::time::timeout(PATIENCE, ask(self.address(), command)).await?
    }

    async fn ready(&mut self) -> Outcome<()> {
        let begun = clock::micros();
        // Another process may have taken the port, and be a Redis, too.
        let ours = format!("process_id:{}", self.child.id());
        let is_ours = |about: String| about.lines().any(|line| line == ours);
        // A refused connection, or `-LOADING`.
        while !self.answers().await.is_ok_and(is_ours) {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("redis-server left with {status}").into());
            }
            if clock::micros() - begun > PATIENCE.as_micros() as u64 {
                return Err("redis-server does not get ready".into());
            }
            clock::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// What it says of itself, once it has loaded what it kept.
    async fn answers(&self) -> Outcome<String> {
        ask(self.address(), "PING").await?;
        ask(self.address(), "INFO server").await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Monitor {
    /// What was counted so far.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn spawn(port: u16, folder: &Path, keeps: bool, master: Option<SocketAddr>) -> Outcome<Child> {
    let (file, sync) = if keeps { ("yes", "always") } else { ("no", "no") };
    let of = master.map(|master| [master.ip().to_string(), master.port().to_string()]);
    let behind = of.iter().flat_map(|[ip, port]| ["--replicaof", ip, port]);
    let child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", file, "--appendfsync", sync])
        .args(["--loglevel", "warning", "--daemonize", "no"])
        .args(["--repl-diskless-sync-delay", "0"])
        .args(behind)
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("redis-server (scripts/test installs it): {error}"))?;
    Ok(child)
}

/// Asks the Redis there, without a limit of time; see [`Redis::ask`].
pub(crate) async fn ask(redis: SocketAddr, command: &str) -> Outcome<String> {
    let mut stream = BufReader::new(TcpStream::connect(redis).await?);
    stream
        .get_mut()
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    if let Some(error) = line.strip_prefix('-') {
        return Err(format!("{command}: {}", error.trim_end()).into());
    }
    let Some(length) = line.strip_prefix('$') else {
        return Ok(line);
    };
    let mut text = vec![0; length.trim().parse()?];
    stream.read_exact(&mut text).await?;
    Ok(String::from_utf8(text)?)
}

/// The command's name in a line of `MONITOR`, which tells where each came from: `[0 127.0.0.1:4711] "evalsha" …`, and
/// `[0 lua] "hget" …` of what a script runs.
fn sent_by_a_client(line: &str) -> Option<String> {
    let (source, rest) = line.split_once('[')?.1.split_once(']')?;
    let name = rest.trim_start().strip_prefix('"')?.split('"').next()?;
    (!source.ends_with(" lua")).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::sent_by_a_client;

    #[test]
    fn what_a_script_runs_is_no_command_of_a_client() {
        let sent = r#"1795290000.123456 [0 127.0.0.1:51000] "EVALSHA" "abc" "1" "k[ lua]""#;
        assert_eq!(sent_by_a_client(sent).as_deref(), Some("evalsha"));
        let within = r#"1795290000.123460 [0 lua] "HGET" "k" "tok""#;
        assert_eq!(sent_by_a_client(within), None);
    }
}
