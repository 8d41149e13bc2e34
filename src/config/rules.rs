//! What keys must keep among each other.

use std::time::Duration;

use super::fault::{Fault, Source};
use super::layers::Loaded;
use crate::access::{ApiKey, KeyHash};
use crate::llm::{ChainOptions, RemoteOptions};
use crate::server::StartError;

/// The rules that are broken, each told of the key that somebody set.
pub(super) fn broken(loaded: &Loaded) -> Vec<Fault> {
    let parts = &loaded.config.parts;
    let (lease, worker, spec) = (&parts.worker.lease, &parts.worker, &parts.admission.spec);
    let rules = [
        (
            lease.extend_ms.saturating_mul(2) <= lease.lease_ms,
            ["lease.extend_ms", "lease.lease_ms"],
            "must be at most half of `lease.lease_ms`, or a late answer costs the lease",
        ),
        (
            parts.redis.url.is_none() || parts.redis.response < Duration::from_millis(lease.extend_ms),
            ["redis.response_ms", "lease.extend_ms"],
            "must be less than `lease.extend_ms`, or a silent Redis keeps a worker from stopping in time",
        ),
        (
            worker.rate_limit_wait <= worker.rate_limit_wait_max,
            ["worker.rate_limit_wait_ms", "worker.rate_limit_wait_max_ms"],
            "must be at most `worker.rate_limit_wait_max_ms`",
        ),
        (
            worker.retry_base <= worker.retry_wait_max,
            ["worker.retry_base_ms", "worker.retry_wait_max_ms"],
            "must be at most `worker.retry_wait_max_ms`",
        ),
        (
            worker.job_seconds <= spec.seconds_max,
            ["worker.job_seconds", "admission.seconds_max"],
            "must be at most `admission.seconds_max`",
        ),
        (
            worker.draft.bytes_max as u64 <= spec.answer_bytes_max,
            ["draft.bytes_max", "admission.answer_bytes_max"],
            "must be at most `admission.answer_bytes_max`",
        ),
    ];
    let kept = rules.into_iter().filter(|(kept, ..)| !kept);
    let among = kept.map(|(_, keys, message)| Fault::new(setter(loaded, &keys), keys[0], message));
    let providers = parts
        .providers
        .remote
        .iter()
        .filter_map(|one| provider(loaded, one));
    let keys = parts.server.keys.iter().flat_map(|one| key(loaded, one));
    let chains = parts.providers.chains.iter().filter_map(|one| chain(loaded, one));
    among
        .chain(keys)
        .chain(chains)
        .chain(providers)
        .chain(open_to_all(loaded))
        .chain(seen_password(loaded))
        .collect()
}

/// A password where others can see it.
fn seen_password(loaded: &Loaded) -> Option<Fault> {
    let source = loaded.origin("redis.url").source;
    let url = loaded.config.parts.redis.url.as_ref()?;
    let seen = url.has_password() && matches!(source, Source::Flag(_));
    seen.then(|| {
        let message = "has a password, and others can see a command's arguments: give it by the variable \
                       `LIVEDRAFT_REDIS__URL` or in the file";
        Fault::new(source, "redis.url", message)
    })
}

/// What the server itself would refuse, told before anything is started.
fn open_to_all(loaded: &Loaded) -> Option<Fault> {
    let error = loaded.config.parts.server.check().err()?;
    let key = match error {
        StartError::PublicStatus(_) => "server.status_bind",
        _ => "server.bind",
    };
    Some(Fault::new(setter(loaded, &[key]), key, error.to_string()))
}

/// Who set the first of these keys that is not as it was.
fn setter(loaded: &Loaded, keys: &[&str]) -> Source {
    let sources = keys.iter().map(|key| loaded.origin(key).source);
    sources
        .into_iter()
        .find(|source| *source != Source::Default)
        .unwrap_or(Source::Default)
}

/// What an API key lacks.
fn key(loaded: &Loaded, entry: &ApiKey) -> Vec<Fault> {
    let part = format!("keys.{}", entry.id);
    let wanted = [
        (entry.sha256 == KeyHash::NONE, "sha256"),
        (entry.tenant.is_empty(), "tenant"),
    ];
    let lacks = wanted.into_iter().filter(|(lacks, _)| *lacks);
    lacks
        .map(|(_, last)| (format!("{part}.{last}"), "is missing: `livedraft keys new` prints the whole entry"))
        // A fault of the value itself has been told.
        .filter(|(full, _)| loaded.faults.iter().all(|fault| fault.key != *full))
        .map(|(full, message)| Fault::new(loaded.namer(&part), &full, message))
        .collect()
}

fn chain(loaded: &Loaded, options: &ChainOptions) -> Option<Fault> {
    let part = format!("models.{}", options.name);
    let message = options.fault(&loaded.config.parts.providers)?;
    Some(Fault::new(loaded.namer(&part), &format!("{part}.chain"), message))
}

fn provider(loaded: &Loaded, options: &RemoteOptions) -> Option<Fault> {
    let part = format!("providers.{}", options.name);
    let (url, key) = (format!("{part}.base_url"), format!("{part}.key"));
    if options.base_url().is_empty() {
        // A fault of the URL itself has been told.
        let is_told = loaded.faults.iter().any(|fault| fault.key == url);
        let missing = || {
            Fault::new(
                loaded.namer(&part),
                &url,
                "is missing: of kind `openai`, only the provider `openai` has one of its own",
            )
        };
        return (!is_told).then(missing);
    }
    let error = options.check().err()?;
    Some(Fault::new(loaded.origin(&key).source, &key, error.to_string()))
}
