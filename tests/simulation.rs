//! Deterministic simulation of the engine: random operations on a storage that loses power, tears
//! writes, fails and fills up, checked against a naive model.
//!
//! `cargo test --test simulation` runs a fixed number of seeds. Any number, or one again:
//! `FIRN_SIM_SEEDS=100000 cargo test --release --test simulation` and
//! `FIRN_SIM_SEED=4711 cargo test --test simulation -- --nocapture`.

#[path = "simulation/content.rs"]
mod content;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/stream_content.rs"]
mod stream_content;
#[path = "simulation/world.rs"]
mod world;

use firn::io::random::Random as Choices;
use world::{Fault, Reached, World};

/// Seeds of one test in the default run.
const SEEDS: u64 = 300;

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match (number("FIRN_SIM_SEED"), number("FIRN_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 0..SEEDS,
    }
}

fn world(seed: u64) -> World {
    World::driven_by(seed, Choices::new(seed))
}

/// Runs every seed; a failure names its seed before the panic goes on.
fn for_each_seed(test: &str, body: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in seeds() {
        let outcome = std::panic::catch_unwind(|| body(seed));
        if let Err(panic) = outcome {
            let again = format!("FIRN_SIM_SEED={seed} cargo test --test simulation {test}");
            eprintln!("seed {seed} failed; again: {again}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn acknowledged_writes_survive_power_cuts_and_the_rest_is_a_prefix() {
    for_each_seed("power_cuts", |seed| {
        let mut world = world(seed);
        for _ in 0..4 {
            world.run(60, Fault::PowerCut);
            world.crash();
            world.check_everything();
        }
    });
}

#[test]
fn stages_and_chunks_of_every_kind_are_among_what_crashes_meet() {
    let mut all = Reached::default();
    for seed in 0..40 {
        let mut world = world(seed);
        for _ in 0..4 {
            world.run(60, Fault::PowerCut);
            world.crash();
            world.check_everything();
        }
        all.add(&world.reached);
    }
    all.assert_all();
}

#[test]
fn nothing_written_is_lost_when_only_the_process_dies() {
    for_each_seed("only_the_process_dies", |seed| {
        let mut world = world(seed ^ 0x5eed_0001);
        for _ in 0..3 {
            world.run(60, Fault::None);
            world.kill();
            world.check_everything();
        }
    });
}

#[test]
fn a_failed_sync_or_write_stops_the_engine_and_loses_nothing_acknowledged() {
    for_each_seed("failed_sync", |seed| {
        let mut world = world(seed ^ 0x5eed_0002);
        for _ in 0..3 {
            world.run(50, Fault::IoError);
            world.crash();
            world.check_everything();
        }
    });
}

#[test]
fn a_full_disk_refuses_writes_before_they_change_anything_and_recovers_by_itself() {
    for_each_seed("full_disk", |seed| {
        let mut world = world(seed ^ 0x5eed_0003);
        for _ in 0..3 {
            world.run(60, Fault::DiskFull);
            world.crash();
            world.check_everything();
        }
    });
}

#[test]
fn clean_closing_and_opening_changes_nothing() {
    for_each_seed("clean_closing", |seed| {
        let mut world = world(seed ^ 0x5eed_0004);
        for _ in 0..4 {
            world.run(40, Fault::None);
            world.close_and_open();
            world.check_everything();
        }
    });
}
