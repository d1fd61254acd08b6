//! Finds a bug in a program with the simulator: `cargo run -p presence-sim --example roster`.
//!
//! The program shows who is in a room. The first version keeps client ids, and forgets one when it
//! hears a leave. Ann has two tabs open, each a member with the same client id: when one goes, she
//! disappears though the other is there. The second version keeps members, which are a client id on a
//! connection.

use presence_proto::client::{ClientOptions, Output, output};
use presence_proto::server::Identity;
use presence_proto::wire::{PresenceAction, PresenceMessage};
use presence_sim::{Event, Search, World};
use std::collections::BTreeSet;
use std::process::ExitCode;

/// What the program shows, and how it follows events.
trait Roster: Default {
    fn hear(&mut self, event: &PresenceMessage);
    fn shown(&self) -> BTreeSet<String>;
}

fn client_id(event: &PresenceMessage) -> String {
    event.client_id.clone().unwrap_or_default().into()
}

/// The version with the bug.
#[derive(Default)]
struct ByClientId(BTreeSet<String>);

impl Roster for ByClientId {
    fn hear(&mut self, event: &PresenceMessage) {
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

/// The version without.
#[derive(Default)]
struct ByMember(BTreeSet<(String, String)>);

impl Roster for ByMember {
    fn hear(&mut self, event: &PresenceMessage) {
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

/// Two tabs of Ann, and Bob, whose roster must show who is there once all is quiet.
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
            other => other.happen(world),
        }
        follow(world, bob, &mut roster);
    }
    world.mend();
    follow(world, bob, &mut roster);
    let there: BTreeSet<String> =
        world.client(bob).present("room").iter().map(|id| id.to_string()).collect();
    match roster.shown() {
        shown if shown == there => Ok(()),
        shown => Err(format!("bob's screen shows {shown:?}, and {there:?} are there")),
    }
}

fn follow(world: &mut World, client: usize, roster: &mut impl Roster) {
    for event in world.client(client).events() {
        if let Output::Presence(output::Presence { message, .. }) = event {
            roster.hear(&message);
        }
    }
}

fn main() -> ExitCode {
    let search = Search::new(3);
    let Err(found) = search.run(0..1_000, program::<ByClientId>) else {
        println!("the bug was not found");
        return ExitCode::FAILURE;
    };
    println!("By client id:\n{found}");
    match search.run(0..1_000, program::<ByMember>) {
        Ok(()) => println!("By member: 1000 seeds, nothing found"),
        Err(found) => {
            println!("By member:\n{found}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
