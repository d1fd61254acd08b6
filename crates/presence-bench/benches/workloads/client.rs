//! W1 to W4: a client takes in what a server sends.

use crate::FORMATS;
use crate::driver::Driver;
use crate::frames::{CHANNEL, Expected, Frames, Input as Given};
use crate::measure::{Line, Sample, measure};
use core::hint::black_box;
use presence_proto::client::Input;
use presence_proto::wire::{Format, ProtocolMessage};

pub(crate) fn run(given: &Given, wants: &dyn Fn(&str) -> bool) {
    let workloads = [("W1", &given.w1, true), ("W2", &given.w2, false), ("W4", &given.w4, false)];
    for (workload, (frames, expected), fresh) in workloads {
        if !wants(workload) {
            continue;
        }
        let line = |format, sample: &Sample| {
            let events = expected.events.total();
            Line { workload, format, n: given.n, ops: expected.ops, events, retains: fresh }
                .print(sample);
        };
        for (name, format) in FORMATS {
            line(name, &bytes(given, frames, expected, fresh, format));
        }
        line("none", &decoded(given, frames, expected, fresh));
    }
    lists(given, wants);
}

/// From bytes: decoding and the state machine.
fn bytes(
    given: &Given,
    frames: &Frames,
    expected: &Expected,
    fresh: bool,
    format: Format,
) -> Sample {
    let frames = frames.get(format);
    measure(
        || if fresh { Driver::new() } else { Driver::loaded(given) },
        |driver| {
            for frame in frames {
                driver.feed(ProtocolMessage::decode(format, frame).expect("a frame"));
            }
        },
        |driver, ()| driver.check(expected),
    )
}

/// The state machine alone, on frames that were decoded before.
fn decoded(given: &Given, frames: &Frames, expected: &Expected, fresh: bool) -> Sample {
    let frames = frames.decoded();
    measure(
        || {
            let driver = if fresh { Driver::new() } else { Driver::loaded(given) };
            let inputs: Vec<Input> = frames.iter().map(|f| driver.received(f.clone())).collect();
            (driver, inputs)
        },
        |(driver, inputs)| {
            for input in inputs.drain(..) {
                driver.handle(input);
                driver.drain();
            }
        },
        |(driver, _), ()| driver.check(expected),
    )
}

fn lists(given: &Given, wants: &dyn Fn(&str) -> bool) {
    if !["W3", "W3own", "W3client"].iter().any(|name| wants(name)) {
        return;
    }
    let driver = Driver::loaded(given);
    let channel = driver.client.channel(CHANNEL).expect("the channel");
    let n = given.n;
    let all_listed = |_: &mut (), count: &usize| assert_eq!(*count, n);
    // The line is the same for both formats: nothing travels.
    let line = |workload, ops: usize, sample: &Sample| {
        for (format, _) in FORMATS {
            let ops = ops as u64;
            Line { workload, format, n, ops, events: ops, retains: false }.print(sample);
        }
    };
    if wants("W3") {
        let list = |_: &mut ()| black_box(channel.members().collect::<Vec<_>>()).len();
        line("W3", n, &measure(|| (), list, all_listed));
    }
    if wants("W3own") {
        let copies = |_: &mut ()| {
            let copies = channel.members().map(|m| m.snapshot());
            black_box(copies.collect::<Vec<_>>())
        };
        line("W3own", n, &measure(|| (), copies, |_, copies| assert_eq!(copies.len(), n)));
    }
    if wants("W3client") {
        let find = |client_id: &String| black_box(channel.members_of(client_id)).count();
        let find_all = |_: &mut ()| given.lookups.iter().map(find).sum::<usize>();
        let calls = given.lookups.len();
        let found = |_: &mut (), count: &usize| assert_eq!(*count, calls);
        line("W3client", calls, &measure(|| (), find_all, found));
    }
}
