#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| presence_check::codec::decode_page(bytes));
