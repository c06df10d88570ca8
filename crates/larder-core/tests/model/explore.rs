//! Runs a world under many schedules and says at which it fell.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

const SEED: u64 = 0x1a2d_e200_0000_0001;

/// Schedules tried of each kind, unless `LARDER_SCHEDULES` says otherwise.
const SCHEDULES: usize = 1_500;

/// How many changes of priority a schedule of the second kind has.
const DEPTH: usize = 4;

/// Runs `world` under random schedules and under schedules by priority. Panics as the world does.
pub(crate) fn explore(name: &str, world: impl Fn() + Send + Sync + 'static) {
    explore_times(name, 1, world);
}

/// [`explore`] with `factor` times as many schedules, for worlds whose flaw is rare.
pub(crate) fn explore_times(name: &str, factor: usize, world: impl Fn() + Send + Sync + 'static) {
    let schedules = number("LARDER_SCHEDULES").unwrap_or(SCHEDULES) * factor;
    let seed = number("LARDER_SEED").map_or(SEED, |seed| seed as u64);
    let world = Arc::new(world);
    let tried = Arc::new(AtomicUsize::new(0));
    let fallen = [
        run(RandomScheduler::new_from_seed(seed, schedules), &world, &tried),
        run(
            PctScheduler::new_from_seed(seed, DEPTH, schedules),
            &world,
            &tried,
        ),
    ];
    match fallen.into_iter().find_map(Result::err) {
        None => println!("model: {name}: {} schedules", tried.load(Ordering::Relaxed)),
        Some((at, panic)) => {
            println!("model: {name}: fell at schedule {at}");
            resume_unwind(panic);
        }
    }
}

type Fallen = (usize, Box<dyn std::any::Any + Send>);

fn run<S: Scheduler + 'static>(
    scheduler: S,
    world: &Arc<impl Fn() + Send + Sync + 'static>,
    tried: &Arc<AtomicUsize>,
) -> Result<(), Fallen> {
    let (world, counter) = (Arc::clone(world), Arc::clone(tried));
    let mut config = Config::new();
    // It would say on every run that orderings are not explored: `tests/orderings` does that.
    config.silence_warnings = true;
    let runner = Runner::new(scheduler, config);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runner.run(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            world();
        });
    }));
    outcome.map_err(|panic| (tried.load(Ordering::Relaxed), panic))
}

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
    )
}
