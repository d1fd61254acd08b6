//! Paths of the client: a page of a sync, an event, a list.

use crate::Path;
use crate::driver::Driver;
use crate::frames::{CHANNEL, Input as Given};
use core::hint::black_box;
use presence_proto::client::Input;
use presence_proto::members::Member;
use presence_proto::wire::{Format, PresenceAction, ProtocolMessage};

const MEMBERS: usize = 1000;
const EVENTS: u64 = 20_000;

pub(crate) const PATHS: &[(&str, u64, Path)] = &[
    ("client-sync", MEMBERS as u64, sync),
    ("client-sync-again", MEMBERS as u64, sync_again),
    ("client-event", EVENTS, event),
    ("client-list-snapshots", MEMBERS as u64, list_snapshots),
    ("client-list-messages", MEMBERS as u64, list_messages),
    ("decode-sync-json", MEMBERS as u64, || decode(Format::Json, false)),
    ("decode-sync-msgpack", MEMBERS as u64, || decode(Format::MessagePack, false)),
    ("decode-event-json", EVENTS, || decode(Format::Json, true)),
    ("decode-event-msgpack", EVENTS, || decode(Format::MessagePack, true)),
];

/// Each member arrives, in frames that are decoded.
fn sync() -> Box<dyn FnOnce()> {
    let given = Given::make(MEMBERS);
    feed(Driver::new(), given.w1.0.decoded())
}

/// Each member is heard of again.
fn sync_again() -> Box<dyn FnOnce()> {
    let given = Given::make(MEMBERS);
    feed(Driver::loaded(&given), given.w4.0.decoded())
}

/// An update, now and then an enter or a leave, in a frame that is decoded.
fn event() -> Box<dyn FnOnce()> {
    let given = Given::make(MEMBERS);
    feed(Driver::loaded(&given), given.w2.0.decoded())
}

fn feed(mut driver: Driver, frames: Vec<ProtocolMessage>) -> Box<dyn FnOnce()> {
    let inputs: Vec<Input> = frames.into_iter().map(|frame| driver.received(frame)).collect();
    Box::new(move || {
        for input in inputs {
            driver.handle(input);
            driver.drain();
        }
        core::mem::forget(driver);
    })
}

/// A member, copied out of the set.
fn list_snapshots() -> Box<dyn FnOnce()> {
    list(|member| member.snapshot())
}

/// A member, written out as a message.
fn list_messages() -> Box<dyn FnOnce()> {
    list(|member| member.to_message(PresenceAction::Present))
}

fn list<T: 'static>(copy: fn(Member<'_>) -> T) -> Box<dyn FnOnce()> {
    let driver = Driver::loaded(&Given::make(MEMBERS));
    Box::new(move || {
        let channel = driver.client.channel(CHANNEL).expect("the channel");
        let copies: Vec<T> = channel.members().map(copy).collect();
        core::mem::forget(black_box(copies));
        core::mem::forget(driver);
    })
}

/// Bytes to a frame: a member of a page, or an event.
fn decode(format: Format, events: bool) -> Box<dyn FnOnce()> {
    let given = Given::make(MEMBERS);
    Box::new(move || {
        let frames = if events { &given.w2.0 } else { &given.w1.0 };
        for bytes in frames.get(format) {
            black_box(ProtocolMessage::decode(format, bytes).expect("a frame"));
        }
        core::mem::forget(given);
    })
}
