//! The numbers of the formats. The [module](super) has them in tables.

use crate::server::LeaveCause;

/// The version of entries that this build writes, and the newest that it reads.
pub(super) const VERSION: u8 = 1;

/// The version of pages that this build writes, and the newest that it reads.
pub(super) const PAGE_VERSION: u8 = 1;

/// The kinds of entries and records.
pub(super) mod kind {
    pub(in crate::server::entry) const JOIN: u8 = 1;
    pub(in crate::server::entry) const STEP: u8 = 2;
    pub(in crate::server::entry) const LEAVING: u8 = 3;
    pub(in crate::server::entry) const ADOPT: u8 = 4;
    pub(in crate::server::entry) const PRESENCE: u8 = 5;
    pub(in crate::server::entry) const GRACE_OVER: u8 = 6;
    pub(in crate::server::entry) const END: u8 = 7;
    pub(in crate::server::entry) const DISMISS: u8 = 8;
    pub(in crate::server::entry) const KICK: u8 = 9;
    pub(in crate::server::entry) const GONE: u8 = 10;
    pub(in crate::server::entry) const MESSAGES: u8 = 11;
    pub(in crate::server::entry) const COUNTS: u8 = 12;
}

/// The kinds of parts of pages.
pub(super) mod part {
    pub(in crate::server::entry) const FOLD: u8 = 1;
    pub(in crate::server::entry) const ENDED: u8 = 2;
    pub(in crate::server::entry) const CONNECTION: u8 = 3;
    pub(in crate::server::entry) const CHANNEL: u8 = 4;
    pub(in crate::server::entry) const MEMBERS: u8 = 5;
    pub(in crate::server::entry) const EVENTS: u8 = 6;
}

bitflags::bitflags! {
    /// The fields that a presence message, a message or a kick has. The most frequent ones are in
    /// the low seven bits, which take one byte.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Fields: u16 {
        const CLIENT_ID = 1;
        const STRING = 1 << 1;
        const BINARY = 1 << 2;
        const JSON = 1 << 3;
        const ENCODING = 1 << 4;
        const ID = 1 << 5;
        const CONNECTION_ID = 1 << 6;
        const TIMESTAMP = 1 << 7;
        const EXTRAS = 1 << 8;
        const NAME = 1 << 9;
        const OTHER = 1 << 10;

        const KICK = Self::CLIENT_ID.bits() | Self::CONNECTION_ID.bits();
        const PRESENCE = Self::CLIENT_ID.bits()
            | Self::STRING.bits()
            | Self::BINARY.bits()
            | Self::JSON.bits()
            | Self::ENCODING.bits()
            | Self::ID.bits()
            | Self::CONNECTION_ID.bits()
            | Self::TIMESTAMP.bits()
            | Self::EXTRAS.bits();
        const MESSAGE = Self::PRESENCE.bits() | Self::NAME.bits() | Self::OTHER.bits();
    }
}

bitflags::bitflags! {
    /// The fields that a channel in a page has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct ChannelFields: u8 {
        const MESSAGE_AT = 1;
        const LAST_DROPPED = 1 << 1;
        const ROWS = 1 << 2;
    }
}

/// The types of values.
pub(super) mod tag {
    pub(in crate::server::entry) const NULL: u8 = 0;
    pub(in crate::server::entry) const FALSE: u8 = 1;
    pub(in crate::server::entry) const TRUE: u8 = 2;
    pub(in crate::server::entry) const INT: u8 = 3;
    pub(in crate::server::entry) const UINT: u8 = 4;
    pub(in crate::server::entry) const FLOAT: u8 = 5;
    pub(in crate::server::entry) const STRING: u8 = 6;
    pub(in crate::server::entry) const BINARY: u8 = 7;
    pub(in crate::server::entry) const ARRAY: u8 = 8;
    pub(in crate::server::entry) const OBJECT: u8 = 9;
}

macro_rules! causes {
    ($($cause:ident = $number:literal,)*) => {
        pub(super) const fn cause_number(cause: LeaveCause) -> u8 {
            match cause {
                $(LeaveCause::$cause => $number,)*
            }
        }

        pub(super) const fn cause(number: u8) -> Option<LeaveCause> {
            match number {
                $($number => Some(LeaveCause::$cause),)*
                _ => None,
            }
        }
    };
}

causes! {
    Left = 0,
    Detached = 1,
    Closed = 2,
    GraceEnded = 3,
    RightLost = 4,
    Kicked = 5,
}
