//! A Redis of a test's own: a process on a free port, with a clock that can be put ahead, ended with the test.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::{Redis, RedisOptions, RedisUrl};
use rustix::process::{Pid, Signal};

mod clock;
mod cluster;
mod way;

use self::clock::ClockFile;
pub(crate) use self::cluster::{RedisCluster, say, until};
pub(crate) use self::way::Way;

/// How often a port that somebody else took meanwhile is passed over.
const PORTS_MAX: usize = 20;

/// What a replica that lagged has: every key as it was in one moment, and when it goes, ms since 1970 (0: never).
pub(crate) struct Copy(Vec<(String, u64, Vec<u8>)>);

const COPY: &str = "local all, time = {}, redis.call('TIME') \
    local now = time[1] * 1000 + math.floor(time[2] / 1000) \
    for _, key in ipairs(redis.call('KEYS', '*')) do \
        local left = redis.call('PTTL', key) \
        all[#all + 1] = {key, left < 0 and 0 or now + left, redis.call('DUMP', key)} \
    end return all";

/// The server.
pub(crate) struct RedisServer {
    process: Option<Child>,
    port: u16,
    folder: PathBuf,
    file: Option<PathBuf>,
    extra: Vec<String>,
    clock: ClockFile,
    ahead_s: AtomicI64,
}

impl RedisServer {
    /// One that keeps nothing.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "no"])
    }

    /// One with settings of its own.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        Self::start_by(None, settings)
    }

    /// A Sentinel that knows this master as `main`, and decides alone.
    pub(crate) fn start_sentinel(master: &Self) -> Self {
        let port = master.port;
        let file = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 1000\n\
             sentinel failover-timeout main 5000\n"
        );
        Self::start_by(Some(&file), &["--sentinel"])
    }

    /// One with a file of settings, which it may write, and further settings.
    fn start_by(file: Option<&str>, settings: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("livedraft-redis-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut server = Self {
            process: None,
            port: 0,
            clock: ClockFile::new(folder.join("clock")).unwrap(),
            folder,
            file: None,
            extra: settings.iter().map(|&word| word.to_owned()).collect(),
            ahead_s: AtomicI64::new(0),
        };
        if let Some(text) = file {
            let path = server.folder.join("own.conf");
            std::fs::write(&path, text).unwrap();
            server.file = Some(path);
        }
        for _ in 0..PORTS_MAX {
            server.port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            if server.run() {
                return server;
            }
        }
        panic!("no redis-server could be started on {PORTS_MAX} ports");
    }

    /// One that speaks TLS too, with a certificate of the tests' own authority; and its URL.
    pub(crate) fn start_tls() -> (Self, String) {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let tls = |name: &str| format!("{}/{name}", tls_folder());
        let server = Self::start_with(&[
            "--save",
            "",
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &tls("server.pem"),
            "--tls-key-file",
            &tls("server.key"),
            "--tls-ca-cert-file",
            &tls("ca.pem"),
            "--tls-auth-clients",
            "no",
        ]);
        (server, format!("rediss://127.0.0.1:{port}"))
    }

    /// Starts the process on its port; false where it ended at once.
    fn run(&mut self) -> bool {
        let mut process = Command::new("redis-server")
            .args(&self.file)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args([
                "--dir",
                self.folder.to_str().unwrap(),
                "--logfile",
                "",
                "--daemonize",
                "no",
            ])
            .args(&self.extra)
            .envs(self.clock.variables(shim()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (scripts/test installs it)");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let is_ready =
            |line: String| line.contains("Ready to accept connections") || line.contains("Sentinel ID is");
        let ready = lines.by_ref().any(|line| line.is_ok_and(is_ready));
        // The rest is read too, or a full pipe would hold the server up.
        std::thread::spawn(move || lines.for_each(drop));
        if ready {
            self.process = Some(process);
            assert!(
                self.clock.looks().unwrap() > 0,
                "the server has a clock of its own"
            );
        } else {
            let _ = process.wait();
        }
        ready
    }

    /// Ends the process by force.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Lets it answer nobody, while all connections stay.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on, with what it was asked meanwhile first.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().unwrap();
        rustix::process::kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// Starts it again where it was, with what it had kept.
    pub(crate) fn start_again(&mut self) {
        self.kill();
        assert!(
            self.run(),
            "redis-server does not start again on port {}",
            self.port
        );
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Its `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes it a replica of another; of none: a master again.
    pub(crate) fn follow(&self, master: Option<&Self>) {
        let port = master.map(|master| master.port.to_string());
        let mut command = redis::cmd("REPLICAOF");
        match &port {
            Some(port) => command.arg("127.0.0.1").arg(port),
            None => command.arg("NO").arg("ONE"),
        };
        let () = command.query(&mut self.connection()).unwrap();
    }

    /// Makes it a replica of another, and waits until it is in step.
    pub(crate) async fn follow_closely(&self, master: &Self) {
        // At once, and however the clocks are put ahead.
        let () = say(master, "CONFIG SET repl-diskless-sync-delay 0");
        for server in [master, self] {
            let () = say(server, "CONFIG SET repl-timeout 1000000000");
        }
        self.follow(Some(master));
        until("the replica is in step", || {
            let told: String = say(self, "INFO replication");
            told.contains("master_link_status:up").then_some(())
        })
        .await;
    }

    /// Everything that it has been told is known to so many replicas, too.
    pub(crate) fn settle(&self, replicas: usize) {
        let mut connection = self.connection();
        // It waits for what this connection has written, and for all before it.
        let mut both = redis::pipe();
        both.cmd("PUBLISH").arg("nobody").arg("").ignore();
        both.cmd("WAIT").arg(replicas).arg(30_000);
        let (told,): (usize,) = both.query(&mut connection).unwrap();
        assert!(told >= replicas, "{told}");
    }

    /// Lets a user in who may do no more than the ACL line of docs/redis.md says; see [`as_user_of_the_page`].
    pub(crate) fn add_user_of_the_page(&self) {
        let page = include_str!("../../docs/redis.md");
        let (_, line) = page.split_once("\nACL SETUSER ").unwrap();
        let (line, _) = line.split_once("```").unwrap();
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER");
        for word in line.split_whitespace() {
            set.arg(word);
        }
        let () = set.query(&mut self.connection()).unwrap();
    }

    /// Lets time pass for it.
    pub(crate) fn pass(&self, time: Duration) {
        let seconds = i64::try_from(time.as_secs()).unwrap();
        let ahead = self.ahead_s.fetch_add(seconds, Ordering::Relaxed) + seconds;
        self.clock.set(ahead).unwrap();
    }

    /// An engine over it.
    pub(crate) async fn engine(&self, shards: u32, engine: EngineOptions) -> Redis {
        let url: RedisUrl = self.url().parse().unwrap();
        let options = RedisOptions {
            shards,
            ..RedisOptions::default()
        };
        Redis::open(&url, &options, engine).await.unwrap()
    }

    /// Everything it holds.
    pub(crate) fn copy(&self) -> Copy {
        Copy(redis::Script::new(COPY).invoke(&mut self.connection()).unwrap())
    }

    /// A failover to what a replica has that lagged; not where a key is no longer as it was in the copy.
    pub(crate) fn put_back_unless_changed(&self, copy: &Copy, key: &str) -> bool {
        let mut connection = self.connection();
        let () = redis::cmd("WATCH").arg(key).query(&mut connection).unwrap();
        let held: Option<Vec<u8>> = redis::cmd("DUMP").arg(key).query(&mut connection).unwrap();
        let copied = copy
            .0
            .iter()
            .find(|(name, ..)| name == key)
            .map(|(.., dumped)| dumped);
        held.as_ref() == copied && restore(&mut connection, copy)
    }

    /// A failover to what a replica has that lagged.
    pub(crate) fn put_back(&self, copy: &Copy) {
        assert!(restore(&mut self.connection(), copy));
    }

    /// A connection of the test's own.
    pub(crate) fn connection(&self) -> redis::Connection {
        self.connect().unwrap()
    }

    fn connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url())?.get_connection()
    }
}

/// A URL by which the user of the page's ACL line comes in.
pub(crate) fn as_user_of_the_page(url: &str) -> String {
    url.replace("//", "//livedraft:PASSWORD@")
}

/// Where the certificates of the tests are.
pub(crate) const fn tls_folder() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/redis_server/tls")
}

fn restore(connection: &mut redis::Connection, copy: &Copy) -> bool {
    let mut all = redis::pipe();
    all.atomic().cmd("FLUSHALL").ignore();
    for (key, goes, dumped) in &copy.0 {
        all.cmd("RESTORE").arg(key).arg(goes).arg(dumped);
        all.arg("ABSTTL").ignore();
    }
    // Nothing is answered where what was watched has changed.
    let done: Option<()> = all.query(connection).unwrap();
    done.is_some()
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The library that is put in front of the server's clock, compiled once a run.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clock-{}.so", std::process::id()));
        clock::compile(&made).unwrap();
        made
    })
}
