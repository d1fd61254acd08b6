//! Tools that put load on a server talk to this machine alone.

use std::net::{SocketAddr, ToSocketAddrs};

/// An address, if it is one of this machine.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    let found: Vec<SocketAddr> = addresses.collect();
    match found.first() {
        Some(first) if found.iter().all(|address| address.ip().is_loopback()) => Ok(*first),
        _ => Err("only addresses of this machine (127.0.0.1, ::1, localhost) are allowed".into()),
    }
}
