//! The same inputs give the same outputs, byte for byte, also with variations that must not matter.

use presence_check::{Scenario, Variation};

const SEEDS: core::ops::Range<u64> = 0..120;

/// Scenarios in which no call exceeds its budget: an additional tick would do the rest of the work
/// earlier than recorded.
fn scenarios() -> impl Iterator<Item = Scenario> {
    SEEDS.map(|seed| {
        let mut scenario = Scenario::from_seed(seed);
        scenario.setup.budget = 10_000;
        scenario
    })
}

fn assert_same_outputs(variation: Variation) {
    for scenario in scenarios() {
        let (result, recording) = scenario.run_recorded();
        result.unwrap_or_else(|failure| panic!("{failure}"));
        let (recorded, replayed) = (recording.outputs(), recording.replay(variation));
        // Compare text: `PartialEq` may ignore fields.
        for (number, outputs) in &recorded.clients {
            let again = &replayed.clients[number];
            for (index, (a, b)) in outputs.iter().zip(again).enumerate() {
                let (a, b) = (format!("{a:?}"), format!("{b:?}"));
                assert_eq!(a, b, "seed {}, client {number}, output {index}", scenario.seed);
            }
            assert_eq!(outputs.len(), again.len(), "seed {}, client {number}", scenario.seed);
        }
        for (node, outputs) in &recorded.nodes {
            let again = &replayed.nodes[node];
            for (index, (a, b)) in outputs.iter().zip(again).enumerate() {
                let (a, b) = (format!("{a:?}"), format!("{b:?}"));
                assert_eq!(a, b, "seed {}, node {node}, output {index}", scenario.seed);
            }
            assert_eq!(outputs.len(), again.len(), "seed {}, node {node}", scenario.seed);
        }
    }
}

#[test]
fn contract_6_the_same_inputs_give_the_same_outputs() {
    assert_same_outputs(Variation::None);
}

#[test]
fn contract_6_outputs_do_not_depend_on_hasher_seeds() {
    assert_same_outputs(Variation::HashSeed(0xdead_beef));
}

#[test]
fn contract_3_spurious_ticks_change_nothing() {
    assert_same_outputs(Variation::ExtraTicks);
}

#[test]
fn contract_3_time_that_steps_back_is_clamped() {
    assert_same_outputs(Variation::BackwardTicks(5_000));
}

#[test]
fn contract_4_several_calls_may_share_an_outbox() {
    assert_same_outputs(Variation::RareDrains(3));
    assert_same_outputs(Variation::RareDrains(50));
}

#[test]
fn the_same_scenario_gives_the_same_trace() {
    for scenario in scenarios().take(40) {
        let (_, one) = scenario.run_traced();
        let (_, two) = scenario.run_traced();
        assert_eq!(one.to_string(), two.to_string());
        assert!(one.lines().len() > 2);
    }
}

#[test]
fn runs_do_not_depend_on_the_format() {
    for scenario in scenarios() {
        let traces = [0, 1, 2].map(|format| {
            let mut scenario = scenario.clone();
            for client in &mut scenario.setup.clients {
                client.format = format;
            }
            scenario.run_traced().1.to_string()
        });
        assert_eq!(traces[0], traces[1], "seed {}: values and JSON", scenario.seed);
        assert_eq!(traces[1], traces[2], "seed {}: JSON and MessagePack", scenario.seed);
    }
}
