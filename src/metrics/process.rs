//! What the system says of this process (Linux; elsewhere these stay 0).

use super::Metrics;

/// Looks now.
pub(super) fn sample(all: &Metrics) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    if let Some(kib) = number("VmRSS:") {
        all.process_memory.set(kib * 1024.0);
    }
    if let Some(threads) = number("Threads:") {
        all.process_threads.set(threads);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // The folder that is being read is one of them.
        all.process_fds.set(entries.count().saturating_sub(1) as f64);
    }
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    if let Some(soft) = line.and_then(|line| line.split_whitespace().next()?.parse().ok()) {
        all.process_fds_max.set(soft);
    }
}
