//! The configuration: every option is a key, layers win in their order, faults are told all at once and without
//! secrets, and the page and the file to begin with say what the code does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use livedraft::app::{App, Options};
use livedraft::client::Client;
use livedraft::config::{Config, Fault, KEYS, Key, Layers, Loaded, SECTIONS, init, load};
use livedraft::llm::{Models, RemoteOptions};
use serde_json::{Value as Json, json};

const PAGE: &str = include_str!("../docs/configuration.md");
const SECRET: &str = "planted-secret";
/// The SHA-256 of some secret.
const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A folder of one test's own, gone with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("livedraft-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let pair = |(name, value): &(&str, &str)| (name.into(), value.into());
    variables.iter().map(pair).collect()
}

fn set(settings: &[(&str, &str)]) -> Vec<(String, String, String)> {
    let flag = |(key, value): &(&str, &str)| ("--set".to_owned(), (*key).to_owned(), (*value).to_owned());
    settings.iter().map(flag).collect()
}

/// What is loaded from a file of this text, these variables and these settings of flags.
fn loaded(test: &str, text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Loaded {
    let folder = Folder::new(test);
    load(&Layers {
        file: Some(folder.file("c.toml", text)),
        environment: environment(variables),
        flags: set(flags),
    })
}

/// The faults, with the file's folder taken away.
fn told(loaded: &Loaded) -> Vec<String> {
    let tell = |fault: &Fault| {
        let told = fault.to_string();
        told.find("c.toml")
            .map_or(told.clone(), |at| told[at..].to_owned())
    };
    loaded.faults.iter().map(tell).collect()
}

fn value(loaded: &Loaded, key: &str) -> (Json, String) {
    let settings = loaded.settings();
    let setting = settings.iter().find(|setting| setting.key == key).expect(key);
    (setting.value.clone(), setting.origin.to_string())
}

/// Another value than the default that a key takes too.
fn other(key: &Key) -> String {
    match (key.name, key.default_of("openai")) {
        ("server.bind", _) => "127.0.0.2:9999".to_owned(),
        ("server.tenant" | "keys.*.tenant", _) => "x".to_owned(),
        ("tenants.*.running_max" | "tenants.*.queued_max", _) => "7".to_owned(),
        ("server.allowed_origins", _) => "https://app.example,http://other.example:8080".to_owned(),
        ("server.allowed_hosts", _) => "live.example,*".to_owned(),
        ("server.trusted_proxies", _) => "10.0.0.0/8,fd00::1".to_owned(),
        ("keys.*.sha256", _) => HASH.to_owned(),
        ("keys.*.scopes", _) => "read,cancel".to_owned(),
        ("keys.*.expires", _) => "2027-01-31T00:00:00Z".to_owned(),
        ("models.*.chain", _) => "openai/a".to_owned(),
        ("admission.cost_max", _) => "2.5".to_owned(),
        (price, _) if price.starts_with("providers.*.prices.") => "0.25".to_owned(),
        ("log.level", _) => "debug".to_owned(),
        ("log.format", _) => "json".to_owned(),
        ("server.status_bind", _) => "127.0.0.1:9000".to_owned(),
        ("redis.url", _) => "redis://localhost:7000".to_owned(),
        ("redis.ca_file", _) => "ca.pem".to_owned(),
        ("redis.prefix", _) => "other".to_owned(),
        ("store.folder", _) => "elsewhere".to_owned(),
        ("providers.*.kind", _) => "responses".to_owned(),
        ("providers.*.base_url", _) => "http://localhost/v1".to_owned(),
        ("providers.*.models", _) => "a,b".to_owned(),
        ("providers.*.dialect", _) => "tools".to_owned(),
        ("providers.*.prefill", _) => "prefix".to_owned(),
        ("providers.*.key_header", _) => "api-key".to_owned(),
        ("providers.*.api_version", _) => "2024-10-21".to_owned(),
        ("providers.*.max_tokens_field", _) => "max_tokens".to_owned(),
        (_, Json::Bool(flag)) => (!flag).to_string(),
        (_, Json::Number(number)) => {
            let up = number.as_u64().unwrap() + 1;
            let named = key.name.replace('*', "openai");
            let taken = load(&Layers {
                flags: set(&[(&named, &up.to_string())]),
                ..Layers::default()
            });
            let ranged = |fault: &Fault| fault.message.starts_with("takes ");
            if taken.faults.iter().any(ranged) {
                up - 2
            } else {
                up
            }
            .to_string()
        }
        (name, default) => panic!("what else than {default} does {name} take?"),
    }
}

/// Every value in what `Debug` shows, with the names that lead to it.
fn leaves(shown: &str) -> BTreeSet<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut found = BTreeSet::new();
    for line in shown.lines() {
        path.truncate((line.len() - line.trim_start().len()) / 4);
        let line = line.trim();
        if line.ends_with(['{', '(', '[']) {
            path.push(line.split([':', ' ', '(']).next().unwrap());
        } else if !line.starts_with(['}', ')', ']']) {
            found.insert(format!("{}.{line}", path.join(".")));
        }
    }
    found
}

#[test]
fn every_option_is_a_key() {
    let provider = ("providers.openai.pool_idle_ms", "20000");
    let key = ("keys.openai.scopes", "submit,admin");
    let price = ("providers.openai.prices.openai.input", "0");
    let chain = ("models.openai.chain", "");
    let tenant = ("tenants.openai.weight", "1");
    let plain = load(&Layers {
        flags: set(&[provider, key, price, chain, tenant]),
        ..Layers::default()
    });
    let named: Vec<(String, String)> = KEYS
        .iter()
        .filter(|key| !key.is_secret())
        .map(|key| (key.name.replace('*', "openai"), other(key)))
        .collect();
    let named: Vec<(&str, &str)> = named
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let all = load(&Layers {
        flags: set(&named),
        environment: environment(&[("OPENAI_API_KEY", SECRET)]),
        ..Layers::default()
    });
    assert_eq!(told(&all), Vec::<String>::new());
    let before = leaves(&format!("{:#?}", plain.config));
    let after = leaves(&format!("{:#?}", all.config));
    assert!(before.len() >= KEYS.len(), "{before:?}");
    let unmoved: Vec<_> = before.intersection(&after).collect();
    assert_eq!(
        unmoved,
        [
            "Config.parts.providers.chains.ChainOptions.name: \"openai\",",
            "Config.parts.providers.remote.RemoteOptions.name: \"openai\",",
            "Config.parts.providers.remote.RemoteOptions.prices.[..\"openai\",",
            "Config.parts.server.keys.ApiKey.id: \"openai\",",
            // Not to be shown, whatever it is.
            "Config.parts.server.keys.ApiKey.sha256: KeyHash([redacted]),",
            "Config.parts.tenants.own.TenantOptions.name: \"openai\",",
        ],
        "an option without a line in `config::keys`"
    );
}

#[test]
fn the_defaults_are_those_of_the_parts_and_within_their_bounds() {
    let nothing = load(&Layers::default());
    assert_eq!(
        format!("{:?}", nothing.config.parts),
        format!("{:?}", Options::default())
    );
    // A chain of no models is none.
    for key in KEYS.iter().filter(|key| key.name != "models.*.chain") {
        let text = match key.default_of("openai") {
            Json::Null => continue,
            Json::String(text) => text,
            Json::Array(items) => items
                .iter()
                .map(|item| item.as_str().unwrap())
                .collect::<Vec<_>>()
                .join(","),
            plain => plain.to_string(),
        };
        let named = key.name.replace('*', "openai");
        let whole = [("keys.openai.sha256", HASH), ("keys.openai.tenant", "x")];
        let rest = if named.starts_with("keys.") {
            &whole[..]
        } else {
            &[]
        };
        let again = load(&Layers {
            flags: set(&[rest, &[(&named, &text)]].concat()),
            ..Layers::default()
        });
        assert_eq!(told(&again), Vec::<String>::new(), "{named}");
        assert_eq!(value(&again, &named).0, key.default_of("openai"), "{named}");
    }
}

#[test]
fn the_table_is_in_order() {
    let mut names = BTreeSet::new();
    let mut order = Vec::new();
    for key in KEYS {
        assert!(names.insert(key.name), "{} stands twice", key.name);
        assert!(
            key.meaning.ends_with('.') && !key.meaning.contains('|'),
            "{}",
            key.name
        );
        let is_number = key.takes().starts_with("a whole number");
        assert_eq!(
            is_number,
            !key.unit.is_empty(),
            "{}: a number has a unit",
            key.name
        );
        if order.last() != Some(&key.split().0) {
            order.push(key.split().0);
        }
    }
    assert_eq!(
        order,
        SECTIONS.iter().map(|(section, _)| *section).collect::<Vec<_>>()
    );
}

#[test]
fn a_layer_wins_over_those_below_it() {
    let file = "[worker]\nslots = 2\n[hub]\npoll_ms = 200\n[server]\ntenant = \"file\"\n";
    let variables = [
        ("LIVEDRAFT_WORKER__SLOTS", "3"),
        ("LIVEDRAFT_HUB__POLL_MS", "3_00"),
        ("LIVEDRAFT_SERVER__TENANT", ""),
    ];
    let all = loaded(
        "layers",
        file,
        &variables,
        &[("worker.slots", "4"), ("worker.slots", "5")],
    );
    assert_eq!(told(&all), Vec::<String>::new());
    assert_eq!(value(&all, "worker.slots"), (json!(5), "--set".to_owned()));
    assert_eq!(
        value(&all, "hub.poll_ms"),
        (json!(300), "LIVEDRAFT_HUB__POLL_MS".to_owned())
    );
    let (tenant, from) = value(&all, "server.tenant");
    assert!(tenant == "file" && from.ends_with("c.toml:6"), "{from}");
    assert_eq!(
        value(&all, "server.bind"),
        (json!("127.0.0.1:8080"), "default".to_owned())
    );
}

#[test]
fn parts_that_must_agree_have_one_key() {
    let flags = [
        ("lease.lease_ms", "20000"),
        ("limits.snapshot_part_bytes", "4096"),
    ];
    let parts = loaded("agree", "", &[], &flags).config.parts;
    assert_eq!(
        [parts.engine.lease.lease_ms, parts.worker.lease.lease_ms],
        [20_000; 2]
    );
    assert_eq!(
        parts.server.limits.snapshot_part_bytes as usize,
        parts.hub.snapshot_part_bytes
    );
}

#[test]
fn the_names_that_others_know_go_on_working() {
    let variables = [
        ("OPENAI_API_KEY", SECRET),
        ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
        ("LIVEDRAFT_LOG", "warn"),
    ];
    let known = loaded("known", "", &variables, &[]);
    assert_eq!(told(&known), Vec::<String>::new());
    assert_eq!(
        value(&known, "providers.openai.base_url").0,
        "http://127.0.0.1:1/v1"
    );
    assert_eq!(
        value(&known, "providers.openai.key"),
        (json!("[redacted]"), "OPENAI_API_KEY".to_owned())
    );
    assert_eq!(known.config.log.level, "warn");
    let own = [
        &variables[..],
        &[("LIVEDRAFT_PROVIDERS__OPENAI__BASE_URL", "http://127.0.0.1:2/v1")],
    ]
    .concat();
    let own = loaded("own", "", &own, &[]);
    assert_eq!(
        value(&own, "providers.openai.base_url").0,
        "http://127.0.0.1:2/v1"
    );
    let key = loaded("key", "", &[("OPENAI_API_KEY", SECRET)], &[]);
    assert_eq!(
        value(&key, "providers.openai.base_url").0,
        "https://api.openai.com/v1"
    );
}

#[test]
fn kinds_of_providers_know_where_they_are() {
    let file = "[providers.claude]\nkind = \"anthropic\"\n[providers.google]\nkind = \"gemini\"\n[providers.local]\nkind = \"ollama\"\n[providers.new]\nkind = \"responses\"\n";
    let all = loaded("kinds", file, &[], &[]);
    assert_eq!(told(&all), Vec::<String>::new());
    let providers = &all.config.parts.providers.remote;
    let urls: Vec<_> = providers.iter().map(RemoteOptions::base_url).collect();
    assert_eq!(
        urls,
        [
            "https://api.anthropic.com/v1",
            "https://generativelanguage.googleapis.com/v1beta",
            "http://127.0.0.1:11434/api",
            "https://api.openai.com/v1"
        ]
    );
    let wrong = loaded(
        "kind",
        "[providers.a]\nkind = \"gemnii\"\nbase_url = \"http://a/v1\"\n",
        &[],
        &[],
    );
    assert_eq!(
        told(&wrong),
        [
            "c.toml:2: providers.a.kind: takes one of `openai`, `anthropic`, `gemini`, `ollama`, `responses`, not \"gemnii\""
        ]
    );
}

#[test]
fn prices_and_chains_are_sections_of_their_own() {
    let file = "[providers.openai.prices.\"gpt-4.1-mini\"]\ninput = 0.40\noutput = \"1.6\"\n[providers.local]\nkind = \"ollama\"\n\
                [providers.local.prices.\"*\"]\n[models.best]\nchain = [\"openai/gpt-4.1-mini\", \"local/qwen3:8b\"]\n";
    let variables = [
        ("LIVEDRAFT_PROVIDERS__LOCAL__PRICES__LLAMA3__OUTPUT", "2"),
        ("LIVEDRAFT_ADMISSION__COST_MAX", "0.5"),
    ];
    let all = loaded("prices", file, &variables, &[]);
    assert_eq!(told(&all), Vec::<String>::new());
    let (input, from) = value(&all, "providers.openai.prices.gpt-4.1-mini.input");
    assert_eq!(input, json!("0.4"));
    assert!(from.ends_with("c.toml:2"), "{from}");
    let remote = &all.config.parts.providers.remote;
    let output = |provider: usize, model: &str| {
        let price = remote[provider].prices.of(model);
        price.map(|price| price.output.to_string())
    };
    assert_eq!(output(0, "gpt-4.1-mini").as_deref(), Some("1.6"));
    assert_eq!(output(0, "gpt-5"), None);
    assert_eq!(
        [output(1, "llama3"), output(1, "any")],
        [Some("2".to_owned()), Some("0".to_owned())]
    );
    let most = Some("0.5".parse().unwrap());
    assert_eq!(all.config.parts.admission.spec.cost_max, most);
    assert_eq!(all.config.parts.worker.budget.cost, most);
    for (file, fault) in [
        (
            "[providers.openai.prices.m]\ninput = \"cheap\"\n",
            "c.toml:2: providers.openai.prices.m.input: takes a decimal of at most 6 places, such as 0.05, not \"cheap\"",
        ),
        (
            "[providers.openai.prices.m]\noutput = 1e3\n",
            "c.toml:2: providers.openai.prices.m.output: takes a decimal of at most 6 places, such as 0.05, not 1e3",
        ),
        (
            "[providers.openai.prices.\"a b\"]\noutput = 1\n",
            "c.toml:1: providers.openai.prices.a b: a name has 1 to 64 letters, digits, `-` and `_`, `.`, `:`, `/`, `@`, `*`",
        ),
        (
            "[providers.openai]\nprices = 3\n",
            "c.toml:2: providers.openai.prices: is a section: its keys follow it behind a dot, or below it in brackets",
        ),
        (
            "[models.best]\nchain = [\"nobody/m\"]\n",
            "c.toml:1: models.best.chain: names \"nobody/m\": give `provider/model` with a provider and a model of it, or `scripted` where that is offered",
        ),
        (
            "[models.best]\nchain = [\"best\"]\n",
            "c.toml:1: models.best.chain: names \"best\": give `provider/model` with a provider and a model of it, or `scripted` where that is offered",
        ),
        (
            "[models.scripted]\nchain = [\"scripted\"]\n",
            "c.toml:1: models.scripted: `scripted` is a name of our own; take another",
        ),
    ] {
        assert_eq!(told(&loaded("no-price", file, &[], &[])), [fault], "{file}");
    }
}

#[test]
fn providers_stand_in_the_order_of_their_naming() {
    let file = "[providers.Zeta-1]\nbase_url = \"http://z/v1\"\n[providers.alpha]\nbase_url = \"http://a/v1\"\nmodels = [\"m\", \"n\"]\n";
    let variables = [
        ("LIVEDRAFT_PROVIDERS__ZETA_1__IDLE_MS", "500"),
        ("OPENAI_API_KEY", SECRET),
    ];
    let all = loaded("order", file, &variables, &[]);
    assert_eq!(told(&all), Vec::<String>::new());
    let providers = &all.config.parts.providers.remote;
    let names: Vec<_> = providers.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["Zeta-1", "alpha", "openai"]);
    assert_eq!(providers[0].idle_ms, 500);
    assert_eq!(
        providers[1].models,
        Models::Only(vec!["m".to_owned(), "n".to_owned()])
    );
}

#[test]
fn a_secret_may_be_held_in_a_file() {
    let folder = Folder::new("held");
    let held = folder.file("key", &format!("{SECRET}\n"));
    let held = held.to_str().unwrap();
    for variable in [
        "LIVEDRAFT_OPENAI_KEY_FILE",
        "LIVEDRAFT_PROVIDERS__OPENAI__KEY_FILE",
    ] {
        let all = loaded("held-by-variable", "", &[(variable, held)], &[]);
        assert_eq!(told(&all), Vec::<String>::new());
        let (shown, from) = value(&all, "providers.openai.key");
        assert_eq!(
            (shown, from),
            (json!("[redacted]"), format!("{variable}, held in {held}"))
        );
        assert_eq!(
            all.config.parts.providers.remote[0].key,
            Some(livedraft::llm::Secret::new(SECRET))
        );
    }
    let file = format!("[providers.openai]\nkey_file = {held:?}\n");
    assert_eq!(
        told(&loaded("held-by-file", &file, &[], &[])),
        Vec::<String>::new()
    );
    let flag = loaded("held-by-flag", "", &[], &[("providers.openai.key_file", held)]);
    assert_eq!(
        value(&flag, "providers.openai.key").1,
        format!("--set, held in {held}")
    );
}

/// Text of the file, a variable, a flag; and the one fault.
type Case = (
    &'static str,
    (&'static str, &'static str),
    (&'static str, &'static str),
    &'static str,
);

const NONE: (&str, &str) = ("", "");

const FAULTS: &[Case] = &[
    (
        "[sever]\nx = 1\ny = 2",
        NONE,
        NONE,
        "c.toml:1: sever: is no key; did you mean `server`?",
    ),
    (
        "\n[server]\nbnd = \"\"",
        NONE,
        NONE,
        "c.toml:3: server.bnd: is no key; did you mean `server.bind`?",
    ),
    (
        "worker.heartbeat_ms = 100",
        NONE,
        NONE,
        "c.toml:1: worker.heartbeat_ms: is no key; did you mean `server.heartbeat_ms`?",
    ),
    (
        "zzz = 1",
        NONE,
        NONE,
        "c.toml:1: zzz: is no key; `livedraft config init -` lists them all",
    ),
    (
        "worker.slots = 0",
        NONE,
        NONE,
        "c.toml:1: worker.slots: takes a whole number from 1 to 100000, not 0",
    ),
    (
        "worker.slots = \"12\"",
        NONE,
        NONE,
        "c.toml:1: worker.slots: takes a whole number from 1 to 100000, not \"12\"",
    ),
    (
        "worker.slots = -1",
        NONE,
        NONE,
        "c.toml:1: worker.slots: takes a whole number from 1 to 100000, not -1",
    ),
    (
        "worker.slots = 1e3",
        NONE,
        NONE,
        "c.toml:1: worker.slots: takes a whole number from 1 to 100000, not 1e3",
    ),
    (
        "worker.slots = 99999999999999999999",
        NONE,
        NONE,
        "c.toml:1: worker.slots: takes a whole number from 1 to 100000, not a number beyond 64 bits",
    ),
    (
        "worker.slots = { a = 1 }",
        NONE,
        NONE,
        "c.toml:1: worker.slots: takes a whole number from 1 to 100000, not a table",
    ),
    (
        "[[worker]]\nslots = 1",
        NONE,
        NONE,
        "c.toml:1: worker: is a section: its keys follow it behind a dot, or below it in brackets",
    ),
    (
        "server.allow_public = \"yes\"",
        NONE,
        NONE,
        "c.toml:1: server.allow_public: takes `true` or `false`, not \"yes\"",
    ),
    (
        "server.tenant = \"\"",
        NONE,
        NONE,
        "c.toml:1: server.tenant: takes a text of 1 to 128 bytes, not 0 bytes",
    ),
    (
        "server.bind = 80",
        NONE,
        NONE,
        "c.toml:1: server.bind: takes an address as `HOST:PORT`, not 80",
    ),
    (
        "server.bind = \"x\"",
        NONE,
        NONE,
        "c.toml:1: server.bind: takes an address as `HOST:PORT`, not \"x\" (invalid socket address)",
    ),
    (
        "worker.slots = 1\nworker.slots = 2",
        NONE,
        NONE,
        "c.toml:2: duplicate key",
    ),
    (
        "",
        ("LIVEDRAFT_PROVIDERS__SCRIPTED__KEY", "k"),
        NONE,
        "LIVEDRAFT_PROVIDERS__SCRIPTED__KEY: providers.scripted.key: `scripted` is a name of our own; take another",
    ),
    (
        "[providers.scripted]\nkey = \"k\"",
        NONE,
        NONE,
        "c.toml:1: providers.scripted: takes `true` or `false`, not a table",
    ),
    (
        "[providers.\"a.b\"]",
        NONE,
        NONE,
        "c.toml:1: providers.a.b: a name has 1 to 64 letters, digits, `-` and `_`",
    ),
    (
        "[providers.groq]",
        NONE,
        NONE,
        "c.toml:1: providers.groq.base_url: is missing: of kind `openai`, only the provider `openai` has one of its own",
    ),
    (
        "",
        ("LIVEDRAFT_PROVIDERS__GROQ__KEY", "k"),
        NONE,
        "LIVEDRAFT_PROVIDERS__GROQ__KEY: providers.groq.base_url: is missing: of kind `openai`, only the provider `openai` has one of its own",
    ),
    (
        "providers.openai.dialect = \"parallel_tools\"",
        NONE,
        NONE,
        "c.toml:1: providers.openai.dialect: takes one of `by_host`, `tools`, `tools_strict`, `json_schema`, `json_schema_strict`, `json`, `md_json`, not \"parallel_tools\"",
    ),
    (
        "providers.openai.models = [1]",
        NONE,
        NONE,
        "c.toml:1: providers.openai.models: takes a list of at most 1024 names (separated by commas in variables and flags), not a list of other things than texts",
    ),
    (
        "providers.openai.base_url = \"ftp://x\"",
        NONE,
        NONE,
        "c.toml:1: providers.openai.base_url: takes an http or https URL without credentials and query: the base URL is neither http nor https",
    ),
    (
        "providers.openai.key_fil = \"x\"",
        NONE,
        NONE,
        "c.toml:1: providers.openai.key_fil: is no key; did you mean `providers.openai.key_file`?",
    ),
    (
        "",
        ("LIVEDRAFT_SERVER_BIND", "x"),
        NONE,
        "LIVEDRAFT_SERVER_BIND: server_bind: is no key; did you mean `LIVEDRAFT_SERVER__BIND`?",
    ),
    (
        "",
        ("LIVEDRAFT_PORT", "8080"),
        NONE,
        "LIVEDRAFT_PORT: port: is no key; `livedraft config init -` lists them all",
    ),
    (
        "",
        ("LIVEDRAFT_WORKER__SLOTS", "many"),
        NONE,
        "LIVEDRAFT_WORKER__SLOTS: worker.slots: takes a whole number from 1 to 100000, not \"many\"",
    ),
    (
        "",
        NONE,
        ("server.bin", "x"),
        "--set: server.bin: is no key; did you mean `server.bind`?",
    ),
    (
        "",
        NONE,
        ("server", "x"),
        "--set: server: is a section: its keys follow it behind a dot, or below it in brackets",
    ),
    (
        "",
        NONE,
        ("log.level", "a=b"),
        "--set: log.level: takes `error`, `warn`, `info`, `debug`, `trace`, `off`, or filters as `target=level`, not \"a=b\"",
    ),
    (
        "lease.extend_ms = 8000",
        NONE,
        NONE,
        "c.toml:1: lease.extend_ms: must be at most half of `lease.lease_ms`, or a late answer costs the lease",
    ),
    (
        "",
        NONE,
        ("worker.rate_limit_wait_max_ms", "10"),
        "--set: worker.rate_limit_wait_ms: must be at most `worker.rate_limit_wait_max_ms`",
    ),
    (
        "",
        NONE,
        ("admission.seconds_max", "10"),
        "--set: worker.job_seconds: must be at most `admission.seconds_max`",
    ),
    (
        "",
        NONE,
        ("draft.bytes_max", "9000000"),
        "--set: draft.bytes_max: must be at most `admission.answer_bytes_max`",
    ),
    (
        "keys.ci.tenant = \"acme\"",
        NONE,
        NONE,
        "c.toml:1: keys.ci.sha256: is missing: `livedraft keys new` prints the whole entry",
    ),
    (
        "[keys.\"a.b\"]\ntenant = \"acme\"\nsha256 = \"planted-secret\"",
        NONE,
        NONE,
        "c.toml:3: keys.a.b.sha256: takes a SHA-256 as 64 hexadecimal digits",
    ),
    (
        "[keys.a_b]",
        NONE,
        NONE,
        "c.toml:1: keys.a_b: a name has 1 to 64 letters, digits, `-` and `.`",
    ),
    (
        "server.allowed_origins = [\"https://app.example\", \"https://app.example/\"]",
        NONE,
        NONE,
        "c.toml:1: server.allowed_origins: takes a list of at most 1024 origins as `https://app.example` or \
         `https://app.example:8443` (separated by commas in variables and flags), not \"https://app.example/\"",
    ),
    (
        "",
        NONE,
        ("server.allowed_hosts", "https://live.example"),
        "--set: server.allowed_hosts: takes a list of at most 1024 hosts as `live.example` or `live.example:8443`, `*` \
         for any (separated by commas in variables and flags), not \"https://live.example\"",
    ),
    (
        "",
        NONE,
        ("server.trusted_proxies", "10.0.0.0/33"),
        "--set: server.trusted_proxies: takes a list of at most 1024 addresses and networks as `10.1.2.3` or \
         `10.0.0.0/8` (separated by commas in variables and flags), not \"10.0.0.0/33\"",
    ),
];

#[test]
fn each_fault_names_its_source_its_key_and_what_is_allowed() {
    for (file, variable, flag, fault) in FAULTS {
        let variables: Vec<_> = [*variable].into_iter().filter(|pair| *pair != NONE).collect();
        let flags: Vec<_> = [*flag].into_iter().filter(|pair| *pair != NONE).collect();
        assert_eq!(
            told(&loaded("faults", file, &variables, &flags)),
            [*fault],
            "{file}"
        );
    }
}

#[test]
fn all_faults_are_told_at_once_and_what_is_sound_holds() {
    let file = "[worker]\nslots = 0\njob_seconds = 7\nslotz = 1\nkey = what\n[hub]\npoll_ms = 1\n";
    let all = loaded(
        "at-once",
        file,
        &[("LIVEDRAFT_HUB__POL_MS", "x")],
        &[("engine.queued_max", "x")],
    );
    let sources: Vec<_> = told(&all)
        .iter()
        .map(|told| told.split(": ").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        sources,
        [
            "c.toml:5",
            "c.toml:2",
            "c.toml:4",
            "c.toml:7",
            "LIVEDRAFT_HUB__POL_MS",
            "--set"
        ]
    );
    assert_eq!(value(&all, "worker.job_seconds").0, 7);
    assert_eq!(value(&all, "worker.slots").0, 64);
}

#[test]
fn there_is_a_bound_on_faults() {
    let file: String = (0..300).map(|n| format!("k{n} = 1\n")).collect();
    let told = told(&loaded("bound", &file, &[], &[]));
    assert_eq!(told.len(), 257);
    assert!(
        told[256].starts_with("c.toml:257: these are 256 faults"),
        "{}",
        told[256]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let folder = Folder::new("unread");
    std::fs::write(folder.0.join("latin"), b"a = \"\xe9\"").unwrap();
    std::fs::write(folder.0.join("long"), "#".repeat((1 << 20) + 1)).unwrap();
    for (name, words) in [
        ("none", "cannot be read"),
        ("latin", "UTF-8"),
        ("long", "longer than 1048576 bytes"),
    ] {
        let path = folder.0.join(name);
        for by_variable in [false, true] {
            let mut layers = Layers::default();
            if by_variable {
                layers.environment = vec![("LIVEDRAFT_CONFIG".into(), path.clone().into())];
            } else {
                layers.file = Some(path.clone());
            }
            let [fault] = &load(&layers).faults[..] else {
                panic!("one fault was due")
            };
            let told = fault.to_string();
            assert!(
                told.starts_with(path.to_str().unwrap()) && told.contains(words),
                "{told}"
            );
        }
    }
}

#[test]
fn what_an_orchestrator_puts_in_the_environment_is_no_setting() {
    let variables = [
        ("LIVEDRAFT_SERVICE_HOST", "10.0.0.1"),
        ("LIVEDRAFT_SERVICE_PORT_HTTP", "8080"),
        ("LIVEDRAFT_PORT", "tcp://10.0.0.1:8080"),
        ("LIVEDRAFT_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("LIVEDRAFT_URL", "ws://elsewhere"),
        ("LIVEDRAFT_KEY", SECRET),
        ("LIVEDRAFT_KEY_FILE", "key"),
        ("LIVEDRAFTER__X", "1"),
    ];
    assert_eq!(
        told(&loaded("orchestrator", "", &variables, &[])),
        Vec::<String>::new()
    );
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_no_text_is_a_fault() {
    use std::os::unix::ffi::OsStringExt as _;
    let environment = vec![("LIVEDRAFT_SERVER__TENANT".into(), OsString::from_vec(vec![0xff]))];
    let loaded = load(&Layers {
        environment,
        ..Layers::default()
    });
    assert_eq!(
        told(&loaded),
        ["LIVEDRAFT_SERVER__TENANT: server.tenant: is not UTF-8"]
    );
}

#[test]
fn there_is_a_bound_on_providers() {
    let all: String = (0..65)
        .map(|n| format!("providers.p{n}.base_url = \"http://p{n}/v1\"\n"))
        .collect();
    let loaded = loaded("many", &all, &[], &[]);
    assert_eq!(
        told(&loaded),
        ["c.toml:65: providers.p64: is one too many: there may be 64 `providers.*`"]
    );
    assert_eq!(loaded.config.parts.providers.remote.len(), 64);
}

#[test]
fn no_secret_is_shown() {
    let folder = Folder::new("secret");
    let held = folder.file("key", SECRET);
    let held = held.to_str().unwrap();
    let files = [
        format!("[providers.a]\nbase_url = \"http://a\"\nkey = \"{SECRET}\""),
        format!("[providers.a]\nkey = {SECRET}"),
        format!("[providers.a]\nkey = [\"{SECRET}\"]"),
        format!("[providers.a]\nkey = \"{SECRET}\"\nkey_file = {held:?}"),
        format!("[providers.a]\nkey = \"{SECRET}\\u0007\"\nbase_url = \"http://a\""),
        format!("[providers.a]\nkei = \"{SECRET}\""),
        format!("[providers.a]\nkey_file = \"{SECRET}\""),
        format!("[providers.a]\nbase_url = \"https://u:{SECRET}@a/\""),
        format!("[providers.a]\nbase_url = \"https://a/?key={SECRET}\""),
        format!("[providers.a]\nkey = \"{SECRET}"),
    ];
    let variables = [
        ("LIVEDRAFT_PROVIDERS__OPENAI__KEY", SECRET),
        ("LIVEDRAFT_OPENAI_KEY_FILE", SECRET),
        ("OPENAI_API_KEY", SECRET),
        ("OPENAI_BASE_URL", "https://planted-secret@api/"),
        ("SOMEBODYS_TOKEN", SECRET),
    ];
    for file in &files {
        for flags in [&[][..], &[("providers.openai.key", SECRET)]] {
            let all = loaded("secrets", file, &variables, flags);
            let settings: Vec<_> = all
                .settings()
                .iter()
                .map(|one| format!("{one:?} {}", one.origin))
                .collect();
            let layers = Layers {
                environment: environment(&variables),
                ..Layers::default()
            };
            let shown = format!("{all:?} {settings:?} {:?} {layers:?}", told(&all));
            assert!(!shown.contains(SECRET), "{file}: {shown}");
        }
    }
}

#[test]
fn a_key_ends_at_a_moment_with_its_offset() {
    let entry = |expires: &str| {
        let text = format!("[keys.ci]\nsha256 = \"{HASH}\"\ntenant = \"x\"\nexpires = {expires}");
        loaded("expires", &text, &[], &[])
    };
    for moment in [
        "2027-01-31T00:00:00+02:00",
        "2027-01-31 00:00:00+02:00",
        "\"2027-01-31T00:00:00+02:00\"",
    ] {
        let loaded = entry(moment);
        assert!(loaded.faults.is_empty(), "{moment}: {:?}", told(&loaded));
        assert_eq!(
            value(&loaded, "keys.ci.expires").0,
            "2027-01-31T00:00:00+02:00",
            "{moment}"
        );
    }
    for (none, shown) in [
        ("2027-01-31", "2027-01-31"),
        ("2027-01-31T00:00:00", "2027-01-31T00:00:00"),
        ("\"soon\"", "\"soon\""),
        ("1", "1"),
    ] {
        let takes = "a date-time with its offset, as `2027-01-31T00:00:00Z`";
        let fault = format!("c.toml:4: keys.ci.expires: takes {takes}, not {shown}");
        assert_eq!(told(&entry(none)), [fault]);
    }
    let other = loaded("moment", "server.bind = 2027-01-31", &[], &[]);
    let fault = "c.toml:1: server.bind: takes an address as `HOST:PORT`, not 2027-01-31";
    assert_eq!(told(&other), [fault]);
}

#[test]
fn two_ways_to_one_secret_are_a_fault() {
    let folder = Folder::new("twice");
    let held = folder.file("key", SECRET);
    let file = format!("[providers.openai]\nkey = \"x\"\nkey_file = {held:?}");
    let fault = "c.toml:3: providers.openai.key_file: is given twice, as `key` and by its file";
    assert_eq!(told(&loaded("twice-file", &file, &[], &[])), [fault]);
}

/// The lines that set something, taken out of their comments.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(set) if !set.starts_with(' ') && !set.is_empty() => set.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn the_file_to_begin_with_has_every_key_and_changes_nothing() {
    let as_it_is = loaded("init", &init(), &[], &[]);
    assert_eq!(told(&as_it_is), Vec::<String>::new());
    assert!(as_it_is.settings().iter().all(|setting| !setting.is_set()));
    let text = uncommented(&init());
    let all = loaded("init-all", &text, &[], &[]);
    // A key has no default to be whole with.
    let faults = told(&all);
    let missing = |last: &str| format!(": keys.ci.{last}: is missing");
    assert!(
        faults.len() == 3 && faults[0].contains(&missing("sha256")) && faults[1].contains(&missing("tenant")),
        "{faults:?}"
    );
    // Nor has a chain.
    assert!(
        faults[2].contains(": models.best.chain: names 1 to 8 models, not 0"),
        "{faults:?}"
    );
    let openai = load(&Layers {
        flags: set(&[
            ("providers.openai.idle_ms", "30000"),
            ("keys.ci.scopes", "submit,read,cancel,admin"),
            ("providers.openai.prices.gpt-5.input", "0"),
            ("models.best.chain", ""),
            ("tenants.acme.weight", "1"),
        ]),
        ..Layers::default()
    });
    assert_eq!(format!("{:?}", all.config), format!("{:?}", openai.config));
    let unset: Vec<_> = all
        .settings()
        .into_iter()
        .filter(|setting| !setting.is_set())
        .map(|setting| setting.key)
        .collect();
    assert_eq!(
        unset,
        [
            "server.status_bind",
            "keys.ci.sha256",
            "keys.ci.tenant",
            "keys.ci.expires",
            "tenants.acme.running_max",
            "tenants.acme.queued_max",
            "redis.url",
            "redis.ca_file",
            "admission.cost_max",
            "providers.openai.key",
            "providers.openai.api_version",
            "providers.openai.prices.gpt-5.cached_input",
            "providers.openai.prices.gpt-5.reasoning",
        ],
        "{text}"
    );
}

/// The table of a section, as the page has it.
fn table(section: &str) -> String {
    let mut text = "| key | unit | default | takes | meaning |\n|---|---|---|---|---|\n".to_owned();
    for key in KEYS.iter().filter(|key| key.split().0 == section) {
        let default = match key.default_of("*") {
            Json::Null => "–".to_owned(),
            default => format!("`{default}`"),
        };
        let takes = key.takes();
        text.push_str(&format!(
            "| `{}` | {} | {default} | {takes} | {} |\n",
            key.name, key.unit, key.meaning
        ));
    }
    text
}

#[test]
fn the_page_is_the_table() {
    for (section, meaning) in SECTIONS {
        let told = format!("### `{section}`\n\n{meaning}\n\n{}", table(section));
        assert!(
            PAGE.contains(&told),
            "docs/configuration.md must have this:\n{told}"
        );
    }
    let rows = PAGE
        .lines()
        .filter(|line| line.starts_with("| `") && line.split('|').count() == 7)
        .count();
    assert_eq!(rows, KEYS.len());
}

/// Runs a small job on a server of this configuration; its end's error.
fn end_of_a_job(mut config: Config, text_chars: usize) -> Option<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        config.parts.store.ephemeral = true;
        let app = App::start(config.parts).await.unwrap();
        let client = Client::new(format!("ws://{}", app.addr()));
        let create = json!({"request": {"model": "scripted", "input": "x", "max_reasks": 0,
            "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            "script": {"tokens_per_second": 0, "text_chars": text_chars}}});
        let create = serde_json::from_value(create).unwrap();
        let mut following = client
            .create(client.connect().await.unwrap(), create)
            .await
            .unwrap();
        while following.next().await.unwrap().is_some() {}
        let end = following.close().await.end().cloned().unwrap();
        app.stop().await;
        end.error.map(|error| error.code)
    })
}

#[test]
fn a_limit_of_the_draft_reaches_the_draft() {
    let flags = [("draft.bytes_max", "1024"), ("server.bind", "127.0.0.1:0")];
    let config = loaded("reaches", "", &[], &flags).config;
    assert_eq!(end_of_a_job(config, 5_000).as_deref(), Some("bytes_limit"));
}

/// The bounds of a number, as they are told.
fn bounds(key: &Key) -> Option<[String; 2]> {
    let takes = key.takes();
    let (from, to) = takes
        .strip_prefix("a whole number from ")?
        .split_once(" to ")
        .unwrap();
    Some([from.to_owned(), to.to_owned()])
}

#[test]
fn a_job_runs_at_either_end_of_every_bound() {
    // These refuse a request by what they are for. Times are left out: a busy machine keeps none that is short.
    let refuse = ["schema.subschemas_max", "schema.cost_max"];
    let numbers = KEYS
        .iter()
        .filter(|key| !["ms", "s"].contains(&key.unit) && !refuse.contains(&key.name))
        .filter(|key| !key.name.contains('*'));
    let numbers: Vec<_> = numbers.filter_map(|key| Some((key.name, bounds(key)?))).collect();
    assert!(numbers.len() > 30, "{numbers:?}");
    for end in [0, 1] {
        let mut flags: Vec<_> = numbers
            .iter()
            .map(|(key, ends)| (*key, ends[end].as_str()))
            .collect();
        flags.push(("server.bind", "127.0.0.1:0"));
        let all = loaded("ends", "", &[], &flags);
        assert_eq!(told(&all), Vec::<String>::new());
        assert_eq!(end_of_a_job(all.config, 100), None, "{flags:?}");
    }
}

#[test]
fn a_name_with_dots_is_quoted_in_a_flag() {
    let file = "[providers.openai]\nkey = \"sk-1\"\n";
    let key = "providers.openai.prices.\"gpt-4.1\".output";
    let all = loaded("quoted", file, &[], &[(key, "8")]);
    assert!(all.faults.is_empty(), "{:?}", all.faults);
    let openai = &all.config.parts.providers.remote[0];
    let price = openai.prices.of("gpt-4.1").expect("a price");
    assert_eq!(price.output, "8".parse().expect("money"));
}
