//! The door: what a client shows, to who it is.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::key::{self, ApiKey, KeyHash};
use super::scope::{Scope, Scopes};

/// Who a client is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The id of its key; `None` where no keys are configured.
    key: Option<Arc<str>>,
    tenant: Arc<str>,
    scopes: Scopes,
}

impl Identity {
    /// Anyone at all, with every right, as the one tenant there is.
    pub fn anyone(tenant: &str) -> Self {
        Self {
            key: None,
            tenant: tenant.into(),
            scopes: Scopes::default(),
        }
    }

    /// The id of its key, for the log.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whose jobs it submits and sees.
    pub const fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// Whether it may.
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }
}

/// What was shown is no key that is known here. It does not say whether the id is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the key is not known here")]
pub struct Unknown;

/// An entry of the configured keys that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("keys[{index}] {id:?}: {fault}")]
pub struct KeyFault {
    /// Which entry, from 0.
    pub index: usize,
    /// The id it gives.
    pub id: String,
    /// What is wrong.
    pub fault: String,
}

/// Who may come in.
#[derive(Debug)]
pub struct Access {
    keys: HashMap<Box<str>, Known>,
    /// Whom everyone is where no keys are configured.
    anyone: Option<Arc<Identity>>,
}

#[derive(Debug)]
struct Known {
    hash: [u8; 32],
    who: Arc<Identity>,
}

impl Access {
    /// The door for these keys; without any, everyone is `tenant` and may do everything.
    ///
    /// # Errors
    /// The first entry that cannot be: its id, its tenant, its scopes, or an id that stands twice.
    pub fn new(keys: &[ApiKey], tenant: &str) -> Result<Self, KeyFault> {
        let mut known = HashMap::with_capacity(keys.len());
        for (index, entry) in keys.iter().enumerate() {
            let fault = |fault: String| KeyFault {
                index,
                id: entry.id.clone(),
                fault,
            };
            if let Some(wrong) = entry.fault() {
                return Err(fault(wrong));
            }
            let who = Arc::new(Identity {
                key: Some(entry.id.as_str().into()),
                tenant: entry.tenant.as_str().into(),
                scopes: entry.scopes,
            });
            let hash = entry.sha256.0;
            if known
                .insert(entry.id.as_str().into(), Known { hash, who })
                .is_some()
            {
                return Err(fault("the id stands twice: each key has its own".to_owned()));
            }
        }
        Ok(Self {
            keys: known,
            anyone: keys.is_empty().then(|| Arc::new(Identity::anyone(tenant))),
        })
    }

    /// Who everyone is, where no keys are configured.
    pub const fn anyone(&self) -> Option<&Arc<Identity>> {
        self.anyone.as_ref()
    }

    /// Who shows this token. Where no keys are configured a token changes nothing.
    ///
    /// One hash and one comparison in constant time, whether the id is known or not.
    ///
    /// # Errors
    /// No key that is known.
    pub fn check(&self, token: &str) -> Result<Arc<Identity>, Unknown> {
        if let Some(anyone) = &self.anyone {
            return Ok(Arc::clone(anyone));
        }
        let (id, secret) = key::parts(token);
        let known = self.keys.get(id);
        let expected = known.map_or(&KeyHash::NONE.0, |known| &known.hash);
        let shown: [u8; 32] = Sha256::digest(secret).into();
        let equal = bool::from(shown.ct_eq(expected));
        known
            .filter(|_| equal)
            .map(|known| Arc::clone(&known.who))
            .ok_or(Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::{NewKey, TOKEN_BYTES_MAX};
    use super::*;

    fn made(id: &str, random: u8) -> NewKey {
        NewKey::make(id, "acme", [Scope::Read].into_iter().collect(), [random; 32]).unwrap()
    }

    #[test]
    fn a_key_opens_for_its_tenant_and_nothing_else_does() {
        let (one, two) = (made("one", 1), made("two.b-2", 2));
        let access = Access::new(&[one.entry.clone(), two.entry.clone()], "unused").unwrap();
        let who = access.check(one.token.reveal()).unwrap();
        assert_eq!((who.key(), &**who.tenant()), (Some("one"), "acme"));
        assert!(who.may(Scope::Read) && !who.may(Scope::Submit));
        assert_eq!(access.check(two.token.reveal()).unwrap().key(), Some("two.b-2"));
        let shown = one.token.reveal();
        let swapped = format!("ld_two.b-2_{}", &shown["ld_one_".len()..]);
        let long = format!("{}{}", shown, "x".repeat(TOKEN_BYTES_MAX));
        for wrong in [
            "",
            "ld_",
            "ld_one",
            "ld_one_",
            "ld__",
            "one",
            &shown[..70],
            &shown[3..],
            &shown.to_uppercase(),
            &format!("{} ", shown),
            &swapped,
            &swapped.replace("two.b-2", "three"),
            &long,
        ] {
            assert_eq!(access.check(wrong), Err(Unknown), "{wrong}");
        }
        assert!(access.anyone().is_none());
    }

    #[test]
    fn without_keys_everyone_is_the_one_tenant() {
        let access = Access::new(&[], "default").unwrap();
        let who = access.check("whatever").unwrap();
        assert_eq!((who.key(), &**who.tenant()), (None, "default"));
        assert!(Scope::ALL.into_iter().all(|scope| who.may(scope)));
    }

    #[test]
    fn entries_that_cannot_be_are_named() {
        let entry = made("one", 1).entry;
        let with = |change: &dyn Fn(&mut ApiKey)| {
            let mut changed = entry.clone();
            changed.id = "other".to_owned();
            change(&mut changed);
            Access::new(&[entry.clone(), changed], "default").unwrap_err()
        };
        for (fault, word) in [
            (with(&|key| key.id = "one".to_owned()), "twice"),
            (with(&|key| key.id = "a_b".to_owned()), "letters"),
            (with(&|key| key.id = String::new()), "letters"),
            (with(&|key| key.tenant = String::new()), "tenant"),
            (with(&|key| key.scopes = [].into_iter().collect()), "scope"),
        ] {
            assert_eq!(fault.index, 1);
            assert!(fault.to_string().contains(word), "{fault}");
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        let key = made("one", 7);
        let secret = &key.token.reveal()["ld_one_".len()..];
        let hash = key.entry.sha256.to_string();
        let access = Access::new(std::slice::from_ref(&key.entry), "t").unwrap();
        let shown = format!("{key:?} {:?} {access:?}", key.entry);
        assert!(!shown.contains(secret) && !shown.contains(&hash), "{shown}");
        assert_eq!(hash.parse(), Ok(KeyHash::of(secret)));
        for bad in ["", &hash[1..], &hash.replace('a', "g")[..63]] {
            assert!(bad.parse::<KeyHash>().is_err());
        }
    }
}
