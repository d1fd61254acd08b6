//! The states of connections and channels, and what their events are called.

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

            /// The name by which the specification calls it, in lower case.
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
            /// It is in this state now.
            State($state),
            /// Its state is the same, its condition is not.
            Update,
        }

        impl $event {
            /// The name by which the specification calls it, in lower case.
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
    /// What a connection event tells of (RTN4).
    ConnectionEvent {
        /// Never connected, and not asked to (RTN27a).
        #[default]
        Initialized = "initialized",
        /// A transport is being opened, or has been and CONNECTED has not come yet (RTN27b).
        Connecting = "connecting",
        /// CONNECTED has come (RTN27c).
        Connected = "connected",
        /// There is no transport for the moment; the client tries again (RTN27d).
        Disconnected = "disconnected",
        /// There has been none for long; the client tries again, less often (RTN27e).
        Suspended = "suspended",
        /// The application has asked for the end; the server has not confirmed it yet (RTN27f).
        Closing = "closing",
        /// Ended by the application (RTN27g).
        Closed = "closed",
        /// Ended by an error that trying again does not mend (RTN27h).
        Failed = "failed",
    }
}

states! {
    /// The state of a channel (RTL2b).
    ChannelState,
    /// What a channel event tells of (RTL2).
    ChannelEvent {
        /// Never attached, and not asked to be.
        #[default]
        Initialized = "initialized",
        /// Asked to be attached; the server has not answered yet.
        Attaching = "attaching",
        /// The server sends what happens on it.
        Attached = "attached",
        /// Asked to be detached; the server has not answered yet.
        Detaching = "detaching",
        /// Detached, as the application wished.
        Detached = "detached",
        /// Not attached for the moment; the client tries again.
        Suspended = "suspended",
        /// Not attached because of an error that trying again does not mend.
        Failed = "failed",
    }
}
