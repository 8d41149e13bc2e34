//! What can be seen on this machine.

use std::io::ErrorKind;
use std::net::TcpListener;
#[cfg(unix)]
use std::path::{Path, PathBuf};

use super::Finding;
use crate::cli::words;
use crate::client::Client;
use crate::clock;
use crate::config::Loaded;
#[cfg(unix)]
use crate::config::Source;
use crate::server::ServerOptions;
use crate::store::{Look, Store, StoreError, StoreOptions};

/// Descriptors beside those of connections: the engine, the log, providers' sockets.
#[cfg(unix)]
const DESCRIPTORS_BESIDE: u64 = 128;
/// No clock that is right shows a time before this, ms: the first of January 2026.
const TIME_MIN_MS: u64 = 1_767_225_600_000;
/// Nor, for as long as this may be used, one after it: the first of January 2100.
const TIME_MAX_MS: u64 = 4_102_444_800_000;

/// Every fault, and secrets that others can read.
pub(super) fn configuration(loaded: &Loaded) -> Vec<Finding> {
    const NAME: &str = "configuration";
    if !loaded.faults.is_empty() {
        let way_out = "livedraft config show   tells what holds; config init - lists all keys";
        let faults = loaded.faults.iter();
        return faults
            .map(|fault| Finding::fail(NAME, fault.to_string(), way_out))
            .collect();
    }
    let file = loaded
        .file
        .as_deref()
        .map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let set = loaded
        .settings()
        .iter()
        .filter(|setting| setting.is_set())
        .count();
    let set = words::count(set as u64, "setting");
    let sound = Finding::ok(NAME, format!("{file}, {set} beside the defaults"));
    std::iter::once(sound).chain(open_secrets(loaded)).collect()
}

/// Files with secrets in them that more than their owner may read.
#[cfg(unix)]
fn open_secrets(loaded: &Loaded) -> Vec<Finding> {
    let secrets = loaded
        .settings()
        .into_iter()
        .filter(|setting| setting.is_secret && setting.is_set());
    let mut files: Vec<PathBuf> = secrets
        .filter_map(|setting| match (setting.origin.held_in, setting.origin.source) {
            (Some(file), _) | (None, Source::File(file, _)) => Some(file),
            _ => None,
        })
        .filter(|file| may_others_read(file))
        .collect();
    files.dedup();
    let told = |file: &PathBuf| {
        let detail = format!("{} holds a secret, and others may read it", file.display());
        Finding::warn("secrets", detail, format!("chmod 600 {}", file.display()))
    };
    files.iter().map(told).collect()
}

/// Others than the owner and the group: orchestrators mount secrets for a group.
#[cfg(unix)]
fn may_others_read(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|about| about.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn open_secrets(_: &Loaded) -> Vec<Finding> {
    Vec::new()
}

/// Whether the server can listen where it is told to; whether it may is a matter of the configuration.
pub(super) async fn address(options: &ServerOptions) -> Finding {
    const NAME: &str = "address";
    match TcpListener::bind(options.bind) {
        Ok(_) => Finding::ok(NAME, format!("{} is free", options.bind)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => taken(options).await,
        Err(error) => Finding::fail(
            NAME,
            format!("cannot listen on {}: {error}", options.bind),
            "set server.bind to an address of this machine and a port that you may use (from 1024 on)",
        ),
    }
}

async fn taken(options: &ServerOptions) -> Finding {
    let bind = options.bind;
    let way_out = "stop it, or set server.bind to another port; port 0 takes a free one";
    match Client::new(format!("ws://{bind}")).connect().await {
        Ok(_) => Finding::warn(
            "address",
            format!("a livedraft server answers on {bind} already"),
            way_out,
        ),
        Err(error) => Finding::fail(
            "address",
            format!("something else listens on {bind} ({error})"),
            way_out,
        ),
    }
}

/// Whether this process may hold as many connections as it is told to.
#[cfg(unix)]
pub(super) fn descriptors(options: &ServerOptions) -> Finding {
    const NAME: &str = "file descriptors";
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let needed = (options.connections() as u64).saturating_add(DESCRIPTORS_BESIDE);
    match limits.current {
        Some(limit) if limit < needed => Finding::warn(
            NAME,
            format!("{limit} may be open, and server.connections_max asks for {needed}"),
            format!("ulimit -n {needed} (systemd: LimitNOFILE={needed}), or lower server.connections_max"),
        ),
        Some(limit) => Finding::ok(NAME, format!("{limit} may be open, {needed} may be needed")),
        None => Finding::ok(NAME, "as many as are wanted"),
    }
}

#[cfg(not(unix))]
pub(super) fn descriptors(_: &ServerOptions) -> Finding {
    Finding::ok("file descriptors", "not limited on this system")
}

/// Whether the wall clock can be right: job ids, ends and retention go by it.
pub(super) fn clock() -> Finding {
    let now_ms = clock::now_ms();
    let seconds = now_ms / 1_000;
    if (TIME_MIN_MS..TIME_MAX_MS).contains(&now_ms) {
        Finding::ok("clock", format!("{seconds} s since 1970"))
    } else {
        let detail = format!("{seconds} s since 1970: that cannot be now");
        Finding::fail(
            "clock",
            detail,
            "set the clock of this machine, by NTP for example",
        )
    }
}

/// Where jobs are kept; it is looked at and not touched.
pub(super) async fn data(options: &StoreOptions) -> Finding {
    if options.ephemeral {
        return Finding::warn(
            "data",
            "nothing is kept: a restart forgets all jobs",
            "leave out --ephemeral (store.ephemeral) where jobs matter",
        );
    }
    let folder = &options.folder;
    match Store::look(options).await {
        Ok(Look::Absent) => Finding::ok("data", format!("{folder} is not there yet: the server makes it")),
        Ok(Look::Sound { aside: 0 }) => Finding::ok("data", format!("{folder} can be written and is sound")),
        Ok(Look::Sound { aside }) => {
            let records = words::count(aside, "record");
            let detail = format!("{folder} is sound; {records} of jobs could not be read and were set aside");
            let way_out =
                "the table archive_aside has them as they were told, until archive.retention_ms is past";
            Finding::warn("data", detail, way_out)
        }
        Err(error @ StoreError::InUse { .. }) => Finding::warn(
            "data",
            error.to_string(),
            "if that is the server you mean, all is well",
        ),
        Err(error) => Finding::fail(
            "data",
            error.to_string(),
            "choose a folder that can be written by --data",
        ),
    }
}

/// A data folder that others than its owner may read.
#[cfg(unix)]
pub(super) fn open_data(options: &StoreOptions) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt as _;
    let about = std::fs::metadata(&options.folder).ok()?;
    let is_open = !options.ephemeral && about.permissions().mode() & 0o077 != 0;
    is_open.then(|| {
        let folder = &options.folder;
        let detail = format!("others may look into {folder}, where prompts and answers lie");
        Finding::warn("data", detail, format!("chmod 700 {folder}"))
    })
}

#[cfg(not(unix))]
pub(super) fn open_data(_: &StoreOptions) -> Option<Finding> {
    None
}
