//! One process of the system under measurement, so that its memory and its time are its own.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;

/// How long a process may take until it says that it is there, also on a machine without a core left.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running process; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    child: Child,
    address: Option<SocketAddr>,
}

impl Node {
    /// Starts the product's binary and waits for the line in which it says that it is there.
    pub(crate) fn start(name: &str, binary: &Path, arguments: &[String]) -> Outcome<Self> {
        Self::start_with(name, binary, arguments, &[])
    }

    /// The same with variables of its own.
    pub(crate) fn start_with(
        name: &str,
        binary: &Path,
        arguments: &[String],
        variables: &[(String, String)],
    ) -> Outcome<Self> {
        let mut command = Command::new(binary);
        command.args(arguments).env("NO_COLOR", "1");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = spawn(&mut command, Stdio::null(), Stdio::piped())?;
        let lines = child.stderr.take().ok_or("the child has no stderr")?;
        Self::ready(name, child, lines)
    }

    /// Starts another program, which says that on stdout.
    pub(crate) fn start_other(name: &str, command: &mut Command) -> Outcome<Self> {
        let mut child = spawn(command, Stdio::piped(), Stdio::inherit())?;
        let lines = child.stdout.take().ok_or("the child has no stdout")?;
        Self::ready(name, child, lines)
    }

    fn ready(name: &str, mut child: Child, lines: impl Read + Send + 'static) -> Outcome<Self> {
        let mut said = String::new();
        // One that neither says anything nor leaves is killed, which ends its lines.
        let pid = Pid::from_child(&child);
        let (over, waits) = mpsc::channel::<()>();
        let guard = std::thread::spawn(move || {
            let is_late = waits.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
            is_late && kill_process(pid, Signal::KILL).is_ok()
        });
        let address = first_line(BufReader::new(lines), &mut said);
        drop(over);
        // It is gone before anybody waits for the process: its pid is still that one's.
        let was_late = guard.join().unwrap_or(false);
        match address {
            Some(address) if !was_late => Ok(Self {
                name: name.to_owned(),
                child,
                address,
            }),
            _ => {
                let _ = child.kill();
                let status = child.wait()?;
                let late = if was_late {
                    ", since it was not ready in time,"
                } else {
                    ""
                };
                Err(format!("{name} left with {status}{late} and said: {}", said.trim()).into())
            }
        }
    }

    /// What it is called in reports.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens, if it does.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Outcome<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Outcome<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Also one that was stopped: it need not run to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command, out: Stdio, err: Stdio) -> Outcome<Child> {
    let spawned = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
    Ok(spawned.map_err(|error| format!("{}: {error}", command.get_program().display()))?)
}

/// The address in the first line of a process that is ready, or that it works without one. What it says instead is kept;
/// what it logs later is passed on, so that the pipe never fills.
fn first_line(mut lines: impl BufRead + Send + 'static, said: &mut String) -> Option<Option<SocketAddr>> {
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let address = address_in(&line);
        if address.is_some() || line.starts_with("livedraft works") || line == "ready\n" {
            std::thread::spawn(move || pass_on(lines));
            return Some(address);
        }
        said.push_str(&line);
    }
}

/// All lines but the one that a drain is answered with.
fn pass_on(lines: impl BufRead) {
    for line in lines.lines().map_while(Result::ok) {
        if !line.starts_with("going down") {
            let _ = writeln!(std::io::stderr(), "{line}");
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
