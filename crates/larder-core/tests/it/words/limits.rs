//! The limits, against those of the contract; what passing one does is tested where it belongs.

use larder_core::limits::{
    COLLAPSE_COUNT, FENCE_SHARDS, LANES_MAX, Limit, OWN_COMMITS, PIN_TARGETS_MAX, RECENT_COUNT, SINKS_MAX,
    WAITERS,
};

/// Contract: O10 (partial: `Recorded` is of the outbox)
#[test]
fn options_take_their_range_and_nothing_beside_it() {
    let options: [(Limit, &str, [usize; 3]); 5] = [
        (COLLAPSE_COUNT, "collapse_count", [16, 4_096, 65_536]),
        (OWN_COMMITS, "own_commits", [0, 65_536, 1_048_576]),
        (RECENT_COUNT, "recent_count", [1_024, 65_536, 16_777_216]),
        (FENCE_SHARDS, "shards", [1, 64, 4_096]),
        (WAITERS, "waiters_max", [1, 65_536, 1_048_576]),
    ];
    for (limit, name, [min, default, max]) in options {
        assert_eq!(
            (limit.name(), limit.default(), limit.min(), limit.max()),
            (name, default, min, max)
        );
        for allowed in [min, default, max] {
            assert_eq!(limit.check(allowed), Ok(allowed), "{name}");
        }
        for refused in [min.checked_sub(1), Some(max + 1)].into_iter().flatten() {
            let error = limit.check(refused).expect_err(name);
            assert_eq!(
                (error.option(), error.given(), error.allowed()),
                (name, refused, (min, max))
            );
            assert_eq!(
                error.to_string(),
                format!("{name} is {refused}, allowed are {min} to {max}")
            );
        }
    }
}

#[test]
fn fixed_limits_of_the_fence_are_those_of_the_contract() {
    assert_eq!((PIN_TARGETS_MAX, LANES_MAX, SINKS_MAX), (1_024, 8, 1_024));
}
