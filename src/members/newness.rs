//! The newness of presence messages of one member (RTP2b).

use crate::UnixMillis;

/// The version of a presence message, for comparisons of newness (RTP2b).
///
/// Versions are comparable only for the same member key (client id and connection id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// Message serial and index of an id `connectionId:msgSerial:index`. `None` if the id has
    /// another form or is absent: the message was synthesized (RTP2b1).
    pub sequence: Option<(i64, i64)>,
    /// The message's timestamp.
    pub timestamp: UnixMillis,
}

impl Version {
    /// The version of a message with this id, connection id and timestamp.
    #[must_use]
    pub fn new(id: Option<&str>, connection_id: &str, timestamp: UnixMillis) -> Self {
        let sequence = id.and_then(|id| sequence(id, connection_id)).map(|s| (s.serial, s.index));
        Self { sequence, timestamp }
    }

    /// Whether an incoming message of this version replaces the stored one (RTP2a).
    ///
    /// With two sequences, the larger message serial wins, then the larger index; equal sequences
    /// are the same message, which is not newer (RTP2b2). Otherwise the later timestamp wins, and
    /// at a tie the incoming message (RTP2b1, RTP2b1a).
    #[must_use]
    pub fn is_newer_than(&self, stored: &Self) -> bool {
        match (self.sequence, stored.sequence) {
            (Some(incoming), Some(stored)) => incoming > stored,
            _ => self.timestamp >= stored.timestamp,
        }
    }
}

/// The numbers in an id `connectionId:msgSerial:index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) serial: i64,
    pub(super) index: i64,
    /// Whether formatting the numbers gives the same id: no leading zeros.
    pub(super) canonical: bool,
}

/// Parses `connectionId:msgSerial:index`. The connection id may contain colons.
#[inline]
pub(super) fn sequence(id: &str, connection_id: &str) -> Option<Sequence> {
    let (serial, serial_canonical, rest) = serial(id, connection_id)?;
    let (index, index_canonical, rest) = number(rest.strip_prefix(b":")?)?;
    rest.is_empty().then_some(Sequence {
        serial,
        index,
        canonical: serial_canonical && index_canonical,
    })
}

/// Parses the inherited id `<frame id>:<index>` without formatting it (TP3a).
#[inline(always)]
pub(super) fn sequence_in_frame(
    frame_id: &str,
    index: usize,
    connection_id: &str,
) -> Option<Sequence> {
    let (serial, canonical, rest) = serial(frame_id, connection_id)?;
    let index = i64::try_from(index).ok()?;
    rest.is_empty().then_some(Sequence { serial, index, canonical })
}

/// The number after `connectionId:`, whether it is canonical, and the rest.
#[inline(always)]
fn serial<'a>(id: &'a str, connection_id: &str) -> Option<(i64, bool, &'a [u8])> {
    if connection_id.is_empty() {
        return None;
    }
    let rest = id.as_bytes().strip_prefix(connection_id.as_bytes())?;
    number(rest.strip_prefix(b":")?)
}

/// A decimal number, whether it has no leading zeros, and the rest.
#[inline(always)]
fn number(bytes: &[u8]) -> Option<(i64, bool, &[u8])> {
    let mut value: i64 = 0;
    let mut rest = bytes;
    while let [byte @ b'0'..=b'9', tail @ ..] = rest {
        value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
        rest = tail;
    }
    let digits = bytes.len() - rest.len();
    (digits > 0).then(|| (value, digits == 1 || bytes.first() != Some(&b'0'), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::inherited_id;

    fn version(id: &str, timestamp: i64) -> Version {
        Version::new(Some(id), "c", UnixMillis::from_millis(timestamp))
    }

    #[test]
    fn rtp2b2_serial_and_index_are_compared_as_numbers() {
        assert!(version("c:10:0", 0).is_newer_than(&version("c:9:0", 5)));
        assert!(version("c:9:10", 0).is_newer_than(&version("c:9:9", 5)));
        assert!(!version("c:9:9", 9).is_newer_than(&version("c:9:10", 5)));
    }

    #[test]
    fn rtp2b2_equal_ids_are_not_newer() {
        assert!(!version("c:1:1", 9).is_newer_than(&version("c:1:1", 5)));
    }

    #[test]
    fn rtp2b1_synthesized_messages_are_compared_by_timestamp() {
        assert!(version("server:1", 6).is_newer_than(&version("c:9:0", 5)));
        assert!(!version("server:1", 4).is_newer_than(&version("c:9:0", 5)));
        assert!(!version("c:9:0", 4).is_newer_than(&version("server:1", 5)));
    }

    #[test]
    fn rtp2b1a_equal_timestamps_incoming_wins() {
        assert!(version("server:1", 5).is_newer_than(&version("c:9:0", 5)));
        assert!(version("c:9:0", 5).is_newer_than(&version("server:1", 5)));
    }

    #[test]
    fn rtp2b1_a_longer_connection_id_is_not_a_prefix() {
        assert_eq!(Version::new(Some("cc:1:0"), "c", UnixMillis::default()).sequence, None);
        assert_eq!(Version::new(Some(":1:0"), "", UnixMillis::default()).sequence, None);
        assert_eq!(Version::new(None, "c", UnixMillis::default()).sequence, None);
    }

    #[test]
    fn ids_of_other_forms_have_no_sequence() {
        for id in ["c", "c:", "c:1", "c:1:", "c::1", "c:-1:0", "c:+1:0", "c:1:0:0", "c:1:x"] {
            assert_eq!(version(id, 0).sequence, None, "{id}");
        }
        assert_eq!(version("c:9223372036854775808:0", 0).sequence, None);
        assert_eq!(version("c:9223372036854775807:0", 0).sequence, Some((i64::MAX, 0)));
    }

    #[test]
    fn an_id_with_leading_zeros_is_not_canonical() {
        let canonical = |id| sequence(id, "c").map(|sequence| sequence.canonical);
        for (id, expected) in [
            ("c:0:0", true),
            ("c:10:7", true),
            ("c:7:12", true),
            ("c:01:1", false),
            ("c:1:00", false),
        ] {
            assert_eq!(canonical(id), Some(expected), "{id}");
        }
    }

    #[test]
    fn tp3a_an_inherited_id_has_the_same_sequence_as_the_formatted_id() {
        let frames = ["c:7", "c:07", "c:7:", "c:7:1", "c:", "c", "", "x:7", "c:x", "c:7:7", ":7"];
        let connections = ["c", "c:7", "c:7:1", "c:0", "", "x", "cc"];
        for (frame, connection) in
            frames.iter().flat_map(|frame| connections.map(|connection| (frame, connection)))
        {
            for index in [0, 1, 12] {
                let written = sequence(&inherited_id(frame, index), connection);
                let read = sequence_in_frame(frame, index, connection);
                assert_eq!(read, written, "{frame} {index} {connection}");
            }
        }
    }

    #[test]
    fn a_connection_id_may_contain_colons() {
        let v = Version::new(Some("a:b:3:4"), "a:b", UnixMillis::default());
        assert_eq!(v.sequence, Some((3, 4)));
    }
}
