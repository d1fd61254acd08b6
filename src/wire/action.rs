//! Actions of protocol messages (TR2) and of presence messages (TP2).

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vmeta])* $variant,)*
            /// An unknown number. Preserved by the codec, otherwise ignored (RSF1). Never the number
            /// of another variant.
            Unknown(u32),
        }

        impl $name {
            /// The action with this number.
            #[must_use]
            pub const fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Unknown(number) => number,
                }
            }
        }
    };
}

numbered! {
    /// The action of a [`ProtocolMessage`](super::ProtocolMessage) (TR2).
    Action {
        /// A heartbeat, or a ping and its answer (RTN13, RTN23).
        Heartbeat = 0,
        /// Positive acknowledgement of messages (RTN7).
        Ack = 1,
        /// Negative acknowledgement of messages (RTN7).
        Nack = 2,
        /// Not used over a WebSocket.
        Connect = 3,
        /// The connection is established, or its details changed (RTN6, RTN24).
        Connected = 4,
        /// Not answered over a WebSocket; some clients send it before they close a transport.
        Disconnect = 5,
        /// The server is about to close the transport; the client may resume (RTN15h).
        Disconnected = 6,
        /// Request to close the connection (RTN12).
        Close = 7,
        /// The connection is closed (RTN12).
        Closed = 8,
        /// A failure of the connection, or of the channel in the frame (RTN15j, RTL14).
        Error = 9,
        /// Request to attach a channel (RTL4).
        Attach = 10,
        /// The channel is attached (RTL4, RTL12).
        Attached = 11,
        /// Request to detach a channel (RTL5).
        Detach = 12,
        /// The channel is detached (RTL5, RTL13).
        Detached = 13,
        /// Presence events (RTP).
        Presence = 14,
        /// Messages (RTL6).
        Message = 15,
        /// A page of the members of a channel (RTP18).
        Sync = 16,
        /// New credentials (RTC8), or the server's request for them (RTN22).
        Auth = 17,
        /// Not used over a WebSocket.
        Activate = 18,
        /// Operations on shared objects. Passed through.
        Object = 19,
        /// State of shared objects. Passed through.
        ObjectSync = 20,
        /// Annotations of messages. Passed through.
        Annotation = 21,
    }
}

numbered! {
    /// The action of a [`PresenceMessage`](super::PresenceMessage) (TP2).
    PresenceAction {
        /// Absent: a mark in a member set during a sync (RTP2h2a).
        Absent = 0,
        /// The member was already present.
        Present = 1,
        /// The member entered.
        Enter = 2,
        /// The member left.
        Leave = 3,
        /// The member updated its data.
        Update = 4,
    }
}
