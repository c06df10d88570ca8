//! Clock, moment and timestamp.

use std::time::Duration;

use larder_core::{Clock, Moment, SystemClock, Timestamp};
use larder_testkit::{Random, SimClock, for_each_seed};

/// What any clock owes: monotonic time does not go back, nor does the coarse reading, which is not ahead.
fn check(clock: &dyn Clock, mut meanwhile: impl FnMut()) {
    let (mut last, mut last_coarse) = (clock.monotonic(), clock.coarse());
    for _ in 0..10_000 {
        meanwhile();
        let coarse = clock.coarse();
        let now = clock.monotonic();
        assert!(last <= now, "{last:?} then {now:?}");
        assert!(last_coarse <= coarse, "{last_coarse:?} then {coarse:?}");
        assert!(coarse <= now, "coarse {coarse:?} is ahead of {now:?}");
        (last, last_coarse) = (now, coarse);
    }
}

#[test]
fn the_system_clock_never_goes_back() {
    check(&SystemClock::new(), || {});
}

#[test]
fn the_simulated_clock_never_goes_back() {
    for_each_seed(4, |seed| {
        let (clock, mut random) = (SimClock::new(), Random::seeded(seed));
        check(&clock.clone(), || match random.below(3) {
            0 => clock.advance(Duration::from_nanos(random.next_u64() >> 40)),
            1 => clock.advance_monotonic(Duration::from_nanos(1)),
            _ => clock.set_wall(Timestamp::from_micros(random.next_u64().cast_signed())),
        });
    });
}

/// The kernel says in `/proc/uptime` how long ago it booted, suspended time included; the clock says the same. A
/// clock that stands still while the machine sleeps would differ by all the time that this one has slept.
#[cfg(target_os = "linux")]
#[test]
fn the_system_clock_counts_since_boot() {
    let uptime = || -> Duration {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        Duration::from_secs_f64(text.split_whitespace().next().unwrap().parse().unwrap())
    };
    let clock = SystemClock::new();
    let before = uptime();
    let now = clock.monotonic().since(Moment::ORIGIN);
    let after = uptime();
    let tick = Duration::from_millis(10);
    assert!(
        before <= now + tick && now <= after + tick,
        "{before:?} {now:?} {after:?}"
    );
}

#[test]
fn the_system_clock_tells_a_plausible_wall_time() {
    let year_2020 = Timestamp::from_micros(1_577_836_800_000_000);
    assert!(SystemClock::new().wall() > year_2020);
}

#[test]
fn the_simulated_clock_moves_only_when_told() {
    let clock = SimClock::starting_at(Moment::from_nanos(5), Timestamp::from_micros(7));
    let other = clock.clone();
    assert_eq!(
        (clock.monotonic(), clock.wall()),
        (Moment::from_nanos(5), Timestamp::from_micros(7))
    );
    other.advance(Duration::from_micros(3));
    assert_eq!(
        (clock.monotonic(), clock.wall()),
        (Moment::from_nanos(3_005), Timestamp::from_micros(10))
    );
    other.set_wall(Timestamp::from_micros(-1));
    assert_eq!(
        (clock.monotonic(), clock.wall()),
        (Moment::from_nanos(3_005), Timestamp::from_micros(-1))
    );
    other.advance_monotonic(Duration::from_secs(1));
    assert_eq!(clock.wall(), Timestamp::from_micros(-1));
    other.advance(Duration::MAX);
    assert_eq!((clock.monotonic(), clock.wall()), (Moment::MAX, Timestamp::MAX));
}

#[test]
fn moments_stay_in_range() {
    let second = Duration::from_secs(1);
    let moment = Moment::from_nanos(2_000_000_000);
    assert_eq!(moment + second, Moment::from_nanos(3_000_000_000));
    assert_eq!(moment.saturating_sub(second), Moment::from_nanos(1_000_000_000));
    assert_eq!((moment + second).since(moment), second);
    assert_eq!(moment.since(moment + second), Duration::ZERO);
    assert_eq!(Moment::MAX + second, Moment::MAX);
    assert_eq!(moment + Duration::MAX, Moment::MAX);
    assert_eq!(moment.saturating_sub(Duration::MAX), Moment::ORIGIN);
}

#[test]
fn timestamps_stay_in_range() {
    let second = Duration::from_secs(1);
    let timestamp = Timestamp::from_micros(-500_000);
    assert_eq!(timestamp.saturating_add(second).as_micros(), 500_000);
    assert_eq!(timestamp.saturating_sub(second).as_micros(), -1_500_000);
    assert_eq!(timestamp.saturating_add(second).since(timestamp), second);
    assert_eq!(timestamp.since(timestamp.saturating_add(second)), Duration::ZERO);
    assert_eq!(Timestamp::MAX.saturating_add(second), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.saturating_sub(second), Timestamp::MIN);
    assert_eq!(timestamp.saturating_add(Duration::MAX), Timestamp::MAX);
    assert_eq!(
        Timestamp::MAX.since(Timestamp::MIN),
        Duration::from_micros(u64::MAX)
    );
    assert_eq!(timestamp.to_string(), "-500000us");
}
