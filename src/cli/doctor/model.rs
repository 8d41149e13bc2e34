//! Whether the models can be asked.

use super::Finding;
use crate::clock;
use crate::llm::{Probe, ProvidersOptions, RemoteOptions, probe};

/// How far the provider's clock and ours may be apart, ms.
const SKEW_MAX_MS: u64 = 30_000;
/// Hosts that answer nobody without a key.
const ASKS_FOR_A_KEY: &[&str] = &[
    "https://api.openai.com/",
    "https://api.anthropic.com/",
    "https://generativelanguage.googleapis.com/",
];

/// One finding for each provider, and for its clock where that is far off.
pub(super) async fn providers(options: &ProvidersOptions, online: bool) -> Vec<Finding> {
    if options.remote.is_empty() {
        return vec![Finding::ok(
            "models",
            "only `scripted`: no provider is configured, nothing leaves this machine",
        )];
    }
    let mut findings = Vec::new();
    for one in &options.remote {
        findings.extend(provider(one, online).await);
    }
    findings
}

async fn provider(options: &RemoteOptions, online: bool) -> Vec<Finding> {
    let name = format!("provider {}", options.name);
    let variable = options.name.to_ascii_uppercase().replace('-', "_");
    let give_key = format!("give it by LIVEDRAFT_PROVIDERS__{variable}__KEY or …__KEY_FILE");
    let key = if options.key.is_some() { "a key" } else { "no key" };
    let asks = ASKS_FOR_A_KEY
        .iter()
        .any(|host| options.base_url().starts_with(host));
    if options.key.is_none() && asks {
        return vec![Finding::fail(
            &name,
            "no key, and it answers nobody without one",
            give_key,
        )];
    }
    if !online {
        return vec![Finding::ok(&name, format!("{key}; not asked (--online asks it)"))];
    }
    let url = format!(
        "see providers.{}.base_url, and whether this machine reaches it",
        options.name
    );
    let answer = match probe(options).await {
        Ok(answer) => answer,
        Err(error) => return vec![Finding::fail(&name, error.message, url)],
    };
    let status = answer.status;
    let finding = match status {
        200..=299 => Finding::ok(&name, format!("{key}; it answers")),
        401 | 403 => Finding::fail(
            &name,
            format!("{key}; it answers {status}: the key is not taken"),
            give_key,
        ),
        _ => Finding::warn(
            &name,
            format!("{key}; it answers {status} to the list of its models"),
            url,
        ),
    };
    std::iter::once(finding).chain(skew(&name, answer)).collect()
}

fn skew(name: &str, answer: Probe) -> Option<Finding> {
    let skew_ms = answer.clock_ms?.abs_diff(clock::now_ms());
    let detail = format!("its clock and ours are {} s apart", skew_ms / 1_000);
    (skew_ms > SKEW_MAX_MS)
        .then(|| Finding::warn(name, detail, "set the clock of this machine, by NTP for example"))
}
