//! JSON from outside as plain data: each name once in its object, and none that means more than itself.
//!
//! `serde_json`'s own value lets the last of two equal names win, and reads text under a name of its own (the one
//! that carries raw values between its types) as further JSON, past every limit of depth.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

/// How much of a name that stands twice is told, in characters.
const NAME_TOLD_MAX: usize = 64;

/// A JSON value that is read as plain data.
#[derive(Clone, PartialEq, Debug)]
pub struct Plain(pub Json);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

/// For `#[serde(deserialize_with)]` on a member that holds any JSON.
pub(super) fn json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
    Plain::deserialize(deserializer).map(|plain| plain.0)
}

/// The same for a member that may be absent or `null`.
pub(super) fn option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    let plain = Option::<Plain>::deserialize(deserializer)?;
    Ok(plain.map(|plain| plain.0))
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(Plain(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                let told: String = name.chars().take(NAME_TOLD_MAX).collect();
                return Err(A::Error::custom(format_args!("the member {told:?} stands twice")));
            }
            let Plain(member) = map.next_value()?;
            members.insert(name, member);
        }
        Ok(Json::Object(members))
    }
}
