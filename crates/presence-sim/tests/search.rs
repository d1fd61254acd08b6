//! A search finds, shrinks and reproduces failures.

use presence_proto::client::ClientOptions;
use presence_proto::server::Identity;
use presence_sim::{Event, Search, World};

/// A program that assumes that its connection never breaks.
fn never_disconnected(world: &mut World, events: &[Event]) -> Result<(), String> {
    let ann = world.add_client("ann", Identity::Client("ann".into()), ClientOptions::default());
    world.client(ann).connect();
    for event in events {
        event.apply(world);
    }
    let trace = world.trace().to_string();
    if trace.contains("connection disconnected") {
        Err("ann is disconnected".into())
    } else {
        Ok(())
    }
}

#[test]
fn a_history_is_shrunk_to_a_few_events() {
    let found = Search::new(1).run(0..100, never_disconnected).unwrap_err();
    assert!(found.events.len() <= 3, "{:?}", found.events);
    assert_eq!(found.reason, "ann is disconnected");
    let text = found.to_string();
    assert!(text.lines().count() <= 12, "{text}");
    assert!(text.contains("ann | connection disconnected"), "{text}");
}

#[test]
fn a_counterexample_is_reproducible() {
    let search = Search::new(1);
    let found = search.run(0..100, never_disconnected).unwrap_err();
    let again = search.run([found.seed], never_disconnected).unwrap_err();
    assert_eq!((again.events, again.reason), (found.events, found.reason));
    assert_eq!(again.trace.to_string(), found.trace.to_string());
}

#[test]
fn a_correct_program_passes() {
    assert!(
        Search::new(1)
            .run(0..20, |world, events| {
                events.iter().for_each(|event| event.apply(world));
                world.heal();
                Ok(())
            })
            .is_ok()
    );
}
