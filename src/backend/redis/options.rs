//! Where the Redis is, and what bounds the way to it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What is shown in the place of a password.
const REDACTED: &str = "…";

/// Bounds and times of the Redis engine beside those of [`EngineOptions`](crate::backend::embedded::EngineOptions).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisOptions {
    /// Where it is; `None`: the embedded engine is used.
    pub url: Option<RedisUrl>,
    /// A file of the certificates (PEM) that vouch for the server of a `rediss://` URL; empty: the roots of the web.
    pub ca_file: String,
    /// What every key and channel begins with.
    pub prefix: String,
    /// Into how many parts the jobs are divided; fixed with the first start.
    pub shards: u32,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long a command may take before the engine counts as unreachable.
    pub response: Duration,
    /// Connections for commands that wait; each worker that has nothing to do holds one.
    pub waiting_max: usize,
    /// How long the wire of live messages may be silent before it is probed.
    pub probe: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: String::new(),
            prefix: "livedraft".to_owned(),
            shards: 1,
            connect: Duration::from_secs(2),
            response: Duration::from_secs(2),
            waiting_max: 4,
            probe: Duration::from_secs(5),
        }
    }
}

/// `redis://` or `rediss://` (TLS), with user and password where the server asks for them: `Debug` and `Display` show no
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(Box<str>);

/// Text that is no such URL. It is not told: it may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a Redis URL is `redis://HOST:PORT/DB` or, with TLS, `rediss://…`; before the host there may be `USER:PASSWORD@`"
)]
pub struct BadRedisUrl;

impl RedisUrl {
    /// The URL itself, for the one connection it is meant for.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it carries a password.
    pub fn has_password(&self) -> bool {
        self.credentials()
            .is_some_and(|(_, credentials)| credentials.contains(':') && !credentials.ends_with(':'))
    }

    /// Whether the way there is encrypted.
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("rediss://")
    }

    /// Where what names the server begins, and that: credentials, host and port.
    fn authority(&self) -> Option<(usize, &str)> {
        let from = self.0.find("://")? + 3;
        Some((from, self.0[from..].split(['/', '?', '#']).next()?))
    }

    /// Where the credentials begin, and they.
    fn credentials(&self) -> Option<(usize, &str)> {
        let (from, authority) = self.authority()?;
        let (credentials, _) = authority.rsplit_once('@')?;
        Some((from, credentials))
    }

    fn has_host(&self) -> bool {
        let host = |(_, authority): (usize, &str)| {
            let host = authority.rsplit('@').next().unwrap_or_default();
            !host.is_empty() && !host.starts_with(':')
        };
        self.authority().is_some_and(host)
    }
}

impl FromStr for RedisUrl {
    type Err = BadRedisUrl;

    fn from_str(text: &str) -> Result<Self, BadRedisUrl> {
        let known = ["redis://", "rediss://"];
        let url = Self(text.into());
        let is_known = known.iter().any(|scheme| text.starts_with(scheme));
        if is_known && url.has_host() && redis::parse_redis_url(text).is_some() {
            Ok(url)
        } else {
            Err(BadRedisUrl)
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((from, credentials)) = self.credentials() else {
            return f.write_str(&self.0);
        };
        let user = credentials.split(':').next().unwrap_or_default();
        let host = &self.0[from + credentials.len()..];
        write!(f, "{}{user}:{REDACTED}{host}", &self.0[..from])
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
        ] {
            assert!(wrong.parse::<RedisUrl>().is_err(), "{wrong}");
        }
        Ok(())
    }
}
