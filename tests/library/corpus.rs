//! The fuzzers' corpus, replayed on stable Rust: one input per line, in hex. The corpus of the two
//! decoders of frames is in `tests/wire/fixtures/corpus.txt` and runs in `tests/wire`.

use presence_check::{codec, fuzz};

fn replay(corpus: &str, body: fn(&[u8])) {
    assert!(corpus.lines().count() > 0);
    for line in corpus.lines() {
        let digits = |at: usize| u8::from_str_radix(&line[2 * at..2 * at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..line.len() / 2).map(digits).collect();
        body(&bytes);
    }
}

#[test]
fn client_inputs() {
    replay(include_str!("../corpus/client_inputs.txt"), fuzz::client_inputs);
}

#[test]
fn server_inputs() {
    replay(include_str!("../corpus/server_inputs.txt"), fuzz::server_inputs);
}

#[test]
fn entries() {
    replay(include_str!("../corpus/decode_entry.txt"), codec::decode_entry);
}

#[test]
fn pages() {
    replay(include_str!("../corpus/decode_page.txt"), codec::decode_page);
}

#[test]
fn worlds() {
    replay(include_str!("../corpus/world.txt"), fuzz::world);
}

#[test]
fn traces() {
    replay(include_str!("../corpus/trace_replay.txt"), fuzz::trace_replay);
}
