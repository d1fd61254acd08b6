//! The states of connections and channels, and their events.

macro_rules! states {
    ($(#[$meta:meta])* $state:ident, $(#[$event_meta:meta])* $event:ident {
        $($(#[$vmeta:meta])* $variant:ident = $name:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[allow(clippy::exhaustive_enums, reason = "the protocol has these states")]
        pub enum $state {
            $($(#[$vmeta])* $variant,)*
        }

        impl $state {
            /// Every state.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in the specification, in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl core::fmt::Display for $state {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }

        $(#[$event_meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(clippy::exhaustive_enums, reason = "a new state, or not")]
        pub enum $event {
            /// Entered this state.
            State($state),
            /// A change within the current state.
            Update,
        }

        impl $event {
            /// The name in the specification, in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::State(state) => state.name(),
                    Self::Update => "update",
                }
            }
        }
    };
}

states! {
    /// The state of a connection (RTN27).
    ConnectionState,
    /// A connection event (RTN4).
    ConnectionEvent {
        /// Never connected, and not requested to (RTN27a).
        #[default]
        Initialized = "initialized",
        /// Opening a transport, or waiting for CONNECTED (RTN27b).
        Connecting = "connecting",
        /// Established by CONNECTED (RTN27c).
        Connected = "connected",
        /// Transport lost or attempt failed; the client retries (RTN27d).
        Disconnected = "disconnected",
        /// Without a transport for `connectionStateTtl`; the client retries less often (RTN27e).
        Suspended = "suspended",
        /// Close requested by the application, not yet confirmed by the server (RTN27f).
        Closing = "closing",
        /// Closed by the application (RTN27g).
        Closed = "closed",
        /// Ended by an error; the client does not retry (RTN27h).
        Failed = "failed",
    }
}

states! {
    /// The state of a channel (RTL2b).
    ChannelState,
    /// A channel event (RTL2).
    ChannelEvent {
        /// Never attached, and not requested to.
        #[default]
        Initialized = "initialized",
        /// Attach requested, not yet confirmed by the server.
        Attaching = "attaching",
        /// Attached: the server sends the channel's events.
        Attached = "attached",
        /// Detach requested, not yet confirmed by the server.
        Detaching = "detaching",
        /// Detached.
        Detached = "detached",
        /// Attach failed or continuity lost; the client retries.
        Suspended = "suspended",
        /// Ended by an error; the client does not retry.
        Failed = "failed",
    }
}
