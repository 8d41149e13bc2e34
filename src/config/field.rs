//! What a place of the options takes, and how it is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::log::{self, LogFormat};
use crate::access::{Expiry, KeyHash};
use crate::backend::RedisUrl;
use crate::llm::{
    DialectChoice, KeyHeader, Kind, MaxTokensField, Prefill, PrefillChoice, Secret, base_url_fault,
};
use crate::schema::dialect::Dialect;

/// How much of a wrong value is told, in characters.
const GOT_MAX: usize = 64;
/// Bytes of a text that has no bound of its own.
const TEXT_MAX: u64 = 2_048;

/// What a source says, as far as that is known without the key.
pub(super) enum Given {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A number with a fraction, as the file wrote it.
    Decimal(String),
    /// A text.
    Text(String),
    /// A date, a time, or both, as the file wrote it.
    Moment(String),
    /// A list of texts.
    List(Vec<String>),
    /// A word of a variable or a flag: its type is what the key takes.
    Word(String),
    /// A table of the file.
    Section,
    /// What no key takes, by its name.
    Other(&'static str),
}

/// What bounds a value beyond its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bounds {
    /// Its type alone.
    Type,
    /// From, to.
    Number(u64, u64),
    /// Bytes, from 1.
    Text(u64),
    /// Letters, digits, `-`, `_`, `.` and `:`, from 1.
    Word(u64),
    /// An http(s) URL without credentials and query.
    Url,
    /// Levels of the log.
    Levels,
    /// Hosts, as requests name them; `*` is any.
    Hosts,
    /// Origins of pages, as browsers write them.
    Origins,
    /// Models, as jobs may name them.
    Models,
    /// Not to be shown; may be held in a file.
    Secret,
}

/// A place of the options.
pub(super) trait Field {
    /// What it takes, in words.
    fn takes(&self, bounds: Bounds) -> String;
    /// Takes it in; the error says what is wrong with it.
    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String>;
    /// What it holds, to be shown: `null` if nothing, a secret redacted.
    fn tell(&self) -> Json;
}

impl Given {
    /// The value as somebody wrote it, in so far as it may be shown.
    pub(super) fn got(&self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) | Self::Word(text) => {
                let told: String = text.chars().take(GOT_MAX).collect();
                let more = if told.len() < text.len() { "…" } else { "" };
                format!("{told:?}{more}")
            }
            Self::Decimal(digits) => digits.clone(),
            Self::Moment(moment) => moment.clone(),
            Self::List(_) => "a list".to_owned(),
            Self::Section => "a table".to_owned(),
            Self::Other(what) => (*what).to_owned(),
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Word(text) => Some(text),
            Self::Flag(_)
            | Self::Number(_)
            | Self::Decimal(_)
            | Self::Moment(_)
            | Self::List(_)
            | Self::Section
            | Self::Other(_) => None,
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => u64::try_from(*number).ok(),
            // With `_` between digits, as the file may have them.
            Self::Word(word) => word.replace('_', "").parse().ok(),
            Self::Flag(_)
            | Self::Decimal(_)
            | Self::Text(_)
            | Self::Moment(_)
            | Self::List(_)
            | Self::Section
            | Self::Other(_) => None,
        }
    }
}

/// A number within its bounds.
fn bounded(given: &Given, bounds: Bounds) -> Option<u64> {
    let (from, to) = range(bounds);
    given.number().filter(|number| (from..=to).contains(number))
}

const fn range(bounds: Bounds) -> (u64, u64) {
    match bounds {
        Bounds::Number(from, to) => (from, to),
        _ => (0, u64::MAX),
    }
}

pub(super) fn expected(takes: &str, given: &Given) -> String {
    format!("takes {takes}, not {}", given.got())
}

macro_rules! number_field {
    ($($number:ty)*) => {$(
        impl Field for $number {
            fn takes(&self, bounds: Bounds) -> String {
                let (from, to) = range(bounds);
                format!("a whole number from {from} to {to}")
            }

            fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
                let number = bounded(given, bounds).and_then(|number| Self::try_from(number).ok());
                *self = number.ok_or_else(|| expected(&self.takes(bounds), given))?;
                Ok(())
            }

            fn tell(&self) -> Json {
                json!(*self)
            }
        }
    )*};
}

number_field! { u32 u64 usize }

/// A number of its own, or that of all.
impl Field for Option<u32> {
    fn takes(&self, bounds: Bounds) -> String {
        0_u32.takes(bounds)
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        self.insert(0).put(given, bounds)
    }

    fn tell(&self) -> Json {
        json!(*self)
    }
}

/// In milliseconds.
impl Field for Duration {
    fn takes(&self, bounds: Bounds) -> String {
        0_u64.takes(bounds)
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let mut ms = 0_u64;
        ms.put(given, bounds)?;
        *self = Self::from_millis(ms);
        Ok(())
    }

    fn tell(&self) -> Json {
        json!(u64::try_from(self.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Field for bool {
    fn takes(&self, _: Bounds) -> String {
        "`true` or `false`".to_owned()
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        *self = match given {
            Given::Flag(flag) => *flag,
            Given::Word(word) if word == "true" => true,
            Given::Word(word) if word == "false" => false,
            _ => return Err(expected(&self.takes(bounds), given)),
        };
        Ok(())
    }

    fn tell(&self) -> Json {
        json!(*self)
    }
}

impl Field for SocketAddr {
    fn takes(&self, _: Bounds) -> String {
        "an address as `HOST:PORT`".to_owned()
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let found = given.text().map(|text| text.to_socket_addrs());
        let wrong = || expected(&self.takes(bounds), given);
        let mut found = match found {
            Some(Ok(found)) => found,
            Some(Err(error)) => return Err(format!("{} ({error})", wrong())),
            None => return Err(wrong()),
        };
        *self = found
            .next()
            .ok_or_else(|| format!("{} (no such host)", wrong()))?;
        Ok(())
    }

    fn tell(&self) -> Json {
        json!(self.to_string())
    }
}

/// An address or none.
impl Field for Option<SocketAddr> {
    fn takes(&self, bounds: Bounds) -> String {
        EXAMPLE.takes(bounds)
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        self.insert(EXAMPLE).put(given, bounds)
    }

    fn tell(&self) -> Json {
        self.as_ref().map_or(Json::Null, Field::tell)
    }
}

/// What an address is put in the place of where there was none.
const EXAMPLE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Field for String {
    fn takes(&self, bounds: Bounds) -> String {
        match bounds {
            Bounds::Url => "an http or https URL without credentials and query".to_owned(),
            Bounds::Levels => {
                "`error`, `warn`, `info`, `debug`, `trace`, `off`, or filters as `target=level`".to_owned()
            }
            Bounds::Text(to) => format!("a text of 1 to {to} bytes"),
            Bounds::Word(to) => format!("a word of 1 to {to} letters, digits, `-`, `_`, `.` and `:`"),
            _ => format!("a text of 1 to {TEXT_MAX} bytes"),
        }
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let text = given.text().ok_or_else(|| expected(&self.takes(bounds), given))?;
        let to = match bounds {
            Bounds::Text(to) | Bounds::Word(to) => to,
            _ => TEXT_MAX,
        };
        if text.is_empty() || text.len() as u64 > to {
            return Err(format!("takes {}, not {} bytes", self.takes(bounds), text.len()));
        }
        match bounds {
            // A URL may carry credentials, so it is not told.
            Bounds::Url => base_url_fault(text).map_or(Ok(()), |fault| {
                Err(format!("takes {}: {fault}", self.takes(bounds)))
            })?,
            Bounds::Word(_) if !text.chars().all(is_of_words) => {
                return Err(expected(&self.takes(bounds), given));
            }
            Bounds::Levels => log::filter(text)
                .map(drop)
                .map_err(|_| expected(&self.takes(bounds), given))?,
            _ => {}
        }
        text.clone_into(self);
        Ok(())
    }

    fn tell(&self) -> Json {
        if self.is_empty() { Json::Null } else { json!(self) }
    }
}

fn is_of_words(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':')
}

/// A Redis or none. What is no URL is not told: it may hold a password.
impl Field for Option<RedisUrl> {
    fn takes(&self, _: Bounds) -> String {
        "a URL as `redis://HOST:PORT`, `rediss://USER:PASSWORD@HOST:PORT/DB`, `redis+cluster://HOST:PORT,HOST:PORT` or `redis+sentinel://HOST:PORT,HOST:PORT/MASTER`".to_owned()
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let url = given.text().and_then(|text| text.trim().parse().ok());
        *self = Some(url.ok_or_else(|| format!("takes {}", self.takes(bounds)))?);
        Ok(())
    }

    fn tell(&self) -> Json {
        self.as_ref().map_or(Json::Null, |url| json!(url.to_string()))
    }
}

/// A key or nothing.
impl Field for Option<Secret> {
    fn takes(&self, _: Bounds) -> String {
        "a secret, or none".to_owned()
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        // Whatever was given instead may be one, and is not told.
        let text = given
            .text()
            .ok_or_else(|| format!("takes {}, as a text", self.takes(bounds)))?;
        let text = text.trim();
        *self = (!text.is_empty()).then(|| Secret::new(text));
        Ok(())
    }

    fn tell(&self) -> Json {
        self.as_ref()
            .map_or(Json::Null, |secret| json!(secret.to_string()))
    }
}

/// What is no hash is not told: it may be the secret itself.
impl Field for KeyHash {
    fn takes(&self, _: Bounds) -> String {
        "a SHA-256 as 64 hexadecimal digits".to_owned()
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let hash = given.text().and_then(|text| text.parse().ok());
        *self = hash.ok_or_else(|| format!("takes {}", self.takes(bounds)))?;
        Ok(())
    }

    fn tell(&self) -> Json {
        if *self == Self::NONE {
            Json::Null
        } else {
            json!(self.to_string())
        }
    }
}

/// A moment or nothing.
impl Field for Option<Expiry> {
    fn takes(&self, _: Bounds) -> String {
        "a date-time with its offset, as `2027-01-31T00:00:00Z`".to_owned()
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let text = match given {
            Given::Moment(moment) => Some(moment.as_str()),
            other => other.text(),
        };
        let moment = text.and_then(|text| text.parse().ok());
        *self = Some(moment.ok_or_else(|| expected(&self.takes(bounds), given))?);
        Ok(())
    }

    fn tell(&self) -> Json {
        self.map_or(Json::Null, |moment| json!(moment.to_string()))
    }
}

/// A choice of few: its words, and what they stand for.
trait Choice: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl Choice for DialectChoice {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("by_host", Self::ByHost),
        ("tools", Self::Always(Dialect::Tools)),
        ("tools_strict", Self::Always(Dialect::ToolsStrict)),
        ("json_schema", Self::Always(Dialect::JsonSchema)),
        ("json_schema_strict", Self::Always(Dialect::JsonSchemaStrict)),
        ("json", Self::Always(Dialect::Json)),
        ("md_json", Self::Always(Dialect::MdJson)),
    ];
}

impl Choice for PrefillChoice {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("by_host", Self::ByHost),
        ("none", Self::Never),
        (
            "continue_final_message",
            Self::Always(Prefill::ContinueFinalMessage),
        ),
        ("prefix", Self::Always(Prefill::Prefix)),
        ("last_turn", Self::Always(Prefill::LastTurn)),
    ];
}

impl Choice for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::OpenAi.word(), Self::OpenAi),
        (Self::Anthropic.word(), Self::Anthropic),
        (Self::Gemini.word(), Self::Gemini),
        (Self::Ollama.word(), Self::Ollama),
        (Self::Responses.word(), Self::Responses),
    ];
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Choice for KeyHeader {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("by_host", Self::ByHost),
        ("authorization", Self::Authorization),
        ("api-key", Self::ApiKey),
    ];
}

impl Choice for MaxTokensField {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("by_host", Self::ByHost),
        ("max_completion_tokens", Self::MaxCompletionTokens),
        ("max_tokens", Self::MaxTokens),
    ];
}

impl<T: Choice> Field for T {
    fn takes(&self, _: Bounds) -> String {
        let words: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("`{word}`")).collect();
        format!("one of {}", words.join(", "))
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let asked = given.text().unwrap_or_default();
        let known = T::WORDS.iter().find(|(word, _)| *word == asked);
        *self = known.ok_or_else(|| expected(&self.takes(bounds), given))?.1;
        Ok(())
    }

    fn tell(&self) -> Json {
        let word = T::WORDS.iter().find(|(_, choice)| choice == self);
        word.map_or(Json::Null, |(word, _)| json!(word))
    }
}
