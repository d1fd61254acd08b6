//! Flag bits of ATTACH and ATTACHED (TR3) and the channel modes among them.

bitflags::bitflags! {
    /// The `flags` of a protocol message (TR3). Unknown bits are kept (RSF1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u64 {
        /// Members are present, and a SYNC follows (TR3a, RTP1).
        const HAS_PRESENCE = 1;
        /// Messages from before the attach follow (TR3b).
        const HAS_BACKLOG = 1 << 1;
        /// Continuity was kept (TR3c, RTL2f).
        const RESUMED = 1 << 2;
        /// The attach is transient (TR3e).
        const TRANSIENT = 1 << 4;
        /// Deprecated since protocol version 6; never sent by this crate (TR3f).
        const ATTACH_RESUME = 1 << 5;
        /// Shared objects exist (TR3h).
        const HAS_OBJECTS = 1 << 7;
        /// Mode: may enter (TR3q).
        const PRESENCE = 1 << 16;
        /// Mode: may publish (TR3r).
        const PUBLISH = 1 << 17;
        /// Mode: receives messages (TR3s).
        const SUBSCRIBE = 1 << 18;
        /// Mode: receives presence events (TR3t).
        const PRESENCE_SUBSCRIBE = 1 << 19;
        /// Mode: may publish annotations.
        const ANNOTATION_PUBLISH = 1 << 21;
        /// Mode: receives annotations.
        const ANNOTATION_SUBSCRIBE = 1 << 22;
        /// Mode: receives shared objects.
        const OBJECT_SUBSCRIBE = 1 << 24;
        /// Mode: may change shared objects.
        const OBJECT_PUBLISH = 1 << 25;
        const _ = !0;
    }
}

impl Flags {
    /// The modes among the flags (RTL4m).
    #[must_use]
    pub const fn modes(self) -> Modes {
        Modes::from_bits_retain(self.bits() & Modes::MASK)
    }
}

impl From<Modes> for Flags {
    fn from(modes: Modes) -> Self {
        Self::from_bits_retain(modes.bits())
    }
}

bitflags::bitflags! {
    /// Channel modes: the rights of an attachment (TB2d). Requested in ATTACH (RTL4l), granted in
    /// ATTACHED (RTL4m). The bits are those of [`Flags`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Modes: u64 {
        /// May enter, update and leave.
        const PRESENCE = Flags::PRESENCE.bits();
        /// May publish messages.
        const PUBLISH = Flags::PUBLISH.bits();
        /// Receives messages.
        const SUBSCRIBE = Flags::SUBSCRIBE.bits();
        /// Receives presence events and syncs.
        const PRESENCE_SUBSCRIBE = Flags::PRESENCE_SUBSCRIBE.bits();
        /// May publish annotations.
        const ANNOTATION_PUBLISH = Flags::ANNOTATION_PUBLISH.bits();
        /// Receives annotations.
        const ANNOTATION_SUBSCRIBE = Flags::ANNOTATION_SUBSCRIBE.bits();
        /// Receives shared objects.
        const OBJECT_SUBSCRIBE = Flags::OBJECT_SUBSCRIBE.bits();
        /// May change shared objects.
        const OBJECT_PUBLISH = Flags::OBJECT_PUBLISH.bits();
    }
}

impl Modes {
    /// The bits of `flags` reserved for modes: 16 to 31.
    pub(crate) const MASK: u64 = 0xffff_0000;
}
