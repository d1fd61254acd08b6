#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| presence_proto::sim::fuzz::world(bytes));
