//! Serials: increasing numbers of frames, across runs too.

use crate::{SmolStr, UnixMillis};
use core::fmt::Write as _;
use smol_str::SmolStrBuilder;

/// Bits for the serials of one millisecond.
const BITS_PER_MILLI: u32 = 20;

/// The source of serials: the wall clock, made strictly increasing.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    last: u64,
}

impl Stream {
    /// A source whose serials are greater than `first`.
    pub(super) const fn new(first: u64) -> Self {
        Self { last: first }
    }

    /// Continues from a serial.
    pub(super) fn resume(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// The last serial.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// A serial greater than all before.
    pub(super) fn next(&mut self, wall: UnixMillis) -> u64 {
        self.last = self.last.saturating_add(1).max(first_of(wall));
        self.last
    }
}

/// The first serial of a millisecond.
pub(super) fn first_of(wall: UnixMillis) -> u64 {
    let millis = u64::try_from(wall.as_millis()).unwrap_or(0).min(u64::MAX >> BITS_PER_MILLI);
    millis << BITS_PER_MILLI
}

/// Formats a `channelSerial`: 16 hexadecimal digits, so that texts sort like numbers.
pub(in crate::server) fn format_serial(serial: u64) -> SmolStr {
    let mut text = [0; 16];
    for (place, digit) in text.iter_mut().enumerate() {
        let nibble = (serial >> (60 - 4 * place)) as usize & 15;
        *digit = b"0123456789abcdef".get(nibble).copied().unwrap_or(b'0');
    }
    core::str::from_utf8(&text).map(SmolStr::new_inline).unwrap_or_default()
}

/// Parses a `channelSerial`.
pub(in crate::server) fn parse_serial(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The serial of a sync page: `sequence:cursor`. The last page has no cursor (RTP18b).
pub(in crate::server) fn sync_serial(sequence: u64, cursor: Option<u32>) -> SmolStr {
    let mut serial = SmolStrBuilder::new();
    serial.push_str(&format_serial(sequence));
    serial.push(':');
    if let Some(cursor) = cursor {
        let _ = write!(serial, "{cursor}");
    }
    serial.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn serials_increase_even_if_the_wall_clock_steps_back() {
        let mut stream = Stream::new(0);
        let a = stream.next(UnixMillis::from_millis(2_000));
        let b = stream.next(UnixMillis::from_millis(2_000));
        let c = stream.next(UnixMillis::from_millis(-5));
        assert!(a < b && b < c);
        assert!(Stream::new(c).next(UnixMillis::default()) > c);
    }

    #[test]
    fn a_formatted_serial_parses_back() {
        for serial in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(parse_serial(&format_serial(serial)), Some(serial));
        }
        assert_eq!(format_serial(10).to_string(), "000000000000000a");
        for other in ["", "0", "+00000000000000a", "000000000000000g", "00000000000000000"] {
            assert_eq!(parse_serial(other), None, "{other}");
        }
    }

    #[test]
    fn rtp18_a_sync_serial_has_one_colon_and_no_cursor_at_the_end() {
        assert_eq!(sync_serial(1, Some(200)), "0000000000000001:200");
        assert_eq!(sync_serial(1, None), "0000000000000001:");
    }
}
