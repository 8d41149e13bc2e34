//! Who may ask at all: the host that is named, the page that asks, the key that is shown, the address it comes from.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{HttpRequest, web};

use super::ServerOptions;
use super::ask::{Refusal, refusal};
use super::node::Node;
use super::problem;
use crate::access::{self, Identity, Scope};
use crate::clock;
use crate::wire::Code;

/// The header in which proxies tell whom they speak for.
const FORWARDED: &str = "x-forwarded-for";

/// In front of every route: a request that names a host which is not this server's is refused. A page whose name its
/// owner made to mean this address (DNS rebinding) is of the same origin as far as its browser knows.
pub(super) async fn host(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> actix_web::Result<ServiceResponse<BoxBody>> {
    let options = request.app_data::<web::Data<Node>>().map(|node| &node.options);
    let named = request.headers().get(header::HOST);
    // No browser leaves the header out.
    let is_ours = match (options, named) {
        (Some(options), Some(host)) => host.to_str().is_ok_and(|host| is_host(options, host)),
        _ => true,
    };
    if is_ours {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let refused = problem::answer(&refusal(
        Code::HostNotAllowed,
        "this server is not the host that the request names: name its address, or list the host in `allowed_hosts`",
    ));
    Ok(request.into_response(refused))
}

fn is_host(options: &ServerOptions, host: &str) -> bool {
    let listed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(host);
    if options.allowed_hosts.iter().any(listed) {
        return true;
    }
    let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
    if options
        .allowed_hosts
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(&name))
    {
        return true;
    }
    let bound = options.bind.ip();
    match name.trim_matches(['[', ']']).parse::<IpAddr>() {
        // A name can be made to mean any address, an address cannot.
        Ok(address) => address.is_loopback() || address == bound || bound.is_unspecified(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether no page asks, or one of this host, or one that is listed. Programs that are no browsers send no `Origin`.
pub(super) fn origin(request: &HttpRequest, options: &ServerOptions) -> Result<(), Refusal> {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return Ok(());
    };
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origin = origin.to_str().unwrap_or_default();
    let own = match (origin.split_once("://"), host) {
        (Some((_, authority)), Some(host)) => authority.eq_ignore_ascii_case(host),
        _ => false,
    };
    if own || options.allowed_origins.iter().any(|allowed| allowed == origin) {
        return Ok(());
    }
    Err(refusal(
        Code::OriginNotAllowed,
        "pages of other origins may not speak with this server: list the origin in `allowed_origins`",
    ))
}

/// Who asks, where the request says so or everyone is the same; `None` where a key is wanted and none is shown.
pub(super) fn shown(request: &HttpRequest, node: &Node) -> Result<Option<Arc<Identity>>, Refusal> {
    if let Some(anyone) = node.access.anyone() {
        return Ok(Some(anyone));
    }
    let Some(header) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let token = header.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match node.access.check(token.unwrap_or_default(), clock::now_ms()) {
        Ok(who) => Ok(Some(who)),
        Err(unknown) => {
            // Who tries keys is held to the pace of one who opens connections.
            node.may_arrive(address(request, &node.options))?;
            Err(refusal(
                Code::Unauthorized,
                format!("{unknown}: `Authorization: Bearer ld_<id>_<secret>`"),
            ))
        }
    }
}

/// Who asks, and may.
pub(super) fn who(request: &HttpRequest, node: &Node, scope: Scope) -> Result<Arc<Identity>, Refusal> {
    let Some(who) = shown(request, node)? else {
        return Err(refusal(
            Code::Unauthorized,
            "a key is asked for here: `Authorization: Bearer ld_<id>_<secret>`",
        ));
    };
    if !who.may(scope) {
        return Err(refusal(Code::Forbidden, scope.refusal()));
    }
    Ok(who)
}

/// The address a request counts for. `None` for this machine itself, unless it is to be counted: there is the
/// operator, or a proxy that all come through.
pub(super) fn address(request: &HttpRequest, options: &ServerOptions) -> Option<IpAddr> {
    let forwarded = request.headers().get_all(FORWARDED);
    let lines: Vec<&str> = forwarded.filter_map(|line| line.to_str().ok()).collect();
    let peer = request.peer_addr()?.ip();
    let client = access::client(peer, lines.into_iter(), &options.trusted_proxies);
    (!client.is_loopback() || options.limit_loopback).then(|| access::group(client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_ours_or_not() {
        let mut options = ServerOptions {
            allowed_hosts: vec!["live.example".to_owned(), "other.example:8443".to_owned()],
            ..ServerOptions::default()
        };
        for ours in [
            "localhost",
            "LocalHost:8080",
            "app.localhost:1",
            "localhost.",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "live.example",
            "Live.Example:443",
            "other.example:8443",
        ] {
            assert!(is_host(&options, ours), "{ours}");
        }
        let strange = [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "other.example",
            "other.example:1",
            "",
            ":80",
            "10.0.0.1",
            "live.example@evil.example",
        ];
        for strange in strange {
            assert!(!is_host(&options, strange), "{strange}");
        }
        options.bind = "10.0.0.1:80".parse().unwrap();
        assert!(is_host(&options, "10.0.0.1") && !is_host(&options, "10.0.0.2"));
        options.bind = "0.0.0.0:80".parse().unwrap();
        assert!(is_host(&options, "10.0.0.2") && !is_host(&options, "evil.example"));
        options.allowed_hosts.push("*".to_owned());
        assert!(is_host(&options, "evil.example"));
    }
}
