//! Where a Redis is: one server, the seeds of a Cluster, or the Sentinels that know a master.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo, RedisError};

/// What is shown in the place of a password.
const REDACTED: &str = "…";
/// Where Sentinels listen unless their port is named.
const SENTINEL_PORT: u16 = 26_379;

/// What is behind a URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RedisKind {
    /// One server.
    Single,
    /// Several masters, each with a part of the keys.
    Cluster,
    /// One master, which others take the place of; the Sentinels know which.
    Sentinel,
}

/// `redis://` or, with TLS, `rediss://` of one server; `redis+cluster://` of any nodes of a Cluster; `redis+sentinel://` of
/// Sentinels and the name of a master. With user and password where the servers ask for them: `Debug` and `Display` show
/// no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    text: Box<str>,
    kind: RedisKind,
    tls: bool,
}

/// Text that is no such URL. It is not told: it may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a Redis URL is `redis://HOST:PORT/DB`, `redis+cluster://HOST:PORT,HOST:PORT` or `redis+sentinel://HOST:PORT,HOST:PORT/MASTER`; with TLS `rediss…`; before the first host there may be `USER:PASSWORD@`"
)]
pub struct BadRedisUrl;

impl RedisUrl {
    /// What is behind it.
    pub const fn kind(&self) -> RedisKind {
        self.kind
    }

    /// Whether it carries a password.
    pub fn has_password(&self) -> bool {
        self.credentials()
            .is_some_and(|credentials| credentials.contains(':') && !credentials.ends_with(':'))
    }

    /// Whether the way there is encrypted.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Each server that is named, for the connections that are meant for it.
    pub(super) fn servers(&self) -> Result<Vec<ConnectionInfo>, RedisError> {
        self.urls()
            .iter()
            .map(|url| url.as_str().into_connection_info())
            .collect()
    }

    /// The name by which Sentinels know the master.
    pub(super) fn master(&self) -> &str {
        self.path().split('/').next().unwrap_or_default()
    }

    /// A URL of each server that is named, as that of a single one.
    fn urls(&self) -> Vec<String> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let credentials = self
            .credentials()
            .map_or_else(String::new, |held| format!("{held}@"));
        let path = match self.kind {
            RedisKind::Single => self.path(),
            RedisKind::Cluster => "",
            RedisKind::Sentinel => self.path().split_once('/').map_or("", |(_, db)| db),
        };
        let of = |host: &str| {
            let named = host.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
            let port = match self.kind {
                RedisKind::Sentinel if !named => format!(":{SENTINEL_PORT}"),
                _ => String::new(),
            };
            format!("{scheme}://{credentials}{host}{port}/{path}")
        };
        self.hosts().split(',').map(of).collect()
    }

    /// What is behind the scheme: credentials, hosts, path.
    fn rest(&self) -> &str {
        self.text.split_once("://").map_or("", |(_, rest)| rest)
    }

    fn authority(&self) -> &str {
        self.rest().split(['/', '?', '#']).next().unwrap_or_default()
    }

    /// With what may stand behind it.
    fn path(&self) -> &str {
        let behind = &self.rest()[self.authority().len()..];
        behind.strip_prefix('/').unwrap_or(behind)
    }

    fn credentials(&self) -> Option<&str> {
        self.authority()
            .rsplit_once('@')
            .map(|(credentials, _)| credentials)
    }

    fn hosts(&self) -> &str {
        self.authority().rsplit('@').next().unwrap_or_default()
    }

    /// Whether its parts are those of its kind.
    fn is_whole(&self) -> bool {
        let named = self
            .hosts()
            .split(',')
            .all(|host| !host.is_empty() && !host.starts_with(':'));
        let fits = match self.kind {
            RedisKind::Single => !self.hosts().contains(','),
            RedisKind::Cluster => matches!(self.path(), "" | "0"),
            RedisKind::Sentinel => {
                let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
                !self.master().is_empty() && self.master().chars().all(is_name)
            }
        };
        named
            && fits
            && self
                .urls()
                .iter()
                .all(|url| redis::parse_redis_url(url).is_some())
            && self.servers().is_ok()
    }
}

impl FromStr for RedisUrl {
    type Err = BadRedisUrl;

    fn from_str(text: &str) -> Result<Self, BadRedisUrl> {
        let (scheme, _) = text.split_once("://").ok_or(BadRedisUrl)?;
        let (first, second) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match first {
            "redis" => false,
            "rediss" => true,
            _ => return Err(BadRedisUrl),
        };
        let kind = match second {
            "" if !scheme.ends_with('+') => RedisKind::Single,
            "cluster" => RedisKind::Cluster,
            "sentinel" => RedisKind::Sentinel,
            _ => return Err(BadRedisUrl),
        };
        let url = Self {
            text: text.into(),
            kind,
            tls,
        };
        url.is_whole().then_some(url).ok_or(BadRedisUrl)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(credentials) = self.credentials() else {
            return f.write_str(&self.text);
        };
        let from = self.text.len() - self.rest().len();
        let user = credentials.split(':').next().unwrap_or_default();
        let hosts = &self.text[from + credentials.len()..];
        write!(f, "{}{user}:{REDACTED}{hosts}", &self.text[..from])
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() -> Result<(), BadRedisUrl> {
        for (text, shown, password) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379", false),
            ("redis://:s3cret@h:1/0", "redis://:…@h:1/0", true),
            ("rediss://me:s3c%40ret@h/2", "rediss://me:…@h/2", true),
            ("redis://me@h", "redis://me:…@h", false),
            (
                "redis+cluster://me:s3cret@a:1,b:2",
                "redis+cluster://me:…@a:1,b:2",
                true,
            ),
            (
                "rediss+sentinel://:s3cret@a,b:2/main/3",
                "rediss+sentinel://:…@a,b:2/main/3",
                true,
            ),
        ] {
            let url: RedisUrl = text.parse()?;
            assert_eq!((url.to_string().as_str(), url.has_password()), (shown, password));
            assert_eq!(format!("{url:?}"), shown);
        }
        for wrong in [
            "",
            "http://h",
            "h:6379",
            "redis://",
            "redis://:6379",
            "redis://me:p@",
            "unix:///tmp/s",
            "redis://h:99999",
            "redis://a,b",
            "redis+://h",
            "redis+unix://h",
            "redis+cluster://a,,b",
            "redis+cluster://a/1",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a/main/x",
        ] {
            assert!(wrong.parse::<RedisUrl>().is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn every_server_is_one_to_speak_to() -> Result<(), BadRedisUrl> {
        let cluster: RedisUrl = "rediss+cluster://me:p@a:1,[::1]:2".parse()?;
        assert_eq!(cluster.urls(), ["rediss://me:p@a:1/", "rediss://me:p@[::1]:2/"]);
        let sentinel: RedisUrl = "redis+sentinel://a,b:2,[::1]/main/3".parse()?;
        let urls = ["redis://a:26379/3", "redis://b:2/3", "redis://[::1]:26379/3"];
        assert_eq!(
            (sentinel.urls(), sentinel.master()),
            (urls.map(str::to_owned).to_vec(), "main")
        );
        Ok(())
    }
}
