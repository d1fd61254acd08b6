//! What travels: both codecs, clause by clause.
#![cfg(all(feature = "json", feature = "msgpack"))]

#[path = "wire/decode.rs"]
mod decode;
#[path = "wire/encoding.rs"]
mod encoding;
