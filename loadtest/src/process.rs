//! What Linux tells of a process and of the machine, under `/proc`.

use std::fs::read_to_string;

use serde_json::{Value, json};

use crate::Outcome;

/// Resident bytes of the process (`VmRSS`, the figure of `statm` without its page size).
pub(crate) fn resident_bytes(pid: u32) -> Outcome<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most that the process ever held of them (`VmHWM`).
pub(crate) fn resident_peak_bytes(pid: u32) -> Outcome<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, label: &str) -> Outcome<u64> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let kib = word_after(&status, label).ok_or_else(|| format!("process {pid} has no {label}"))?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// CPU seconds of all threads the process has now. `schedstat` counts nanoseconds where `stat` counts hundredths of
/// a second, which is too coarse for one document; threads that ended are missing, and the server's stay.
pub(crate) fn cpu_seconds(pid: u32) -> Outcome<f64> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        let Ok(line) = read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let on_cpu = line.split_whitespace().next().ok_or("an empty schedstat")?;
        nanoseconds += on_cpu.parse::<u64>()?;
    }
    Ok(std::time::Duration::from_nanos(nanoseconds).as_secs_f64())
}

/// Bytes the kernel holds for all TCP sockets of the machine, in both directions (`sockstat`, in pages of 4 KiB).
pub(crate) fn tcp_bytes() -> Outcome<u64> {
    let sockets = read_to_string("/proc/net/sockstat")?;
    let line = sockets.lines().find_map(|line| line.strip_prefix("TCP:"));
    let pages = line
        .and_then(|line| line.split_whitespace().last())
        .ok_or("no TCP")?;
    Ok(pages.parse::<u64>()? * 4_096)
}

/// How many files this process may have open.
pub(crate) fn open_files_max() -> Outcome<usize> {
    let limits = read_to_string("/proc/self/limits")?;
    let most = word_after(&limits, "Max open files").ok_or("no limit of open files")?;
    Ok(most.parse().unwrap_or(usize::MAX))
}

/// The first of the three load averages: of the last minute.
pub(crate) fn load_average() -> f64 {
    let line = read_to_string("/proc/loadavg").unwrap_or_default();
    let first = line.split_whitespace().next().unwrap_or_default();
    first.parse().unwrap_or(f64::NAN)
}

/// What the CPUs have spent since the machine started, in ticks: in all, and of it what the host gave to others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTicks {
    pub(crate) all: u64,
    pub(crate) stolen: u64,
}

/// The first line of `/proc/stat` (proc(5): user nice system idle iowait irq softirq steal; what guests had is in the first two).
pub(crate) fn cpu_ticks() -> CpuTicks {
    let stat = read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    CpuTicks {
        all: ticks.iter().sum(),
        stolen: ticks.get(7).copied().unwrap_or(0),
    }
}

/// What a reader needs to judge a figure.
pub(crate) fn machine() -> Value {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = word_after(&memory, "MemTotal:")
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "cpu": model.and_then(|line| line.split(':').nth(1)).map(str::trim),
        "memory_gib": kib >> 20,
        "kernel": kernel.trim(),
    })
}

fn word_after<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::{cpu_seconds, cpu_ticks, open_files_max, resident_bytes, tcp_bytes, word_after};

    #[test]
    fn this_process_has_memory_files_and_spent_time() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(cpu_seconds(pid).unwrap() > 0.0);
        assert!(open_files_max().unwrap() > 10);
        assert!(cpu_ticks().all > cpu_ticks().stolen);
        tcp_bytes().unwrap();
    }

    #[test]
    fn a_word_follows_its_label() {
        let text = "VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\n";
        assert_eq!(word_after(text, "VmRSS:"), Some("1234"));
        assert_eq!(word_after(text, "VmSwap:"), None);
    }
}
