//! What travels: both codecs and the encoding chain, clause by clause.
#![cfg(all(feature = "json", feature = "msgpack"))]

#[path = "wire/ably_js.rs"]
mod ably_js;
#[path = "wire/decode.rs"]
mod decode;
#[path = "wire/encode.rs"]
mod encode;
#[path = "wire/encoding.rs"]
mod encoding;
#[path = "wire/hostile.rs"]
mod hostile;
#[path = "wire/items.rs"]
mod items;
#[path = "wire/random.rs"]
mod random;

fn from_hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| &text[2 * at..2 * at + 2];
    (0..text.len() / 2).map(|at| u8::from_str_radix(digits(at), 16).unwrap()).collect()
}
