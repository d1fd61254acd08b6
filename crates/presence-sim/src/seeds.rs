//! The seeds of the halves, derived from the seed of the world.

/// The seed of the server in a world with the seed `seed`, after `restarts` restarts. For replays.
#[must_use]
pub fn server_seed(seed: u64, restarts: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, part) in bytes.chunks_exact_mut(8).zip([seed, restarts, !seed, 0x5eed]) {
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
