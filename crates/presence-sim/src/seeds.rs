//! The seeds of the halves, derived from the seed of the world.

use presence_proto::server::KeySecret;

/// The seed of a node's server in a world with the seed `seed`, after `restarts` restarts. For
/// replays.
#[must_use]
pub fn server_seed(seed: u64, node: usize, restarts: u64) -> [u8; 32] {
    let node = u64::try_from(node).unwrap_or(u64::MAX);
    bytes([seed, restarts, !seed, 0x5eed ^ node.rotate_left(32)])
}

/// The secret of the connection keys that the nodes of a world share.
pub(crate) fn key_secret(seed: u64) -> KeySecret {
    KeySecret(bytes([seed, 0, !seed, 0x5ec7e7]))
}

fn bytes(parts: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, part) in bytes.chunks_exact_mut(8).zip(parts) {
        chunk.copy_from_slice(&part.to_le_bytes());
    }
    bytes
}

/// The seed of a client in a world with the seed `seed`, after `restarts` restarts. For replays.
#[must_use]
pub fn client_seed(seed: u64, client: usize, restarts: u64) -> u64 {
    let client = u64::try_from(client).unwrap_or(u64::MAX);
    seed ^ client.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ restarts.rotate_left(32)
}
