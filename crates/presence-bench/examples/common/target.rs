//! The server that a tool puts load on: one of this machine.

use clap::Args;
use std::net::{SocketAddr, ToSocketAddrs};

/// Which server, and as who.
#[derive(Args)]
pub(crate) struct Target {
    /// Where the server is: an address of this machine.
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = loopback)]
    pub(crate) server: SocketAddr,
    /// A key of the server, NAME:SECRET.
    #[arg(long, default_value = "dev.key:development-only")]
    pub(crate) key: String,
}

/// An address, if it is one of this machine.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    let found: Vec<SocketAddr> = addresses.collect();
    match found.first() {
        Some(first) if found.iter().all(|address| address.ip().is_loopback()) => Ok(*first),
        _ => Err("only addresses of this machine (127.0.0.1, ::1, localhost) are allowed".into()),
    }
}
