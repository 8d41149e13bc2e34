//! Keys against a whole server: who comes in, what a key may do, and a second tenant that tries every verb.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeSet;

use livedraft::access::{NewKey, Scope, Token};
use livedraft::archive::Archive;
use livedraft::hub::HubOptions;
use livedraft::job::{JobId, Outcome};
use livedraft::server::{ServerOptions, StartError, start};
use reqwest::{Client as Http, Method, RequestBuilder};
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite;

use crate::harness::{Client, House, archived_house, create, house, house_with, options, request};
use crate::wire_samples::CLIENT_TYPES;

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000001";

fn made(id: &str, tenant: &str, scopes: &[Scope]) -> NewKey {
    let random = livedraft::clock::secret().unwrap();
    NewKey::make(id, tenant, scopes.iter().copied().collect(), random).unwrap()
}

/// A server that knows two tenants: `ada` and `eve`, each with every scope.
fn two_tenants() -> (House, Token, Token) {
    let (ada, eve) = (made("ada", "ada", &Scope::ALL), made("eve", "eve", &Scope::ALL));
    let options = ServerOptions {
        keys: vec![ada.entry, eve.entry],
        ..options()
    };
    (house_with(options, HubOptions::default()), ada.token, eve.token)
}

/// The same, with an archive and an engine that keeps one job that has ended.
async fn two_tenants_archived() -> (House, Archive, Token, Token) {
    let (ada, eve) = (made("ada", "ada", &Scope::ALL), made("eve", "eve", &Scope::ALL));
    let options = ServerOptions {
        keys: vec![ada.entry, eve.entry],
        ..options()
    };
    let (house, archive) = archived_house(options, 1).await;
    (house, archive, ada.token, eve.token)
}

fn http(house: &House, method: Method, path: &str, key: Option<&Token>) -> RequestBuilder {
    // A second test finds it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Http::builder().no_proxy().build().unwrap();
    let request = client.request(method, house.url(path));
    match key {
        Some(key) => request.bearer_auth(key.reveal()),
        None => request,
    }
}

/// An answer as far as a client can see it, but for its date.
async fn seen(request: RequestBuilder) -> (u16, Vec<(String, String)>, String) {
    let response = request.send().await.unwrap();
    let headers = response.headers().iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let (status, headers) = (response.status().as_u16(), headers.collect());
    (status, headers, response.text().await.unwrap())
}

/// A job of ada's with a value, and one that has ended.
async fn jobs_of_ada(house: &House, ada: &Token) -> (JobId, JobId) {
    let mut client = house.client_with(ada).await;
    let (ended, _) = client.create().await;
    let mut hands = house.claim().await;
    hands.attempt(1).await;
    hands.patch(r#"["",{"name":"secret"},0]"#).await;
    hands.finish(Outcome::Completed).await;
    let mut client = house.client_with(ada).await;
    let (running, _) = client.create().await;
    let mut hands = house.claim().await;
    hands.attempt(1).await;
    hands.patch(r#"["",{"name":"secret"},0]"#).await;
    (running, ended)
}

/// What every verb of a socket answers about a job.
async fn socket_answers(client: &mut Client, job: &str) -> Vec<String> {
    let position = json!({"epoch": "00c0ffee00c0ffee", "seq": 1});
    let verbs = [
        json!({"type": "job.attach", "ref": "r", "job_id": job}),
        json!({"type": "job.attach", "ref": "r", "job_id": job, "position": position}),
        json!({"type": "job.attach", "ref": "r", "job_id": job, "deliver": {"as": "snapshot", "unseen": "null"}}),
        json!({"type": "job.attach", "ref": "r", "job_id": job, "deliver": {"as": "final"}}),
        json!({"type": "job.get", "ref": "r", "job_id": job}),
        json!({"type": "job.cancel", "ref": "r", "job_id": job}),
        json!({"type": "job.accept", "ref": "r", "job_id": job}),
        json!({"type": "job.reask", "ref": "r", "job_id": job, "errors": []}),
        json!({"type": "job.detach", "ref": "r", "job_id": job}),
    ];
    // Those that name no job are tried elsewhere; a verb that is new must be tried here or there.
    let mut tried: BTreeSet<&str> = verbs.iter().map(|verb| verb["type"].as_str().unwrap()).collect();
    tried.extend(["auth", "job.create", "ping"]);
    assert_eq!(tried, CLIENT_TYPES.iter().copied().collect());
    let mut answers = Vec::new();
    for verb in verbs {
        client.send(verb).await;
        answers.push(client.told().await);
    }
    answers
}

/// What every route answers about a job.
async fn http_answers(house: &House, key: &Token, job: &str) -> Vec<(u16, Vec<(String, String)>, String)> {
    let get = |path: String| http(house, Method::GET, &path, Some(key));
    let events = format!("/v1/jobs/{job}/events");
    let requests = [
        get(format!("/v1/jobs/{job}")),
        http(house, Method::HEAD, &format!("/v1/jobs/{job}"), Some(key)),
        get(format!("/v1/jobs/{job}/attempts")),
        http(house, Method::POST, &format!("/v1/jobs/{job}/cancel"), Some(key)),
        http(house, Method::POST, &format!("/v1/jobs/{job}/accept"), Some(key)),
        http(house, Method::POST, &format!("/v1/jobs/{job}/reask"), Some(key)).body("{\"errors\":[]}"),
        get(events.clone()),
        get(format!("{events}?as=snapshot&unseen=null&notes=true")),
        get(format!("{events}?as=final")),
        get(format!("{events}?starting_after=00c0ffee00c0ffee.1")),
        get(events).header("Last-Event-ID", "00c0ffee00c0ffee.1"),
    ];
    let mut answers = Vec::new();
    for request in requests {
        answers.push(seen(request).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_tenant_learns_nothing_by_any_verb() {
    let (house, archive, ada, eve) = two_tenants_archived().await;
    let (_, forgotten) = jobs_of_ada(&house, &ada).await;
    let (running, ended) = jobs_of_ada(&house, &ada).await;
    house.forget().await;
    while archive.drain().await.unwrap() {}
    let state = http(&house, Method::GET, &format!("/v1/jobs/{forgotten}"), Some(&ada));
    let state: Json = state.send().await.unwrap().json().await.unwrap();
    assert_eq!(state["value"]["name"], "secret", "its owner is told");
    let mut client = house.client_with(&eve).await;
    let unknown = socket_answers(&mut client, UNKNOWN).await;
    assert!(
        unknown.iter().all(|answer| answer.contains("\"not_found\"")),
        "{unknown:?}"
    );
    let unknown_by_http = http_answers(&house, &eve, UNKNOWN).await;
    assert!(
        unknown_by_http.iter().all(|(status, ..)| *status == 404),
        "{unknown_by_http:?}"
    );
    for job in [running, ended, forgotten] {
        let job = job.to_string();
        assert_eq!(socket_answers(&mut client, &job).await, unknown, "{job}");
        assert_eq!(http_answers(&house, &eve, &job).await, unknown_by_http, "{job}");
    }
    // Nothing of it came later, and nothing was done to it.
    client.send(json!({"type": "ping"})).await;
    client.expect("pong").await;
    let state = http(&house, Method::GET, &format!("/v1/jobs/{running}"), Some(&ada));
    let state: Json = state.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&state["status"], &state["value"]["name"]),
        (&json!("running"), &json!("secret"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_is_the_tenant_s_own() {
    let (house, ada, eve) = two_tenants();
    let keyed = |reference: &str| {
        let mut message = create(reference);
        message["idempotency_key"] = json!("order-17");
        message
    };
    let mut client = house.client_with(&ada).await;
    client.send(keyed("a")).await;
    let of_ada = client.expect("job.accepted").await["job_id"].clone();
    let mut client = house.client_with(&eve).await;
    client.send(keyed("e")).await;
    let of_eve = client.expect("job.accepted").await;
    assert!(of_eve.get("existing").is_none(), "{of_eve}");
    assert_ne!(of_eve["job_id"], of_ada);
    // Another request under the key conflicts with her own job and names that one, also over HTTP.
    let mut other = request();
    other["input"] = json!("Something else");
    let post = http(&house, Method::POST, "/v1/jobs", Some(&eve)).header("Idempotency-Key", "order-17");
    let (status, _, body) = seen(post.body(other.to_string())).await;
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["job_id"]), (409, &of_eve["job_id"]), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_s_list_has_its_own_jobs_alone() {
    let (ada, eve) = (made("ada", "ada", &Scope::ALL), made("eve", "eve", &Scope::ALL));
    let mut options = livedraft::app::Options::default();
    options.server.bind.set_port(0);
    options.server.keys = vec![ada.entry, eve.entry];
    options.store.ephemeral = true;
    let app = livedraft::app::App::start(options).await.unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Http::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/jobs", app.addr());
    let body = json!({"model": "scripted", "input": "x", "schema": {"type": "null"}, "metadata": {"a": "b"}});
    let post = client
        .post(&url)
        .bearer_auth(ada.token.reveal())
        .body(body.to_string());
    let kept: Json = serde_json::from_str(&post.send().await.unwrap().text().await.unwrap()).unwrap();
    let list = async |key: &Token, query: &str| -> Json {
        let get = client.get(format!("{url}{query}")).bearer_auth(key.reveal());
        serde_json::from_str(&get.send().await.unwrap().text().await.unwrap()).unwrap()
    };
    // The outbox is on its way until the end is in the list.
    let listed = loop {
        let page = list(&ada.token, "?status=completed").await;
        if page["jobs"] != json!([]) {
            break page;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(listed["jobs"][0]["job_id"], kept["job_id"]);
    assert_eq!(listed["jobs"][0]["metadata"], json!({"a": "b"}));
    assert_eq!(list(&eve.token, "").await, json!({"jobs": []}));
    assert_eq!(list(&ada.token, "?status=queued").await, json!({"jobs": []}));
    let cursor = format!("?cursor={}", kept["job_id"].as_str().unwrap());
    assert_eq!(list(&ada.token, &cursor).await, json!({"jobs": []}));
    assert_eq!(list(&ada.token, "?limit=x").await["code"], "bad_request");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_no_key_or_a_wrong_one_gets_nowhere() {
    let (house, ada, _) = two_tenants();
    let cut = Token::new(&ada.reveal()[..40]);
    let stranger = made("ada", "ada", &Scope::ALL).token;
    let routes = [
        (Method::GET, "/v1/models".to_owned()),
        (Method::POST, "/v1/jobs".to_owned()),
        (Method::GET, "/v1/jobs".to_owned()),
        (Method::GET, format!("/v1/jobs/{UNKNOWN}")),
        (Method::GET, format!("/v1/jobs/{UNKNOWN}/attempts")),
        (Method::GET, "/v1/jobs/no-id".to_owned()),
        (Method::POST, format!("/v1/jobs/{UNKNOWN}/cancel")),
        (Method::GET, format!("/v1/jobs/{UNKNOWN}/events")),
        (Method::GET, format!("/v1/jobs/{UNKNOWN}/events?as=nonsense")),
        // A key in an address is none.
        (Method::GET, format!("/v1/models?token={}", ada.reveal())),
    ];
    for (method, path) in routes {
        for key in [None, Some(&cut), Some(&stranger)] {
            let (status, headers, body) = seen(http(&house, method.clone(), &path, key)).await;
            assert_eq!(status, 401, "{path} {body}");
            let asked = headers.iter().any(|(name, _)| name == "www-authenticate");
            let body: Json = serde_json::from_str(&body).unwrap();
            assert!(asked && body["code"] == "unauthorized", "{path} {body}");
        }
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(seen(http(&house, Method::GET, path, None)).await.0, 200, "{path}");
    }
    let mut request = house.request();
    let shown = format!("Bearer {}", stranger.reveal()).parse().unwrap();
    request.headers_mut().insert("authorization", shown);
    match tokio_tungstenite::connect_async(request).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 401),
        other => panic!("not refused: {other:?}"),
    }
    let basic = http(&house, Method::GET, "/v1/models", None)
        .header("authorization", format!("Basic {}", ada.reveal()));
    assert_eq!(seen(basic).await.0, 401);
    let lower = http(&house, Method::GET, "/v1/models", None)
        .header("authorization", format!("bearer {}", ada.reveal()));
    assert_eq!(seen(lower).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_says_auth_first_and_is_served_then() {
    let (house, ada, eve) = two_tenants();
    let (running, _) = jobs_of_ada(&house, &ada).await;
    // Both are sent before anything is answered; the second is longer than a first message may be.
    let mut client = house.fresh().await;
    client.send(json!({"type": "auth", "token": ada.reveal()})).await;
    let attach = json!({"type": "job.attach", "job_id": running.to_string()});
    client.text(format!("{attach}{}", " ".repeat(8_000))).await;
    client.expect("welcome").await;
    client.expect("job.attached").await;
    assert_eq!(client.expect("job.snapshot").await["value"]["name"], "secret");
    client.send(json!({"type": "auth", "token": eve.reveal()})).await;
    assert_eq!(client.expect("error").await["code"], "forbidden");
    client
        .send(json!({"type": "auth", "token": "ld_ada_wrong"}))
        .await;
    let (code, told) = client.closed().await;
    assert_eq!((code, &told[0]["code"]), (Some(4401), &json!("unauthorized")));
    assert!(
        !told[0].to_string().contains("wrong"),
        "what was shown does not come back"
    );

    let first = [
        (json!({"type": "auth", "token": "ld_ada_wrong"}).to_string(), 4401),
        (attach.to_string(), 4401),
        ("nonsense".to_owned(), 4401),
        // Nobody who is not known makes the server hold a megabyte.
        (format!("{attach}{}", " ".repeat(8_000)), 1009),
    ];
    for (text, number) in first {
        let mut client = house.fresh().await;
        client.text(text.clone()).await;
        let (code, told) = client.closed().await;
        assert_eq!(code, Some(number), "{text}");
        let codes: Vec<_> = told.iter().map(|told| told["code"].clone()).collect();
        let expected = if number == 4401 {
            vec![json!("unauthorized")]
        } else {
            vec![]
        };
        assert_eq!(codes, expected, "no welcome, no word of any job: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_says_auth_is_sent_away() {
    let key = made("ada", "ada", &Scope::ALL);
    let options = ServerOptions {
        keys: vec![key.entry],
        auth_timeout_ms: 20,
        ..options()
    };
    let house = house_with(options, HubOptions::default());
    let (code, told) = house.fresh().await.closed().await;
    assert_eq!((code, &told[0]["code"]), (Some(4401), &json!("unauthorized")));
    // One who showed a key on the upgrade owes nothing.
    let mut client = house.client_with(&key.token).await;
    client.create().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_s_scopes_hold_over_http() {
    let keys: Vec<NewKey> = (0..16_u8)
        .skip(1)
        .map(|set| {
            let chosen = (0..).zip(Scope::ALL).filter(|(bit, _)| set >> bit & 1 == 1);
            let scopes: Vec<Scope> = chosen.map(|(_, scope)| scope).collect();
            made(&format!("key-{set}"), "ada", &scopes)
        })
        .collect();
    let options = ServerOptions {
        keys: keys.iter().map(|key| key.entry.clone()).collect(),
        ..options()
    };
    let house = house_with(options, HubOptions::default());
    let routes = [
        (Method::GET, "/v1/models".to_owned(), Scope::Read),
        (Method::POST, "/v1/jobs".to_owned(), Scope::Submit),
        (Method::GET, "/v1/jobs".to_owned(), Scope::Read),
        (Method::GET, format!("/v1/jobs/{UNKNOWN}"), Scope::Read),
        (Method::GET, format!("/v1/jobs/{UNKNOWN}/attempts"), Scope::Read),
        (Method::GET, format!("/v1/jobs/{UNKNOWN}/events"), Scope::Read),
        (Method::POST, format!("/v1/jobs/{UNKNOWN}/cancel"), Scope::Cancel),
        (Method::POST, format!("/v1/jobs/{UNKNOWN}/accept"), Scope::Submit),
        (Method::POST, format!("/v1/jobs/{UNKNOWN}/reask"), Scope::Submit),
        (Method::GET, "/metrics".to_owned(), Scope::Admin),
    ];
    for key in &keys {
        for (method, path, scope) in &routes {
            let may = key.entry.scopes.has(*scope);
            let (status, _, body) = seen(http(&house, method.clone(), path, Some(&key.token))).await;
            assert_eq!(
                status == 403,
                !may,
                "{path} {:?}: {status} {body}",
                key.entry.scopes
            );
            assert!(
                may || body.contains(&format!("`{scope}`")),
                "the scope is named: {body}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_machines_ask_of_a_server_needs_no_key_but_its_metrics_do() {
    let (keyed, _, eve) = two_tenants();
    let open = house();
    for (house, key, path, status) in [
        (&keyed, None, "/livez", 200),
        (&keyed, None, "/readyz", 200),
        (&keyed, None, "/metrics", 401),
        (&keyed, Some(&eve), "/metrics", 200),
        (&open, None, "/metrics", 200),
    ] {
        let (answered, _, body) = seen(http(house, Method::GET, path, key)).await;
        assert_eq!(answered, status, "{path}: {body}");
    }
    // The host is looked at before any of them.
    for path in ["/livez", "/readyz", "/metrics"] {
        let request = http(&open, Method::GET, path, None).header("host", "evil.example");
        assert_eq!(seen(request).await.0, 421, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_reached_only_with_keys_or_by_permission() {
    let parts = house().parts;
    let any = ServerOptions {
        bind: ([0, 0, 0, 0], 0).into(),
        ..options()
    };
    match start(any.clone(), parts.clone()) {
        Err(StartError::Public(_)) => {}
        other => panic!("{other:?}"),
    }
    let key = made("ada", "ada", &Scope::ALL);
    let keyed = |keys| ServerOptions { keys, ..any.clone() };
    let running = start(keyed(vec![key.entry.clone()]), parts.clone()).expect("with keys");
    running.stop().await;
    let twice = start(keyed(vec![key.entry.clone(), key.entry]), parts);
    assert!(matches!(twice, Err(StartError::Keys(_))), "{twice:?}");
}

#[test]
fn options_with_keys_show_none() {
    let key = made("ada", "ada", &Scope::ALL);
    let hash = key.entry.sha256.to_string();
    let secret = key.token.reveal().rsplit('_').next().unwrap().to_owned();
    let options = ServerOptions {
        keys: vec![key.entry.clone()],
        ..options()
    };
    let shown = format!("{options:?} {key:?} {options:#?}");
    assert!(!shown.contains(&hash) && !shown.contains(&secret), "{shown}");
}
