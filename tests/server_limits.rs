//! Who is held to how much: by address, by tenant, by socket; and whom a proxy speaks for.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use livedraft::hub::HubOptions;
use livedraft::server::ServerOptions;
use livedraft::wire::Limits;
use reqwest::{Client as Http, Method};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite;

use crate::harness::{Client, House, create, house, house_with, options, request};
use crate::server_guard::{FIN, TEXT, close_code, frame, masked, upgraded};

/// A server behind a proxy on this machine, with few of everything.
fn behind_a_proxy() -> ServerOptions {
    ServerOptions {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        connections_per_address_max: 2,
        ..options()
    }
}

/// Opens a socket for a client of this address, or tells status, body and `Retry-After`.
async fn open(house: &House, address: &str) -> Result<Client, (u16, Json, Option<String>)> {
    let mut request = house.request();
    request
        .headers_mut()
        .insert("x-forwarded-for", address.parse().unwrap());
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(Client { socket }),
        Err(tungstenite::Error::Http(response)) => {
            let wait = response.headers().get("retry-after");
            let wait = wait.map(|wait| wait.to_str().unwrap().to_owned());
            let body = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
            Err((response.status().as_u16(), body, wait))
        }
        Err(other) => panic!("{other}"),
    }
}

fn http() -> Http {
    // A second test finds it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Http::builder().no_proxy().build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let house = house_with(behind_a_proxy(), HubOptions::default());
    let first = open(&house, "1.1.1.1").await.unwrap();
    // What stands before the last hop anyone can write.
    let second = open(&house, "6.6.6.6, 1.1.1.1").await.unwrap();
    let (status, body, wait) = open(&house, "7.7.7.7, 1.1.1.1").await.err().unwrap();
    assert_eq!((status, &body["code"]), (429, &json!("too_many_connections")));
    assert_eq!(
        (wait.as_deref(), &body["retry_after_ms"]),
        (Some("1"), &json!(1_000))
    );
    assert!(
        body["message"].as_str().unwrap().contains("2 connections"),
        "{body}"
    );
    // Event streams count too.
    let events = http()
        .get(house.url("/v1/jobs/01990000-0000-7000-8000-000000000001/events"))
        .header("x-forwarded-for", "1.1.1.1");
    assert_eq!(events.send().await.unwrap().status(), 429);
    let other = open(&house, "2.2.2.2").await.unwrap();
    // One subscriber of IPv6 has 64 bits of addresses.
    let six = open(&house, "2001:db8::1").await.unwrap();
    let seven = open(&house, "2001:db8::2").await.unwrap();
    assert_eq!(open(&house, "2001:db8::3").await.err().unwrap().0, 429);
    drop((second, other, six, seven));
    let again = loop {
        if let Ok(client) = open(&house, "1.1.1.1").await {
            break client;
        }
    };
    drop((first, again));
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_machine_is_counted_only_where_it_is_asked_for() {
    for (limit_loopback, third) in [(false, true), (true, false)] {
        let few = ServerOptions {
            connections_per_address_max: 2,
            limit_loopback,
            ..options()
        };
        let house = house_with(few, HubOptions::default());
        // Without proxies that are trusted, the header says nothing.
        let open_one = |address| open(&house, address);
        let held = (
            open_one("1.1.1.1").await.unwrap(),
            open_one("2.2.2.2").await.unwrap(),
        );
        assert_eq!(open_one("3.3.3.3").await.is_ok(), third);
        drop(held);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_opens_so_many_connections_a_second() {
    let slow = ServerOptions {
        upgrades_per_second_per_address: 1,
        connections_per_address_max: 100,
        ..behind_a_proxy()
    };
    let house = house_with(slow, HubOptions::default());
    // What is refused is counted as well as what is opened.
    let mut told = Vec::new();
    while told.len() < 10 {
        match open(&house, "1.1.1.1").await {
            Ok(client) => drop(client),
            Err(refused) => told.push(refused),
        }
    }
    let (status, body, wait) = &told[0];
    assert_eq!((*status, &body["code"]), (429, &json!("rate_limited")));
    assert_eq!(wait.as_deref(), Some("1"));
    assert!(body["retry_after_ms"].as_u64().unwrap() <= 1_000, "{body}");
    assert!(open(&house, "2.2.2.2").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_submits_so_many_jobs_a_second() {
    let slow = ServerOptions {
        submits_per_second_per_tenant: 1,
        ..options()
    };
    let house = house_with(slow, HubOptions::default());
    let mut client = house.client().await;
    let limited = loop {
        client.send(create("c")).await;
        let answer = client.json().await;
        if answer["type"] == "error" {
            break answer;
        }
        assert_eq!(answer["type"], "job.accepted");
    };
    assert_eq!(
        (&limited["code"], &limited["ref"]),
        (&json!("rate_limited"), &json!("c"))
    );
    assert!(
        limited["retry_after_ms"]
            .as_u64()
            .is_some_and(|wait| (1..=1_000).contains(&wait))
    );
    // By whatever door.
    let refused = loop {
        let post = http().post(house.url("/v1/jobs")).body(request().to_string());
        let response = post.send().await.unwrap();
        if response.status() != 201 {
            break response;
        }
    };
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    client.send(json!({"type": "ping"})).await;
    client.expect("pong").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_and_control_frames_have_their_bounds() {
    let few = ServerOptions {
        fragments_max: 4,
        control_frames_per_second_max: 1,
        ..options()
    };
    let house = house_with(few, HubOptions::default());
    let fragments = |count: usize| {
        let mut frames = vec![masked(TEXT, br#"{"type":"#)];
        frames.extend(vec![masked(0, b""); count - 2]);
        frames.push(masked(FIN, br#""ping"}"#));
        frames.concat()
    };
    let mut stream = upgraded(&house).await;
    frame(&mut stream).await.unwrap();
    stream.write_all(&fragments(4)).await.unwrap();
    assert_eq!(frame(&mut stream).await.unwrap().1, br#"{"type":"pong"}"#);
    stream.write_all(&fragments(5)).await.unwrap();
    assert_eq!(close_code(&mut stream).await, Some(1008));

    for control in [0x9, 0xA] {
        let mut stream = upgraded(&house).await;
        // However slowly they are read, more than the pace of one a second allows.
        let flood = masked(FIN | control, b"x").repeat(10_000);
        // It may close before it has read all.
        let _ = stream.write_all(&flood).await;
        assert_eq!(close_code(&mut stream).await, Some(1008), "{control:#x}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let quick = ServerOptions {
        head_timeout_ms: 50,
        ..options()
    };
    let house = house_with(quick, HubOptions::default());
    let mut stream = TcpStream::connect(house.running.addr()).await.unwrap();
    stream
        .write_all(b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_hosts_and_origins_are_taken() {
    let listed = ServerOptions {
        allowed_hosts: vec!["live.example".to_owned()],
        allowed_origins: vec!["https://app.example".to_owned()],
        ..options()
    };
    let (house, plain) = (house_with(listed, HubOptions::default()), house());
    let post = async |house: &House, host: &str, origin: Option<&str>| {
        let request = http().post(house.url("/v1/jobs")).header("host", host);
        let request = match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        };
        let response = request.body("{}").send().await.unwrap();
        let status = response.status().as_u16();
        let body: Json = response.json().await.unwrap();
        (status, body["code"].as_str().unwrap().to_owned())
    };
    let taken = (400, "bad_request".to_owned());
    let strange = (421, "host_not_allowed".to_owned());
    let foreign = (403, "origin_not_allowed".to_owned());
    assert_eq!(post(&house, "live.example", None).await, taken);
    assert_eq!(post(&plain, "live.example", None).await, strange);
    // A name that was made to mean this address: the page is of its own host as far as the browser knows.
    assert_eq!(
        post(&plain, "evil.example", Some("http://evil.example")).await,
        strange
    );
    assert_eq!(
        post(&house, "localhost", Some("https://app.example")).await,
        taken
    );
    assert_eq!(
        post(&plain, "localhost", Some("https://app.example")).await,
        foreign
    );
    for origin in [
        "null",
        "http://app.example",
        "https://app.example:1",
        "https://app.example.evil",
        "https://APP.example",
    ] {
        assert_eq!(post(&house, "localhost", Some(origin)).await, foreign, "{origin}");
    }
    let own = format!("http://{}", house.running.addr());
    assert_eq!(
        post(&house, &house.running.addr().to_string(), Some(&own)).await,
        taken
    );
    listed_pages_may_read(&house).await;
    // Every route, also those that are not there.
    for path in ["/v1/ws", "/v1/models", "/livez", "/nowhere", "/v1/jobs/x/events"] {
        let response = http()
            .get(plain.url(path))
            .header("host", "evil.example")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 421, "{path}");
    }
}

/// What a browser asks before it sends a page's request, and whether it lets the page read the answer.
async fn listed_pages_may_read(house: &House) {
    let ask = async |method: Method, origin: &str| {
        let request = http()
            .request(method, house.url("/v1/jobs"))
            .header("origin", origin);
        let request = request.header("access-control-request-method", "POST").body("{}");
        let response = request.send().await.unwrap();
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let (origin, methods) = (
            header("access-control-allow-origin"),
            header("access-control-allow-methods"),
        );
        (response.status().as_u16(), origin, methods, header("vary"))
    };
    let (page, vary) = ("https://app.example", Some("Origin".to_owned()));
    let (status, origin, methods, told) = ask(Method::OPTIONS, page).await;
    assert_eq!((status, origin.as_deref(), &told), (204, Some(page), &vary));
    assert!(methods.is_some_and(|methods| methods.contains("POST")));
    let (status, origin, _, told) = ask(Method::POST, page).await;
    assert_eq!(
        (status, origin.as_deref(), &told),
        (400, Some(page), &vary),
        "a refusal is read too"
    );
    let foreign = "https://evil.example";
    assert_eq!(ask(Method::OPTIONS, foreign).await, (405, None, None, None));
    assert_eq!(ask(Method::POST, foreign).await, (403, None, None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_as_many_values_as_the_limit_says_read_here_or_beside() {
    for inline_bytes_max in [0, 16 * 1024] {
        let options = ServerOptions {
            limits: Limits {
                values_max: 1_000,
                ..Limits::default()
            },
            inline_bytes_max,
            readings_max: 1,
            ..options()
        };
        let house = house_with(options, HubOptions::default());
        let mut client = house.client().await;
        // The object, the type, the list and what is in it; what stands in a string is none.
        for (ones, told) in [(997, "unknown member"), (998, "more than 1000 values")] {
            let text = format!(r#"{{"type":"ping","[,,{{":[{}1]}}"#, "1,".repeat(ones - 1));
            client.text(text.clone()).await;
            let error = client.expect("error").await;
            assert_eq!(error["code"], "bad_request");
            assert!(error["message"].as_str().unwrap().contains(told), "{error}");
            let post = http().post(house.url("/v1/jobs")).body(text);
            let answer: Json =
                serde_json::from_str(&post.send().await.unwrap().text().await.unwrap()).unwrap();
            assert_eq!(answer["code"], "bad_request");
            assert!(answer["message"].as_str().unwrap().contains(told), "{answer}");
        }
        let mut long = create("s");
        long["request"]["input"] = json!("x".repeat(100_000));
        client.send(long).await;
        client.expect("job.accepted").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_nests_as_deep_as_the_limit_says_and_no_deeper() {
    for limit in [8, Limits::default().depth_max] {
        let options = ServerOptions {
            limits: Limits {
                depth_max: limit,
                ..Limits::default()
            },
            ..options()
        };
        let house = house_with(options, HubOptions::default());
        let mut client = house.fresh().await;
        assert_eq!(client.expect("welcome").await["limits"]["depth_max"], limit);
        // What stands in a string nests nothing.
        let mut message = create("s");
        message["request"]["input"] = json!("[".repeat(200) + "\\\"{");
        client.send(message.clone()).await;
        client.expect("job.accepted").await;
        let mut client = house.client().await;
        for (depth, code) in [(limit, "bad_request"), (limit + 1, "too_deep")] {
            let inner = depth as usize - 1;
            let text = format!(
                r#"{{"type":"ping","a":{}{}}}"#,
                "[".repeat(inner),
                "]".repeat(inner)
            );
            client.text(text.clone()).await;
            let error = client.expect("error").await;
            assert_eq!(error["code"], code, "{depth} of {limit}");
            let post = http().post(house.url("/v1/jobs")).body(text);
            let answer: Json =
                serde_json::from_str(&post.send().await.unwrap().text().await.unwrap()).unwrap();
            assert_eq!(answer["code"], code, "{depth} of {limit}");
            if code == "too_deep" {
                let message = answer["message"].as_str().unwrap();
                assert!(
                    message.contains(&format!("{limit} deep at line 1 column {}", 19 + limit)),
                    "{message}"
                );
            }
        }
    }
}
