//! Time as the crate knows it: milliseconds that the host hands in.
//!
//! There is no `now()` here. Every call of `handle` brings a [`Now`].

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on a clock that never steps back, in whole milliseconds since an origin that the
/// host chooses. Deadlines are computed on it.
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

    /// So many milliseconds later. Saturating, as the sum with a duration.
    pub(crate) const fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Saturating: a deadline too far away to be represented is the last representable instant.
impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(millis(rhs)))
    }
}

/// Saturating at the origin.
impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(millis(rhs)))
    }
}

/// Whole milliseconds of a duration, rounded up so that a deadline is never early.
fn millis(d: Duration) -> u64 {
    let whole = u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    if d.subsec_nanos().is_multiple_of(1_000_000) { whole } else { whole.saturating_add(1) }
}

/// Wall-clock time: milliseconds since the Unix epoch, as timestamps travel on the wire (TP3g).
/// Deadlines never depend on it, so a clock that is set back or forth expires nothing.
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

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

/// The time of a call: both clocks, read together by the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two clocks, no more")]
pub struct Now {
    /// The monotonic clock, for deadlines. If it steps back it is clamped to the latest value seen.
    pub mono: Instant,
    /// The wall clock, for stamps on the wire.
    pub wall: UnixMillis,
}

impl Now {
    /// Both clocks.
    #[must_use]
    pub const fn new(mono: Instant, wall: UnixMillis) -> Self {
        Self { mono, wall }
    }

    /// One clock for both, for tests: `millis` after the monotonic origin and the Unix epoch.
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
