//! A client's message read to the letter: what is an object in the protocol is an object, a word is a string.
//!
//! Derived readers take an array for an object, its items for the members in order, and an object for a word.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value as Json};

use crate::nearest;

/// How much of a word that is not known comes back, in characters.
const SHOWN_MAX: usize = 64;

/// A value that is read to the letter.
pub(super) struct Strict(pub(super) Json);

impl IntoDeserializer<'_, Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn unexpected(value: &Json) -> Unexpected<'_> {
    match value {
        Json::Null => Unexpected::Unit,
        Json::Bool(flag) => Unexpected::Bool(*flag),
        Json::Number(_) => Unexpected::Other("number"),
        Json::String(text) => Unexpected::Str(text),
        Json::Array(_) => Unexpected::Other("array"),
        Json::Object(_) => Unexpected::Other("object"),
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Json::Object(members) => {
                let members = members.into_iter().map(|(name, member)| (name, Self(member)));
                visitor.visit_map(MapDeserializer::new(members))
            }
            Json::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Self))),
            scalar @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) => {
                scalar.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Json::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Json::Object(members) => visitor.visit_map(Members {
                left: members.into_iter(),
                value: None,
                fields,
            }),
            other => Err(Error::invalid_type(unexpected(&other), &"an object")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Json::String(word) if variants.contains(&word.as_str()) => {
                visitor.visit_enum(word.into_deserializer())
            }
            Json::String(word) => Err(unknown("word", &word, variants)),
            other => Err(Error::invalid_type(unexpected(&other), &"a word")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

/// The members of an object that the protocol knows.
struct Members {
    left: serde_json::map::IntoIter,
    value: Option<Json>,
    fields: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Members {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.left.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let shown = name.clone();
        // The reader refuses no name but those it does not know.
        let name = seed.deserialize(name.into_deserializer());
        name.map(Some)
            .map_err(|_: Error| unknown("member", &shown, self.fields))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.value.take() {
            Some(value) => seed.deserialize(Strict(value)),
            None => Err(Error::custom("a value was asked for before its name")),
        }
    }
}

pub(super) fn unknown(what: &str, given: &str, known: &[&str]) -> Error {
    let shown: String = given.chars().take(SHOWN_MAX).collect();
    let hint = nearest::hint(given, known);
    let known = known.join(", ");
    let hint = if hint.is_empty() { "," } else { &hint };
    Error::custom(format_args!("unknown {what} {shown:?}{hint} known are {known}"))
}
