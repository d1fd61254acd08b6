//! The operating system's limit on open files. Each connection needs one.

use presence_server::Node;
use std::io;
use tracing::warn;

/// Maximum number of connections to the operator's address (`--metrics-listen`).
pub(crate) const OPERATORS: usize = 64;
/// Open files that are no connections: listeners, the store, standard streams, the runtime's own.
const OTHERS: usize = 32;
/// Open files besides the connections that `--max-connections` counts.
const RESERVED: usize = Node::SPARE_CONNECTIONS + OPERATORS + OTHERS;

/// Raises the limit on open files for `most` connections. Returns the number of connections that the
/// limit allows, and logs a warning if that is less than `most`.
///
/// # Errors
///
/// The limit allows no connection, or it cannot be read.
pub(crate) fn connections(most: usize) -> io::Result<usize> {
    let wanted = most.saturating_add(RESERVED);
    let limit = rlimit::increase_nofile_limit(u64::try_from(wanted).unwrap_or(u64::MAX))?;
    let possible = within(limit, most).ok_or_else(|| {
        io::Error::other(format!(
            "the limit of {limit} open files is too low: the server needs {RESERVED}, and one more \
             for each connection"
        ))
    })?;
    if possible < most {
        warn!(
            "the system allows {limit} open files: the server accepts at most {possible} \
             connections, not {most} (raise the hard limit, `ulimit -Hn`, to {wanted})"
        );
    }
    Ok(possible)
}

/// The number of connections that fit into the limit on open files, at most `most`; `None` if none.
fn within(limit: u64, most: usize) -> Option<usize> {
    let possible = usize::try_from(limit).unwrap_or(usize::MAX).checked_sub(RESERVED)?;
    Some(possible.min(most)).filter(|connections| *connections > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_limit_on_open_files() {
        let reserved = RESERVED as u64;
        assert_eq!(within(1_000_000, 10_000), Some(10_000));
        assert_eq!(within(u64::MAX, usize::MAX), Some(usize::MAX - RESERVED));
        assert_eq!(within(reserved + 100, 10_000), Some(100));
        assert_eq!(within(reserved + 1, 10_000), Some(1));
        assert_eq!(within(reserved, 10_000), None);
        assert_eq!(within(3, 10_000), None);
    }
}
