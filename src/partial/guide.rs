//! The trait through which a schema steers the draft without the draft knowing schemas.

use std::sync::Arc;

use super::closing::Closed;

/// A place in a schema, numbered by the guide that gave it out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Nothing is known about this place, nor about any below it.
    pub const NONE: Self = Self(u32::MAX);
}

/// What a schema knows about a place, asked once per member and item.
pub trait Guide: Send + Sync {
    /// The node of the root.
    fn root(&self) -> NodeId;
    /// The node of the member `key` of an object at `node`.
    fn member(&self, node: NodeId, key: &str) -> NodeId;
    /// The node of item `index` of an array at `node`.
    fn item(&self, node: NodeId, index: usize) -> NodeId;
    /// Whether a string at `node` appears only when it is closed (rule V5).
    fn is_atomic(&self, node: NodeId) -> bool;
    /// The members that must stand before an object at `node` is shown, in ascending order; `None` if there are none.
    /// It is shown when it closes at the latest (rule V5).
    fn awaited(&self, node: NodeId) -> Option<Arc<[Box<str>]>> {
        let _any: NodeId = node;
        None
    }
    /// Whether a member `null` at `node` is said to be missing, so that it is no member.
    fn is_missing_as_null(&self, node: NodeId) -> bool {
        let _any: NodeId = node;
        false
    }
    /// Whether it wants to be told what closes. Such a guide serves one draft; it is asked once, at the beginning.
    fn hears(&self) -> bool {
        false
    }
    /// A value has closed at a place that the guide knows: a scalar, or a container behind all it holds.
    fn closed(&self, closed: Closed<'_>) {
        let _any: Closed<'_> = closed;
    }
    /// What closed at the pointer `path` and below is no part of the value any more.
    fn dropped(&self, path: &str) {
        let _any: &str = path;
    }
}
