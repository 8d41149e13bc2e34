//! The door: what a client shows, to who it is.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::expiry::Expiry;
use super::key::{self, ApiKey, KeyHash};
use super::scope::{Scope, Scopes};

/// Who a client is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The id of its key; `None` where no keys are configured.
    key: Option<Arc<str>>,
    tenant: Arc<str>,
    scopes: Scopes,
    expires_ms: Option<u64>,
}

impl Identity {
    fn of(key: &ApiKey) -> Self {
        Self {
            key: Some(key.id.as_str().into()),
            tenant: key.tenant.as_str().into(),
            scopes: key.scopes,
            expires_ms: key.expires.map(Expiry::ms),
        }
    }

    /// Anyone at all, with every right, as the one tenant there is.
    pub fn anyone(tenant: &str) -> Self {
        Self {
            key: None,
            tenant: tenant.into(),
            scopes: Scopes::default(),
            expires_ms: None,
        }
    }

    /// The id of its key, for the log.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// From when on its key is known no longer, ms since 1970; `None` for never.
    pub const fn expires_ms(&self) -> Option<u64> {
        self.expires_ms
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

/// Why the keys are as they were.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unchanged {
    /// An entry cannot be.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// There is none.
    #[error("no key is left, and without any everyone may do everything: start anew for that")]
    NoKey,
}

/// Who may come in.
#[derive(Debug)]
pub struct Access(RwLock<Doors>);

#[derive(Debug)]
struct Doors {
    keys: HashMap<Box<str>, Known>,
    /// Whom everyone is where no keys are configured.
    anyone: Option<Arc<Identity>>,
}

#[derive(Debug)]
struct Known {
    entry: ApiKey,
    who: Arc<Identity>,
}

impl Known {
    fn is_good(&self, now_ms: u64) -> bool {
        self.entry.expires.is_none_or(|expires| now_ms < expires.ms())
    }
}

impl Access {
    /// The door for these keys; without any, everyone is `tenant` and may do everything.
    ///
    /// # Errors
    /// The first entry that cannot be: its id, its tenant, its scopes, or an id that stands twice.
    pub fn new(keys: &[ApiKey], tenant: &str) -> Result<Self, KeyFault> {
        Ok(Self(RwLock::new(Doors {
            keys: known(keys, &HashMap::new())?,
            anyone: keys.is_empty().then(|| Arc::new(Identity::anyone(tenant))),
        })))
    }

    /// Whether these keys can be [put in the place](Self::replace) of those there are.
    ///
    /// # Errors
    /// As there.
    pub fn could_replace(&self, keys: &[ApiKey]) -> Result<(), Unchanged> {
        if keys.is_empty() && self.anyone().is_none() {
            return Err(Unchanged::NoKey);
        }
        known(keys, &HashMap::new())?;
        Ok(())
    }

    /// Puts these keys in the place of those there are. Who came by an entry that is the same as before stays who it
    /// was; who came by any other [is held](Self::holds) no longer.
    ///
    /// # Errors
    /// An entry that cannot be, or none at all where there are keys: then nothing has changed.
    pub fn replace(&self, keys: &[ApiKey]) -> Result<(), Unchanged> {
        self.could_replace(keys)?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        doors.keys = known(keys, &doors.keys)?;
        doors.anyone = None;
        Ok(())
    }

    /// Who everyone is, where no keys are configured.
    pub fn anyone(&self) -> Option<Arc<Identity>> {
        self.doors().anyone.clone()
    }

    /// Who shows this token now. Where no keys are configured a token changes nothing.
    ///
    /// One hash and one comparison in constant time, whether the id is known or not.
    ///
    /// # Errors
    /// No key that is known: none, another secret's, or one whose time is over.
    pub fn check(&self, token: &str, now_ms: u64) -> Result<Arc<Identity>, Unknown> {
        let doors = self.doors();
        if let Some(anyone) = &doors.anyone {
            return Ok(Arc::clone(anyone));
        }
        let (id, secret) = key::parts(token);
        let known = doors.keys.get(id);
        let expected = known.map_or(&KeyHash::NONE.0, |known| &known.entry.sha256.0);
        let shown: [u8; 32] = Sha256::digest(secret).into();
        let equal = bool::from(shown.ct_eq(expected));
        known
            .filter(|known| equal && known.is_good(now_ms))
            .map(|known| Arc::clone(&known.who))
            .ok_or(Unknown)
    }

    /// Whether one who came in may stay: its key is there, as it was, and its time is not over.
    pub fn holds(&self, who: &Arc<Identity>, now_ms: u64) -> bool {
        let doors = self.doors();
        match who.key() {
            None => doors.anyone.is_some(),
            Some(id) => doors
                .keys
                .get(id)
                .is_some_and(|known| Arc::ptr_eq(&known.who, who) && known.is_good(now_ms)),
        }
    }

    /// A panic while the keys were replaced cannot leave half of them.
    fn doors(&self) -> RwLockReadGuard<'_, Doors> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entries by their ids; those that are as before keep their identity.
fn known(keys: &[ApiKey], before: &HashMap<Box<str>, Known>) -> Result<HashMap<Box<str>, Known>, KeyFault> {
    let mut known = HashMap::with_capacity(keys.len());
    for (index, entry) in keys.iter().enumerate() {
        let id = entry.id.as_str();
        let fault = |fault: String| KeyFault {
            index,
            id: id.to_owned(),
            fault,
        };
        if let Some(wrong) = entry.fault() {
            return Err(fault(wrong));
        }
        let same = before.get(id).filter(|known| known.entry == *entry);
        let who = same.map_or_else(|| Arc::new(Identity::of(entry)), |known| Arc::clone(&known.who));
        let entry = entry.clone();
        if known.insert(id.into(), Known { entry, who }).is_some() {
            return Err(fault("the id stands twice: each key has its own".to_owned()));
        }
    }
    Ok(known)
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
        let who = access.check(one.token.reveal(), 0).unwrap();
        assert_eq!((who.key(), &**who.tenant()), (Some("one"), "acme"));
        assert!(who.may(Scope::Read) && !who.may(Scope::Submit));
        assert_eq!(
            access.check(two.token.reveal(), 0).unwrap().key(),
            Some("two.b-2")
        );
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
            assert_eq!(access.check(wrong, 0), Err(Unknown), "{wrong}");
        }
        assert!(access.anyone().is_none());
    }

    #[test]
    fn without_keys_everyone_is_the_one_tenant() {
        let access = Access::new(&[], "default").unwrap();
        let who = access.check("whatever", 0).unwrap();
        assert_eq!((who.key(), &**who.tenant()), (None, "default"));
        assert!(Scope::ALL.into_iter().all(|scope| who.may(scope)));
    }

    #[test]
    fn a_key_is_known_until_its_time_is_over() {
        let mut one = made("one", 1);
        one.entry.expires = Some("1970-01-01T00:00:01Z".parse().unwrap());
        let access = Access::new(std::slice::from_ref(&one.entry), "t").unwrap();
        let who = access.check(one.token.reveal(), 999).unwrap();
        assert_eq!(who.expires_ms(), Some(1_000));
        assert!(access.holds(&who, 999) && !access.holds(&who, 1_000));
        assert_eq!(access.check(one.token.reveal(), 1_000), Err(Unknown));
    }

    #[test]
    fn keys_are_replaced_all_at_once_or_not_at_all() {
        let (one, two, new) = (made("one", 1), made("two", 2), made("two", 3));
        let access = Access::new(&[one.entry.clone(), two.entry.clone()], "t").unwrap();
        let [first, second] = [&one, &two].map(|key| access.check(key.token.reveal(), 0).unwrap());
        assert_eq!(access.replace(&[]), Err(Unchanged::NoKey));
        let twice = [new.entry.clone(), new.entry.clone()];
        assert!(matches!(access.replace(&twice), Err(Unchanged::Key(_))));
        assert!(
            access.holds(&first, 0) && access.holds(&second, 0),
            "nothing has changed"
        );
        // The second has another secret under its id.
        access.replace(&[one.entry.clone(), new.entry.clone()]).unwrap();
        assert!(access.holds(&first, 0) && !access.holds(&second, 0));
        assert_eq!(access.check(two.token.reveal(), 0), Err(Unknown));
        assert!(access.check(new.token.reveal(), 0).is_ok());
        access.replace(std::slice::from_ref(&new.entry)).unwrap();
        assert!(!access.holds(&first, 0), "its entry is gone");
        // Who came in when everyone might has shown no key.
        let open = Access::new(&[], "t").unwrap();
        let anyone = open.anyone().unwrap();
        open.replace(&[]).unwrap();
        assert!(open.holds(&anyone, 0), "there was no key before");
        open.replace(std::slice::from_ref(&new.entry)).unwrap();
        assert!(open.anyone().is_none() && !open.holds(&anyone, 0));
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
