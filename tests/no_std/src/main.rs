//! The library in a program without `std`: a fixed arena for a heap, a panic that ends the
//! process, and nothing of an operating system but the entry point. Exit code 0 means that the
//! conversation below came out as it should.
#![no_std]
#![no_main]

extern crate alloc;

mod bare;

use presence_proto::wire::{Format, ProtocolMessage};

/// Steps of the conversation; the number of the step that failed is the exit code.
fn conversation() -> Result<(), u8> {
    let frame = ProtocolMessage::decode(Format::Json, br#"{"action":0}"#).map_err(|_| 1)?;
    let again =
        ProtocolMessage::decode(Format::Json, &frame.encode(Format::Json)).map_err(|_| 2)?;
    if frame == again { Ok(()) } else { Err(3) }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    match conversation() {
        Ok(()) => 0,
        Err(step) => i32::from(step),
    }
}
