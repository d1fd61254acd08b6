//! The workloads that this crate is measured by: `cargo bench --bench workloads -- [FRAMES_DIR]
//! [WORKLOAD…]`.
//!
//! Prints one line of JSON per workload and format. Every workload asserts its final state and its
//! events, and fails without printing if they are not as they must be. Without a folder of frames
//! it makes its own, for `PRESENCE_N` members (10,000 if not set), and measures floors beside the
//! client and the server, and W6 by hand. With `PRESENCE_WRITE` it writes the client's frames into
//! this folder instead, for others to read.
//!
//! | | what is timed | one operation |
//! |---|---|---|
//! | W1 | client: N members arrive in SYNC pages of 100 | a member |
//! | W2 | client: then 80 % updates, 10 % enters, 10 % leaves, a frame each | a frame |
//! | W3, W3own, W3client | client: list members, borrowed; as copies; those of one client id | a member; a call |
//! | W4 | client: a second sync in another order, 1 % gone and 1 % new | a member |
//! | W5, W5mass | server: one enters, N are told | a delivery |
//! | W5sync | server: pages for a newcomer, as bytes | a member |
//! | W6, W6resume, W6resume-attach | server: N connections drop; all time out, or all resume; and attach again | a member |
//! | entry | entries of the log, of 100 presence records, and pages of snapshots, of 1,000 members: encode, decode | a record; a member |
//! | log | a server over a log: the same changes with and without it, snapshots, the end of a node, memory | a record; a member |
//! | open, timers | server: N connections open; then a ping to each, and its timer armed again | a connection |

mod by_hand;
mod client;
mod driver;
mod entry;
mod floor;
mod frames;
mod log;
mod measure;
mod server;
mod server_floor;

use frames::Input;
use presence_proto::wire::Format;

/// Formats by the names that the lines use; `None` is the state machine alone.
pub(crate) const FORMATS: [(&str, Format); 2] =
    [("json", Format::Json), ("msgpack", Format::MessagePack)];

fn main() {
    // Cargo passes options of its own.
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).peekable();
    let is_workload = |arg: &str| arg.starts_with('W') || ["timers", "entry", "log"].contains(&arg);
    let folder = args.next_if(|arg| !is_workload(arg));
    let only: Vec<String> = args.collect();
    let own_frames = folder.is_none();
    let input = match folder {
        Some(folder) => Input::read(folder.as_ref()),
        None => Input::make(measure::setting("PRESENCE_N", 10_000.0) as usize),
    };
    if let Some(folder) = std::env::var_os("PRESENCE_WRITE") {
        return input.write(folder.as_ref());
    }
    let wants = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    client::run(&input, &wants);
    // A folder comes from a harness, which has floors of its own.
    if own_frames {
        floor::run(&input, &wants);
    }
    server::run(&input, &wants);
    entry::run(&wants);
    log::run(&wants);
    if own_frames {
        server_floor::run(&input, &wants);
        by_hand::run(&input, &wants);
    }
}
