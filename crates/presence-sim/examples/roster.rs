//! Finds a bug in a program with the simulator: `cargo run -p presence-sim --example roster`.
//!
//! The program displays the members of a room. The first version stores client ids and removes one on
//! a leave. Ann has two tabs open, two members with the same client id: when one of them leaves, Ann
//! disappears, although the other is present. The second version stores members, as pairs of a client
//! id and a connection id.

use presence_proto::client::{ClientOptions, Output, output};
use presence_proto::server::Identity;
use presence_proto::wire::{PresenceAction, PresenceMessage};
use presence_sim::{Event, Search, World};
use std::collections::BTreeSet;
use std::process::ExitCode;

/// The displayed state of the program, updated by presence events.
trait Roster: Default {
    fn apply(&mut self, event: &PresenceMessage);
    fn shown(&self) -> BTreeSet<String>;
}

fn client_id(event: &PresenceMessage) -> String {
    event.client_id.clone().unwrap_or_default().into()
}

/// The version with the bug.
#[derive(Default)]
struct ByClientId(BTreeSet<String>);

impl Roster for ByClientId {
    fn apply(&mut self, event: &PresenceMessage) {
        if event.action == PresenceAction::Leave {
            self.0.remove(&client_id(event));
        } else {
            self.0.insert(client_id(event));
        }
    }

    fn shown(&self) -> BTreeSet<String> {
        self.0.clone()
    }
}

/// The correct version.
#[derive(Default)]
struct ByMember(BTreeSet<(String, String)>);

impl Roster for ByMember {
    fn apply(&mut self, event: &PresenceMessage) {
        let connection = event.connection_id.clone().unwrap_or_default().into();
        let member = (client_id(event), connection);
        if event.action == PresenceAction::Leave {
            self.0.remove(&member);
        } else {
            self.0.insert(member);
        }
    }

    fn shown(&self) -> BTreeSet<String> {
        self.0.iter().map(|(client_id, _)| client_id.clone()).collect()
    }
}

/// Two tabs of Ann, and Bob, whose roster must show the present client ids at the end.
fn program<R: Roster>(world: &mut World, events: &[Event]) -> Result<(), String> {
    let options = ClientOptions::default();
    let ann = || Identity::Client("ann".into());
    let tabs = ["tab1", "tab2"].map(|name| world.add_client(name, ann(), options.clone()));
    let bob = world.add_client("bob", Identity::Client("bob".into()), options.clone());
    for client in [tabs[0], tabs[1], bob] {
        world.client(client).connect();
    }
    world.client(bob).subscribe("room");
    let mut roster = R::default();
    for event in events {
        match *event {
            Event::Act(client, choice) if tabs.contains(&client) => match choice % 3 {
                0 => _ = world.client(client).leave("room"),
                _ => _ = world.client(client).enter("room", "here"),
            },
            other => other.apply(world),
        }
        update(world, bob, &mut roster);
    }
    world.heal();
    update(world, bob, &mut roster);
    let present: BTreeSet<String> =
        world.client(bob).present("room").iter().map(|id| id.to_string()).collect();
    match roster.shown() {
        shown if shown == present => Ok(()),
        shown => Err(format!("bob's roster is {shown:?}, present are {present:?}")),
    }
}

fn update(world: &mut World, client: usize, roster: &mut impl Roster) {
    for event in world.client(client).events() {
        if let Output::Presence(output::Presence { message, .. }) = event {
            roster.apply(&message);
        }
    }
}

fn main() -> ExitCode {
    let search = Search::new(3);
    let Err(found) = search.run(0..1_000, program::<ByClientId>) else {
        println!("the bug is not found");
        return ExitCode::FAILURE;
    };
    println!("By client id:\n{found}");
    match search.run(0..1_000, program::<ByMember>) {
        Ok(()) => println!("By member: no failure in 1000 seeds"),
        Err(found) => {
            println!("By member:\n{found}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
