//! What processes have spent and hold.

use serde_json::{Value, json};

use crate::report::rounded;
use crate::{Outcome, process};

/// The processes of a system at a moment, or what they spent since another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage(Vec<Spent>);

#[derive(Clone, Debug)]
struct Spent {
    name: String,
    cpu_seconds: f64,
    resident: u64,
    peak: u64,
}

impl Usage {
    /// The tester itself: model server, sockets and clocks.
    pub(crate) fn own() -> Outcome<Self> {
        let mut own = Self::default();
        own.add("tester", std::process::id())?;
        Ok(own)
    }

    /// Takes a process in.
    pub(crate) fn add(&mut self, name: &str, pid: u32) -> Outcome<()> {
        self.0.push(Spent {
            name: name.to_owned(),
            cpu_seconds: process::cpu_seconds(pid)?,
            resident: process::resident_bytes(pid)?,
            peak: process::resident_peak_bytes(pid)?,
        });
        Ok(())
    }

    /// The same with the CPU seconds since `before` alone; one that is new has spent all of its own.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for spent in &mut self.0 {
            let earlier = before.0.iter().find(|one| one.name == spent.name);
            spent.cpu_seconds -= earlier.map_or(0.0, |one| one.cpu_seconds);
        }
        self
    }

    /// Of all together, Redis included.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.0.iter().map(|spent| spent.cpu_seconds).sum()
    }

    /// Bytes that all together hold in memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.0.iter().map(|spent| spent.resident).sum()
    }

    /// Of the process of this name; 0 where there is none.
    pub(crate) fn cpu_seconds_of(&self, name: &str) -> f64 {
        let of = self.0.iter().filter(|spent| spent.name == name);
        of.map(|spent| spent.cpu_seconds).sum()
    }

    /// One object a process, for a row's cell `processes`.
    pub(crate) fn cells(&self) -> Value {
        let mib = |bytes: u64| rounded(bytes as f64 / 1_048_576.0, 1);
        let all = self.0.iter().map(|spent| {
            json!({
                "process": spent.name, "CPU s": rounded(spent.cpu_seconds, 4),
                "RSS MiB": mib(spent.resident), "peak RSS MiB": mib(spent.peak),
            })
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Spent, Usage};

    #[test]
    fn what_is_spent_is_told_by_process() {
        let spent = |name: &str, cpu_seconds| Spent {
            name: name.to_owned(),
            cpu_seconds,
            resident: 3 << 20,
            peak: 5 << 20,
        };
        let before = Usage(vec![spent("api", 1.0)]);
        let used = Usage(vec![spent("api", 3.5), spent("worker", 0.25)]).since(&before);
        assert_eq!(
            used.cpu_seconds(),
            2.75,
            "one that is new has spent all of its own"
        );
        let cells = used.cells();
        assert_eq!(
            (&cells[0]["process"], &cells[0]["CPU s"]),
            (&"api".into(), &2.5.into())
        );
        assert_eq!(
            (&cells[1]["RSS MiB"], &cells[1]["peak RSS MiB"]),
            (&3.0.into(), &5.0.into())
        );
    }
}
