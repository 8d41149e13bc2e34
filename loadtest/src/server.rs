//! The server under measurement: a child process of its own, so that its memory and its time are its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Outcome;
use crate::process;

/// Jobs the server may work on at a time, unless a case says otherwise; above what the others submit.
const SLOTS: u32 = 512;

/// How a case wants its server.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The model server; without one the scripted model answers.
    pub(crate) base_url: Option<String>,
    /// The data folder; without one nothing is kept.
    pub(crate) data: Option<PathBuf>,
    /// Jobs worked on at a time.
    pub(crate) slots: u32,
    /// Further settings, as `--set` takes them.
    pub(crate) set: &'static [&'static str],
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            base_url: None,
            data: None,
            slots: SLOTS,
            set: &[],
        }
    }
}

/// A running server; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts the binary on a free port of the loopback, and waits for the line that tells its address.
    pub(crate) fn start(binary: &Path, setup: &Setup) -> Outcome<Self> {
        let mut command = Command::new(binary);
        command.args(["serve", "--bind", "127.0.0.1:0", "--log", "error"]);
        command.args(["--slots", &setup.slots.to_string()]);
        match &setup.data {
            Some(folder) => command.arg("--data").arg(folder),
            None => command.arg("--ephemeral"),
        };
        if let Some(base_url) = &setup.base_url {
            command.args(["--base-url", base_url]);
        }
        for setting in setup.set {
            command.args(["--set", setting]);
        }
        let mut child = command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let lines = child.stderr.take().ok_or("the child has no stderr")?;
        let told = first_address(BufReader::new(lines));
        let Some(address) = told else {
            let _ = child.kill();
            return Err(format!("the server left with {} and told no address", child.wait()?).into());
        };
        Ok(Self { child, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU seconds it has spent so far.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        process::cpu_seconds(self.child.id())
    }

    /// Bytes it holds in memory.
    pub(crate) fn resident_bytes(&self) -> Outcome<u64> {
        process::resident_bytes(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the first line that has one; what follows is passed on, so that the pipe never fills.
fn first_address(mut lines: impl BufRead + Send + 'static) -> Option<SocketAddr> {
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(address) = address_in(&line) {
            std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::stderr()));
            return Some(address);
        }
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:[]".contains(c)));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn the_address_is_read_out_of_the_line() {
        let line = "livedraft listens on http://127.0.0.1:4567 · models: scripted\n";
        assert_eq!(address_in(line), Some(([127, 0, 0, 1], 4567).into()));
        assert_eq!(address_in("see http://example.org/"), None);
    }
}
