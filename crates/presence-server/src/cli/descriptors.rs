//! The system's limit of open files. Every connection is one.

use std::io;
use tracing::warn;

/// Connections to the operator's own address.
pub(crate) const OPERATORS: usize = 64;
/// Connections beyond the limit that a node accepts for health checks.
const SPARE: usize = 32;
/// Open files other than connections: listeners, the store, standard streams, the runtime's own.
const OTHERS: usize = 32;
/// Files that are open when all connections are those of `--max-connections`.
const BESIDE: usize = SPARE + OPERATORS + OTHERS;

/// Raises the limit of open files as far as `most` connections need it. Where it cannot be raised so
/// far this says so, and tells how many connections there can be.
///
/// # Errors
///
/// There can be no connection at all, or the limit cannot be found out.
pub(crate) fn connections(most: usize) -> io::Result<usize> {
    let wanted = most.saturating_add(BESIDE);
    let limit = rlimit::increase_nofile_limit(u64::try_from(wanted).unwrap_or(u64::MAX))?;
    let possible = within(limit, most).ok_or_else(|| {
        io::Error::other(format!(
            "{limit} open files are too few: {BESIDE} are needed, and one more for each connection"
        ))
    })?;
    if possible < most {
        warn!(
            "the system allows {limit} open files: there will be at most {possible} connections, \
             not {most} (raise the hard limit, `ulimit -Hn`, to {wanted})"
        );
    }
    Ok(possible)
}

/// How many of `most` connections there can be with so many open files.
fn within(limit: u64, most: usize) -> Option<usize> {
    let possible = usize::try_from(limit).unwrap_or(usize::MAX).checked_sub(BESIDE)?;
    Some(possible.min(most)).filter(|connections| *connections > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_what_the_system_has_files_for() {
        let beside = BESIDE as u64;
        assert_eq!(within(1_000_000, 10_000), Some(10_000));
        assert_eq!(within(u64::MAX, usize::MAX), Some(usize::MAX - BESIDE));
        assert_eq!(within(beside + 100, 10_000), Some(100));
        assert_eq!(within(beside + 1, 10_000), Some(1));
        assert_eq!(within(beside, 10_000), None);
        assert_eq!(within(3, 10_000), None);
    }
}
