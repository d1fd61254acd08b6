//! Time in milliseconds, provided by the host.
//!
//! The crate does not read clocks. Each call of `handle` has a [`Now`].

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point in time on the monotonic clock, in whole milliseconds since an origin chosen by the
/// host. Used for deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// A point `millis` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The instant `millis` milliseconds later, saturating.
    pub(crate) const fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The duration from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at the last representable instant. The duration is rounded up to milliseconds.
impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(millis(rhs)))
    }
}

/// Saturates at the origin. The duration is rounded up to milliseconds.
impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(millis(rhs)))
    }
}

/// A duration in milliseconds, rounded up so that a deadline is never early.
fn millis(d: Duration) -> u64 {
    let whole = u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    if d.subsec_nanos().is_multiple_of(1_000_000) { whole } else { whole.saturating_add(1) }
}

/// Wall-clock time in milliseconds since the Unix epoch, for timestamps on the wire (TP3g).
/// Deadlines do not depend on it, so adjusting the clock expires nothing.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(i64);

impl UnixMillis {
    /// A point `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The time `millis` milliseconds earlier, saturating.
    pub(crate) const fn minus(self, millis: i64) -> Self {
        Self(self.0.saturating_sub(millis))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

/// The time of a call of `handle`: both clocks, read together by the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two clocks, no more")]
pub struct Now {
    /// The monotonic clock, for deadlines. A value before the latest one counts as the latest.
    pub mono: Instant,
    /// The wall clock, for timestamps on the wire.
    pub wall: UnixMillis,
}

impl Now {
    /// Both clocks.
    #[must_use]
    pub const fn new(mono: Instant, wall: UnixMillis) -> Self {
        Self { mono, wall }
    }

    /// Both clocks at `millis` after their origins. For tests.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self { mono: Instant(millis), wall: UnixMillis(millis.cast_signed()) }
    }
}

/// The earlier of two deadlines.
pub(crate) fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
