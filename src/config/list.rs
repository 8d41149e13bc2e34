//! Places that take a list.

use serde_json::{Value as Json, json};

use super::field::{Bounds, Field, Given, expected};
use crate::access::{Network, Scope, Scopes};
use crate::llm::Models;

/// Items of a list.
const LIST_MAX: usize = 1_024;
/// Bytes of a host or an origin.
const ITEM_BYTES_MAX: usize = 512;

fn list_of(items: &str) -> String {
    format!("a list of at most {LIST_MAX} {items} (separated by commas in variables and flags)")
}

/// The items as they were given.
fn items(given: &Given, takes: &str) -> Result<Vec<String>, String> {
    let items: Vec<String> = match given {
        Given::List(items) => items.clone(),
        Given::Word(word) if word.is_empty() => Vec::new(),
        Given::Word(word) => word.split(',').map(|item| item.trim().to_owned()).collect(),
        _ => return Err(expected(takes, given)),
    };
    if items.len() > LIST_MAX {
        return Err(format!("takes {takes}, not {} of them", items.len()));
    }
    if items.iter().any(String::is_empty) {
        return Err(format!("takes {takes}, none of them empty"));
    }
    Ok(items)
}

/// An empty list is any.
impl Field for Models {
    fn takes(&self, _: Bounds) -> String {
        list_of("names")
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let names = items(given, &self.takes(bounds))?;
        *self = if names.is_empty() {
            Self::Any
        } else {
            Self::Only(names)
        };
        Ok(())
    }

    fn tell(&self) -> Json {
        match self {
            Self::Any => json!([]),
            Self::Only(names) => json!(names),
        }
    }
}

/// Hosts, or origins of pages.
impl Field for Vec<String> {
    fn takes(&self, bounds: Bounds) -> String {
        list_of(match bounds {
            Bounds::Hosts => "hosts as `live.example` or `live.example:8443`, `*` for any",
            Bounds::Origins => "origins as `https://app.example` or `https://app.example:8443`",
            Bounds::Models => "models as `provider/model`",
            _ => "texts",
        })
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let takes = self.takes(bounds);
        let given = items(given, &takes)?;
        let is_good = |item: &String| match bounds {
            Bounds::Hosts => is_host(item),
            Bounds::Origins => is_origin(item),
            _ => true,
        };
        match given.iter().find(|item| !is_good(item)) {
            Some(bad) => Err(expected(&takes, &Given::Text(bad.clone()))),
            None => {
                *self = given;
                Ok(())
            }
        }
    }

    fn tell(&self) -> Json {
        json!(self)
    }
}

fn is_host(text: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
    text == "*" || (text.len() <= ITEM_BYTES_MAX && text.chars().all(fits))
}

/// What no browser writes would never be met: a path, a `/` at the end, capitals.
fn is_origin(text: &str) -> bool {
    let has_capital = text.bytes().any(|byte| byte.is_ascii_uppercase());
    let parts = text.split_once("://");
    !has_capital
        && parts.is_some_and(|(scheme, host)| {
            !scheme.is_empty() && host != "*" && !host.is_empty() && is_host(host)
        })
}

impl Field for Vec<Network> {
    fn takes(&self, _: Bounds) -> String {
        list_of("addresses and networks as `10.1.2.3` or `10.0.0.0/8`")
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let takes = self.takes(bounds);
        let networks = items(given, &takes)?.into_iter().map(|item| {
            item.parse()
                .map_err(|_| expected(&takes, &Given::Text(item.clone())))
        });
        *self = networks.collect::<Result<_, String>>()?;
        Ok(())
    }

    fn tell(&self) -> Json {
        self.iter().map(Network::to_string).collect()
    }
}

impl Field for Scopes {
    fn takes(&self, _: Bounds) -> String {
        let words = Scope::ALL.map(|scope| format!("`{scope}`"));
        format!(
            "a list of {}, one at least (separated by commas in variables and flags)",
            words.join(", ")
        )
    }

    fn put(&mut self, given: &Given, bounds: Bounds) -> Result<(), String> {
        let takes = self.takes(bounds);
        let scopes = items(given, &takes)?.into_iter().map(|word| {
            word.parse::<Scope>()
                .map_err(|_| expected(&takes, &Given::Text(word.clone())))
        });
        let scopes: Self = scopes.collect::<Result<_, String>>()?;
        if scopes.is_empty() {
            return Err(expected(&takes, &Given::Other("an empty list")));
        }
        *self = scopes;
        Ok(())
    }

    fn tell(&self) -> Json {
        self.iter().map(Scope::word).collect()
    }
}
