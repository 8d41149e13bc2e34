//! A step that is about to be taken: a script with its keys and arguments, and the slot in which they are.

use std::ops::{Deref, DerefMut};

use redis::{Script, ScriptInvocation};

use super::keys::slot_of;

/// The step; keys and arguments are given as to the invocation that it is.
#[derive(Debug)]
pub(super) struct Step<'a> {
    slot: u16,
    invocation: ScriptInvocation<'a>,
}

impl<'a> Step<'a> {
    /// A step of a script on these keys, all of one slot.
    pub(super) fn new(script: &'a Script, keys: &[impl AsRef<str>]) -> Self {
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(key.as_ref());
        }
        Self {
            slot: keys.first().map_or(0, |key| slot_of(key.as_ref())),
            invocation,
        }
    }

    pub(super) const fn slot(&self) -> u16 {
        self.slot
    }
}

impl<'a> Deref for Step<'a> {
    type Target = ScriptInvocation<'a>;

    fn deref(&self) -> &Self::Target {
        &self.invocation
    }
}

impl DerefMut for Step<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.invocation
    }
}
