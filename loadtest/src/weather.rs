//! What the machine did to a measurement: how busy it was, what its host took from it, how long it stood still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::report::{Row, ms, rounded, row};
use crate::{clock, process};

/// How long the witness sleeps at a time.
const NAP: Duration = Duration::from_millis(1);

/// A measurement's surroundings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Load average of the last minute, before and after.
    pub(crate) load: [f64; 2],
    /// Percent of the CPU's time that the host gave to others (`steal` of `/proc/stat`, see proc(5)).
    pub(crate) stolen_percent: f64,
    /// The longest that a thread which wanted nothing but to wake up was late, in microseconds: no delay of that run
    /// that is shorter tells anything of the system.
    pub(crate) late_micros: u64,
}

impl Weather {
    pub(crate) fn json(&self) -> Value {
        json!({
            "load_average": self.load, "stolen_percent": rounded(self.stolen_percent, 2),
            "machine_late_ms": ms(self.late_micros),
        })
    }

    pub(crate) fn line(&self) -> String {
        let [before, after] = self.load;
        format!(
            "Load average {before} before, {after} after; {:.1} % of the CPU stolen by the host; the machine itself was late by up to {:.1} ms.",
            self.stolen_percent,
            self.late_micros as f64 / 1_000.0
        )
    }

    /// As columns of a row.
    pub(crate) fn cells(&self) -> Row {
        row([
            ("stolen %", rounded(self.stolen_percent, 1)),
            ("machine late ms", ms(self.late_micros)),
        ])
    }
}

/// Looks on while something is measured.
#[derive(Debug)]
pub(crate) struct Watch {
    load: f64,
    ticks: process::CpuTicks,
    late_micros: Arc<AtomicU64>,
}

impl Watch {
    /// Begins. The thread that looks on ends with the watch.
    pub(crate) fn begin() -> Self {
        let late_micros = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&late_micros);
        std::thread::spawn(move || {
            while let Some(most) = watched.upgrade() {
                most.fetch_max(clock::nap(NAP), Ordering::Relaxed);
            }
        });
        Self {
            load: process::load_average(),
            ticks: process::cpu_ticks(),
            late_micros,
        }
    }

    /// What was seen since.
    pub(crate) fn end(self) -> Weather {
        let ticks = process::cpu_ticks();
        let all = ticks.all.saturating_sub(self.ticks.all).max(1);
        let stolen = ticks.stolen.saturating_sub(self.ticks.stolen);
        Weather {
            load: [self.load, process::load_average()],
            stolen_percent: stolen as f64 * 100.0 / all as f64,
            late_micros: self.late_micros.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Watch, Weather};
    use crate::clock;
    use std::time::Duration;

    #[test]
    fn a_watch_sees_that_the_machine_is_never_quite_in_time() {
        let watch = Watch::begin();
        let mut naps = 0;
        while watch.late_micros.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            clock::nap(Duration::from_millis(1));
            naps += 1;
            assert!(naps < 60_000, "the witness saw nothing");
        }
        let weather = watch.end();
        assert!(weather.late_micros > 0);
        assert!((0.0..=100.0).contains(&weather.stolen_percent));
    }

    #[test]
    fn it_is_told_in_a_line_and_in_columns() {
        let weather = Weather {
            load: [0.5, 1.0],
            stolen_percent: 2.04,
            late_micros: 70_250,
        };
        assert_eq!(
            weather.line(),
            "Load average 0.5 before, 1 after; 2.0 % of the CPU stolen by the host; the machine itself was late by up to 70.2 ms."
        );
        assert_eq!(weather.cells()["machine late ms"], 70.25);
        assert_eq!(weather.json()["load_average"][1], 1.0);
    }
}
