//! What the fuzzers found worth keeping, replayed on stable: one input in hex on each line. The
//! inputs of the two decoders are in `tests/wire/fixtures/corpus.txt`, and run in `tests/wire`.

use presence_check::fuzz;

fn replay(corpus: &str, body: fn(&[u8])) {
    assert!(corpus.lines().count() > 0);
    for line in corpus.lines() {
        let digits = |at: usize| u8::from_str_radix(&line[2 * at..2 * at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..line.len() / 2).map(digits).collect();
        body(&bytes);
    }
}

#[test]
fn inputs_of_a_client() {
    replay(include_str!("../corpus/client_inputs.txt"), fuzz::client_inputs);
}

#[test]
fn inputs_of_a_server() {
    replay(include_str!("../corpus/server_inputs.txt"), fuzz::server_inputs);
}

#[test]
fn worlds() {
    replay(include_str!("../corpus/world.txt"), fuzz::world);
}

#[test]
fn frames_for_a_client() {
    replay(include_str!("../corpus/trace_replay.txt"), fuzz::trace_replay);
}
