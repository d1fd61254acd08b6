//! State diagrams, generated from the transition tables.

use super::{ChannelState, ConnectionState, channel, connection};
use alloc::{format, string::String, vec::Vec};
use core::fmt::{Debug, Write};

const COMMITTED: &str = include_str!("../../docs/states.md");

#[test]
fn the_state_diagrams_are_up_to_date() {
    let drawn = document();
    if std::env::var_os("STATES").is_some_and(|value| value == "write") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/states.md");
        std::fs::write(path, &drawn).expect("docs/states.md can be written");
    } else {
        assert!(drawn == COMMITTED, "run: STATES=write cargo test --lib state_diagrams");
    }
}

#[test]
fn every_state_is_reachable_and_transitions_are_unambiguous() {
    check(connection::TRANSITIONS, ConnectionState::ALL, ConnectionState::Initialized);
    check(channel::TRANSITIONS, ChannelState::ALL, ChannelState::Initialized);
}

fn check<S: Copy + PartialEq + Debug, C: Copy + PartialEq + Debug>(
    table: &[(S, C, S)],
    all: &[S],
    first: S,
) {
    let mut reached = Vec::from([first]);
    let mut at = 0;
    while let Some(&state) = reached.get(at) {
        at += 1;
        for &(.., to) in table.iter().filter(|&&(from, ..)| from == state) {
            if !reached.contains(&to) {
                reached.push(to);
            }
        }
    }
    for state in all {
        assert!(reached.contains(state), "{state:?} is never reached");
    }
    for (at, &(from, cause, to)) in table.iter().enumerate() {
        let same = |&&(f, c, _): &&(S, C, S)| f == from && c == cause;
        assert_eq!(table.iter().take(at).find(same), None, "{from:?}, {cause:?} -> {to:?}");
    }
}

fn document() -> String {
    format!(
        "# State diagrams of the client\n\n\
         Generated from the tables in `src/client/connection.rs` and `src/client/channel.rs` by\n\
         `STATES=write cargo test --lib state_diagrams`. The arrows have the causes of the tables.\n\n\
         ## Connection (RTN4, RTN27)\n\n{}\n\
         ## Channel (RTL2)\n\n{}",
        diagram(connection::TRANSITIONS, ConnectionState::ALL, ConnectionState::name),
        diagram(channel::TRANSITIONS, ChannelState::ALL, ChannelState::name),
    )
}

/// A Mermaid diagram: one arrow for each pair of states, labelled with the causes.
fn diagram<S: Copy + PartialEq, C: Debug>(
    table: &[(S, C, S)],
    all: &[S],
    name: impl Fn(S) -> &'static str,
) -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n    [*] --> initialized\n");
    for &from in all {
        for &to in all {
            let causes: Vec<String> = table
                .iter()
                .filter(|&&(f, _, t)| f == from && t == to)
                .map(|(_, cause, _)| words(&format!("{cause:?}")))
                .collect();
            if !causes.is_empty() {
                // Writing to a string cannot fail.
                let _ =
                    writeln!(text, "    {} --> {}: {}", name(from), name(to), causes.join(", "));
            }
        }
    }
    text.push_str("```\n");
    text
}

/// `ConnectionSuspended` as `connection suspended`.
fn words(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}
