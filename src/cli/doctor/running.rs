//! What the server that runs already says of its models, and of its queue.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::Finding;
use crate::cli::{keys, words};
use crate::client::Client;

/// What there is to read comes at once from this machine.
const TIME: Duration = Duration::from_secs(5);
/// The gauge, as the exposition writes it.
const OPEN: &str = "livedraft_breakers_open{provider=\"";
/// Likewise: of the queue, or of tenants.
const PAUSED: &str = "livedraft_paused{of=\"";

/// A warning for each provider of which models are not asked, and for what is paused; none where the server does not say:
/// where keys are asked for, the one that the environment has must be one of scope `admin`.
pub(super) async fn told(mut bind: SocketAddr) -> Vec<Finding> {
    if bind.ip().is_unspecified() {
        bind.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let client = Client::new(format!("ws://{bind}")).key(keys::shown().ok().flatten());
    match timeout(TIME, client.http("GET", "/metrics")).await {
        Ok(Ok(text)) => text
            .lines()
            .filter_map(|line| left_alone(line).or_else(|| paused(line)))
            .collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// What a line of the exposition says of this gauge, where it is not 0.
fn level<'a>(line: &'a str, gauge: &str) -> Option<(&'a str, f64)> {
    let (label, level) = line.strip_prefix(gauge)?.split_once("\"} ")?;
    let level = level.trim().parse::<f64>().ok().filter(|level| *level > 0.0)?;
    Some((label, level))
}

fn paused(line: &str) -> Option<Finding> {
    let (of, count) = level(line, PAUSED)?;
    let (what, which) = match of {
        "queue" => ("the queue".to_owned(), ""),
        _ => (words::count(count as u64, "tenant"), " --tenant NAME"),
    };
    let detail = format!("{what} paused: what is in line is given to no worker by the server that runs here");
    let way_out = format!("`livedraft queue` shows it, `livedraft resume{which}` lets it go on");
    Some(Finding::warn("queue", detail, &way_out))
}

fn left_alone(line: &str) -> Option<Finding> {
    let (provider, count) = level(line, OPEN)?;
    let models = words::count(count as u64, "model");
    let detail =
        format!("{models} of it not asked now by the server that runs here: calls failed again and again");
    let way_out = "its log names them; breaker.* says when one is asked again";
    Some(Finding::warn(&format!("provider {provider}"), detail, way_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_breakers_are_told() {
        let told = |line: &str| left_alone(line).map(|finding| (finding.name, finding.detail));
        let (name, detail) = told("livedraft_breakers_open{provider=\"a\"} 2.0").unwrap();
        assert_eq!(name, "provider a");
        assert!(detail.starts_with("2 models of it not asked now"), "{detail}");
        for none in [
            "livedraft_breakers_open{provider=\"a\"} 0.0",
            "livedraft_breakers_open{provider=\"a\"}",
            "# TYPE livedraft_breakers_open gauge",
            "HTTP/1.1 401 Unauthorized",
        ] {
            assert_eq!(told(none), None, "{none}");
        }
    }

    #[test]
    fn pauses_are_told() {
        let told = |line: &str| paused(line).map(|finding| finding.detail);
        let detail = told("livedraft_paused{of=\"queue\"} 1.0").unwrap();
        assert!(detail.starts_with("the queue paused"), "{detail}");
        let detail = told("livedraft_paused{of=\"tenants\"} 2.0").unwrap();
        assert!(detail.starts_with("2 tenants paused"), "{detail}");
        assert_eq!(told("livedraft_paused{of=\"queue\"} 0.0"), None);
    }
}
