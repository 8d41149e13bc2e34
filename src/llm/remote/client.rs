//! The HTTP client of a provider: made once, with every header that does not depend on the request.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};

use super::host;
use super::options::RemoteOptions;
use crate::llm::kind::Kind;
use crate::llm::provider::ProvidersError;

/// The version of Anthropic's API whose bodies and events are spoken here.
const ANTHROPIC_VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("anthropic-version"),
    HeaderValue::from_static("2023-06-01"),
);

/// The headers of every request: the key, and what the kind demands.
pub(super) fn headers(options: &RemoteOptions, url: &Url) -> Result<HeaderMap, ProvidersError> {
    let mut headers = HeaderMap::new();
    if options.kind == Kind::Anthropic {
        let (name, value) = ANTHROPIC_VERSION;
        headers.insert(name, value);
    }
    if let Some(key) = &options.key {
        let (name, before) = host::key_header(options, url);
        let mut value = HeaderValue::from_str(&format!("{before}{}", key.reveal()))
            .map_err(|_| ProvidersError::Key(options.name.clone()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The client; nothing is connected yet.
pub(super) fn client(options: &RemoteOptions, endpoint: &Url) -> reqwest::Result<Client> {
    // Another crate may have installed one already; then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_millis(options.connect_ms))
        .pool_idle_timeout(Duration::from_millis(options.pool_idle_ms))
        .tcp_nodelay(true)
        .user_agent(concat!("livedraft/", env!("CARGO_PKG_VERSION")));
    if is_loopback(endpoint) {
        builder = builder.no_proxy();
    }
    if endpoint.scheme() == "http" {
        // No certificate is ever looked at, so a machine without any must do.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = address
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    loopback || host == "localhost" || host.ends_with(".localhost")
}

/// The innermost cause of an HTTP client's error: it says what happened, the outer ones name the URL.
pub(super) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = if error.is_connect() {
        "cannot connect: "
    } else {
        ""
    };
    let innermost = if error.source().is_some() {
        cause.to_string()
    } else {
        error.to_string()
    };
    format!("{what}{innermost}")
}
