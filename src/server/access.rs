//! Identities, capabilities and modes.

use crate::SmolStr;
use crate::wire::{ErrorInfo, Modes, Value, codes};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The identity of a connection, as the host verified it (CD2a).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the protocol knows these three")]
pub enum Identity {
    /// No client id. It cannot enter.
    Anonymous,
    /// One client id. An empty one counts as [`Anonymous`](Self::Anonymous), `*` as
    /// [`Any`](Self::Any).
    Client(SmolStr),
    /// Any client id (`*`). Each message must name one.
    Any,
}

impl Identity {
    /// The identity for a client id: [`Anonymous`](Self::Anonymous) for none or an empty one,
    /// [`Any`](Self::Any) for `*`.
    pub fn from_client_id(client_id: Option<&str>) -> Self {
        match client_id {
            None | Some("") => Self::Anonymous,
            Some("*") => Self::Any,
            Some(client_id) => Self::Client(client_id.into()),
        }
    }

    /// The client id in CONNECTED: `*` for any.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Client(client_id) => Some(client_id),
            Self::Any => Some("*"),
        }
    }

    /// Restricts the identity to a client id that the peer requests (RSA7, RSA15).
    ///
    /// # Errors
    ///
    /// 40012 if the identity is anonymous, 40102 if it is a different client id.
    pub fn narrowed(self, client_id: SmolStr) -> Result<Self, ErrorInfo> {
        match self {
            Self::Any if client_id == "*" => Ok(Self::Any),
            Self::Any => Ok(Self::Client(client_id)),
            Self::Client(own) if own == client_id => Ok(Self::Client(own)),
            Self::Client(_) => Err(ErrorInfo::new(
                codes::INCOMPATIBLE_CREDENTIALS,
                401,
                "The client id differs from the one in the credentials",
            )),
            Self::Anonymous => Err(ErrorInfo::new(
                codes::INVALID_CLIENT_ID,
                400,
                "The credentials do not allow a client id",
            )),
        }
    }

    /// Replaces client ids that stand for another variant: empty and `*`.
    pub(super) fn normalized(self) -> Self {
        match self {
            Self::Client(client_id) if client_id.is_empty() => Self::Anonymous,
            Self::Client(client_id) if client_id == "*" => Self::Any,
            other => other,
        }
    }
}

bitflags::bitflags! {
    /// Operations that a capability allows on a channel.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Operations: u16 {
        /// Publish messages.
        const PUBLISH = 1;
        /// Receive messages and presence events.
        const SUBSCRIBE = 1 << 1;
        /// Enter, update and leave.
        const PRESENCE = 1 << 2;
        /// Query the history.
        const HISTORY = 1 << 3;
        /// Publish annotations.
        const ANNOTATION_PUBLISH = 1 << 4;
        /// Receive annotations.
        const ANNOTATION_SUBSCRIBE = 1 << 5;
        /// Receive shared objects.
        const OBJECT_SUBSCRIBE = 1 << 6;
        /// Change shared objects.
        const OBJECT_PUBLISH = 1 << 7;
        /// Read a channel's occupancy.
        const CHANNEL_METADATA = 1 << 8;
    }
}

impl Operations {
    /// Parses the name of an operation in a token's capability: `presence`, `channel-metadata`, …;
    /// `*` for all. Empty for an unknown name. (`from_name` parses the names of the constants.)
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "*" => Self::all(),
            "publish" => Self::PUBLISH,
            "subscribe" => Self::SUBSCRIBE,
            "presence" => Self::PRESENCE,
            "history" => Self::HISTORY,
            "annotation-publish" => Self::ANNOTATION_PUBLISH,
            "annotation-subscribe" => Self::ANNOTATION_SUBSCRIBE,
            "object-subscribe" => Self::OBJECT_SUBSCRIBE,
            "object-publish" => Self::OBJECT_PUBLISH,
            "channel-metadata" => Self::CHANNEL_METADATA,
            _ => Self::empty(),
        }
    }

    /// The modes that these operations allow (TB2d).
    #[must_use]
    pub fn modes(self) -> Modes {
        let pairs = [
            (Self::PUBLISH, Modes::PUBLISH),
            (Self::SUBSCRIBE, Modes::SUBSCRIBE.union(Modes::PRESENCE_SUBSCRIBE)),
            (Self::PRESENCE, Modes::PRESENCE),
            (Self::ANNOTATION_PUBLISH, Modes::ANNOTATION_PUBLISH),
            (Self::ANNOTATION_SUBSCRIBE, Modes::ANNOTATION_SUBSCRIBE),
            (Self::OBJECT_SUBSCRIBE, Modes::OBJECT_SUBSCRIBE),
            (Self::OBJECT_PUBLISH, Modes::OBJECT_PUBLISH),
        ];
        let mut modes = Modes::empty();
        for (operation, allowed) in pairs {
            if self.contains(operation) {
                modes |= allowed;
            }
        }
        modes
    }
}

/// The operations that a peer may use on each channel.
///
/// A pattern is a channel name, in segments separated by `:`. A segment `*` matches any one
/// segment; as the last segment, one or more. `*` and `[*]*` match every channel, except that a
/// channel whose name begins with `[meta]` requires `[*]*` or a pattern that begins with `[meta]`.
/// The operations of all matching patterns add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capability {
    rules: Vec<(SmolStr, Operations)>,
    /// Restricts all rules.
    outer: Option<Arc<Self>>,
}

impl Capability {
    /// No operation on any channel.
    #[must_use]
    pub const fn none() -> Self {
        Self { rules: Vec::new(), outer: None }
    }

    /// Every operation on every channel.
    #[must_use]
    pub fn all() -> Self {
        Self::none().allow("[*]*", Operations::all())
    }

    /// Adds operations on the channels that match a pattern.
    #[must_use]
    pub fn allow(mut self, pattern: impl Into<SmolStr>, operations: Operations) -> Self {
        self.rules.push((pattern.into(), operations));
        self
    }

    /// Restricts the capability to operations that `outer` allows too, such as a token within its
    /// key.
    #[must_use]
    pub fn within(mut self, outer: Arc<Self>) -> Self {
        self.outer = Some(match self.outer.take() {
            None => outer,
            Some(inner) => Arc::new(Arc::unwrap_or_clone(inner).within(outer)),
        });
        self
    }

    /// Parses the capability of a key or a token: an object that maps patterns to lists of
    /// operation names.
    ///
    /// # Errors
    ///
    /// 40000 if the value has another shape.
    pub fn from_value(value: &Value) -> Result<Self, ErrorInfo> {
        let malformed = || ErrorInfo::new(codes::BAD_REQUEST, 400, "The capability is malformed");
        let Value::Object(map) = value else { return Err(malformed()) };
        let mut capability = Self::none();
        for (pattern, names) in map.iter() {
            let Value::Array(names) = names else { return Err(malformed()) };
            let mut operations = Operations::empty();
            for name in names {
                let Value::String(name) = name else { return Err(malformed()) };
                operations |= Operations::named(name);
            }
            capability.rules.push((pattern.into(), operations));
        }
        Ok(capability)
    }

    /// The operations allowed on a channel.
    #[must_use]
    pub fn on(&self, channel: &str) -> Operations {
        let mut operations = Operations::empty();
        for (pattern, allowed) in &self.rules {
            if matches(pattern, channel) {
                operations |= *allowed;
            }
        }
        match &self.outer {
            None => operations,
            Some(outer) => operations & outer.on(channel),
        }
    }

    /// The operations allowed on at least one channel. For a capability [`within`](Self::within)
    /// another: those that both allow, even if on different channels.
    #[must_use]
    pub fn anywhere(&self) -> Operations {
        let own = self.rules.iter().fold(Operations::empty(), |all, (_, allowed)| all | *allowed);
        match &self.outer {
            None => own,
            Some(outer) => own & outer.anywhere(),
        }
    }
}

/// Whether a channel name matches a pattern.
pub(super) fn matches(pattern: &str, channel: &str) -> bool {
    if pattern == "[*]*" {
        return true;
    }
    // Only the qualifier `[meta]` needs a pattern of its own. The prefix `[*]` adds nothing.
    let pattern = pattern.strip_prefix("[*]").unwrap_or(pattern);
    if channel.starts_with("[meta]") && !pattern.starts_with("[meta]") {
        return false;
    }
    if pattern == "*" {
        return true;
    }
    let mut pattern = pattern.split(':').peekable();
    let mut channel = channel.split(':');
    loop {
        match (pattern.next(), channel.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) if pattern.peek().is_none() => return true,
            (Some("*"), Some(_)) => {}
            (Some(expected), Some(segment)) if expected == segment => {}
            _ => return false,
        }
    }
}

/// The modes of an ATTACH that requests none (RTL4l, RTL4m). Annotations and shared objects must be
/// requested.
pub(super) const DEFAULT_MODES: Modes = Modes::PRESENCE
    .union(Modes::PUBLISH)
    .union(Modes::SUBSCRIBE)
    .union(Modes::PRESENCE_SUBSCRIBE)
    .union(Modes::ANNOTATION_PUBLISH);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_segments() {
        for (pattern, channel, expected) in [
            ("*", "a", true),
            ("*", "a:b:c", true),
            ("[*]*", "[meta]a", true),
            ("*", "[meta]a", false),
            ("[meta]*", "[meta]log", false),
            ("[meta]log", "[meta]log", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "a:b", false),
            ("a:*", "a:b", true),
            ("a:*", "a:b:c", true),
            ("a:*", "a", false),
            ("a:*:c", "a:b:c", true),
            ("a:*:c", "a:b:d", false),
            ("a:*:c", "a:b:b:c", false),
            ("*:b", "a:b", true),
            ("*:b", "a:c", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, channel), expected, "{pattern} {channel}");
        }
    }

    #[test]
    fn operations_of_several_patterns_add_up() {
        let capability = Capability::none()
            .allow("a:*", Operations::SUBSCRIBE)
            .allow("a:b", Operations::PRESENCE);
        assert_eq!(capability.on("a:b"), Operations::SUBSCRIBE | Operations::PRESENCE);
        assert_eq!(capability.on("a:c"), Operations::SUBSCRIBE);
        assert_eq!(capability.on("b"), Operations::empty());
    }

    #[test]
    fn a_capability_within_others_allows_what_all_allow() {
        let allowed = |pattern, operations| Capability::none().allow(pattern, operations);
        let capability = allowed("*", Operations::PRESENCE | Operations::PUBLISH)
            .within(Arc::new(allowed("a:*", Operations::all())))
            .within(Arc::new(allowed("*", Operations::PRESENCE)));
        assert_eq!(capability.on("a:b"), Operations::PRESENCE);
        assert_eq!(capability.on("b"), Operations::empty());
        assert_eq!(capability.anywhere(), Operations::PRESENCE);
    }

    #[test]
    fn rsa7_a_client_id_narrows_a_wildcard_and_nothing_else() {
        assert_eq!(Identity::Any.narrowed("a".into()), Ok(Identity::Client("a".into())));
        let own = Identity::Client("a".into());
        assert_eq!(own.clone().narrowed("a".into()), Ok(own.clone()));
        assert_eq!(
            own.narrowed("b".into()).map_err(|e| e.code),
            Err(codes::INCOMPATIBLE_CREDENTIALS)
        );
        assert_eq!(
            Identity::Anonymous.narrowed("a".into()).map_err(|e| e.code),
            Err(codes::INVALID_CLIENT_ID)
        );
    }
}
