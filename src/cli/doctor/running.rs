//! What the server that runs already says of its models.

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

/// A warning for each provider of which models are not asked; none where the server does not say: where keys are asked
/// for, the one that the environment has must be one of scope `admin`.
pub(super) async fn left_alone(mut bind: SocketAddr) -> Vec<Finding> {
    if bind.ip().is_unspecified() {
        bind.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let client = Client::new(format!("ws://{bind}")).key(keys::shown().ok().flatten());
    match timeout(TIME, client.http("GET", "/metrics")).await {
        Ok(Ok(text)) => text.lines().filter_map(finding).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

fn finding(line: &str) -> Option<Finding> {
    let (provider, level) = line.strip_prefix(OPEN)?.split_once("\"} ")?;
    let count = level.trim().parse::<f64>().ok().filter(|count| *count > 0.0)?;
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
        let told = |line: &str| finding(line).map(|finding| (finding.name, finding.detail));
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
}
