//! [`Curve`]: how often LRU hits at every capacity, from one pass over the trace.
//!
//! The stack distance of an access is how many other keys were used since the last use of its key; LRU hits iff that is less than the capacity
//! (Mattson et al., 1970). A tree over the times of last uses counts them, O(n log n) (Bennett and Kruskal, 1975).

/// Hits by capacity.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    /// How many accesses hit at a capacity of one more than the place.
    hits: Vec<u64>,
    accesses: u64,
}

impl Curve {
    pub(crate) fn of(accesses: &[u32], keys: usize) -> Self {
        // A one at each time at which some key was used last.
        let mut tree = vec![0_u32; accesses.len() + 1];
        let add = |tree: &mut [u32], mut at: usize, more: i32| {
            while at < tree.len() {
                tree[at] = tree[at].wrapping_add_signed(more);
                at += at & at.wrapping_neg();
            }
        };
        let sum = |tree: &[u32], mut at: usize| {
            let mut sum = 0_u64;
            while at > 0 {
                sum += u64::from(tree[at]);
                at &= at - 1;
            }
            sum
        };
        let mut last = vec![0_usize; keys];
        let mut by_distance = vec![0_u64; keys + 1];
        let mut distinct = 0_u64;
        for (key, time) in accesses.iter().zip(1..) {
            let before = std::mem::replace(&mut last[*key as usize], time);
            if before == 0 {
                distinct += 1;
            } else {
                // Keys used after it: all that were ever used but those last used up to then.
                let since = distinct - sum(&tree, before);
                by_distance[usize::try_from(since).unwrap_or(keys)] += 1;
                add(&mut tree, before, -1);
            }
            add(&mut tree, time, 1);
        }
        let mut hits = Vec::with_capacity(keys);
        let mut so_far = 0;
        for count in by_distance.into_iter().take(keys) {
            so_far += count;
            hits.push(so_far);
        }
        Curve {
            hits,
            accesses: accesses.len() as u64,
        }
    }

    /// How many accesses hit at a capacity.
    pub(crate) fn hits(&self, capacity: usize) -> u64 {
        let place = capacity.min(self.hits.len()).checked_sub(1);
        place.and_then(|place| self.hits.get(place)).copied().unwrap_or(0)
    }

    /// The share of accesses that hit at a capacity.
    pub(crate) fn ratio(&self, capacity: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        let ratio = self.hits(capacity) as f64 / self.accesses.max(1) as f64;
        ratio
    }

    /// The smallest capacity at which something hits and whose doubling gains less than a point.
    pub(crate) fn doubling_gains_little(&self) -> usize {
        let begins = self.hits.partition_point(|hits| *hits == 0) + 1;
        let mut capacities = begins..self.hits.len();
        let found = capacities.find(|capacity| self.ratio(capacity * 2) - self.ratio(*capacity) < 0.01);
        found.unwrap_or(self.hits.len())
    }

    /// The smallest capacity that reaches this share of the best ratio of all.
    pub(crate) fn within(&self, share: f64) -> usize {
        let enough = self.ratio(self.hits.len()) * share;
        let mut capacities = 1..self.hits.len();
        let found = capacities.find(|capacity| self.ratio(*capacity) >= enough);
        found.unwrap_or(self.hits.len())
    }

    /// Up to so many points, evenly spread over the logarithm of the capacity.
    pub(crate) fn points(&self, count: u32) -> Vec<(usize, f64)> {
        let mut points = Vec::new();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place on a scale"
        )]
        for step in 0..=count {
            let share = f64::from(step) / f64::from(count.max(1));
            let capacity = (self.hits.len() as f64).powf(share).round() as usize;
            if points.last().is_none_or(|(last, _)| *last < capacity) {
                points.push((capacity, self.ratio(capacity)));
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::Curve;
    use crate::demo::random::Random;
    use crate::replay::plain::Lru;
    use crate::replay::simulate;

    #[test]
    fn it_says_what_a_simulation_of_each_capacity_says() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let keys = 40;
            let accesses: Vec<u32> = (0..600)
                .map(|_| u32::try_from(random.id(keys) - 1).unwrap_or(0))
                .collect();
            let curve = Curve::of(&accesses, 40);
            for capacity in 1..=40 {
                let hits = simulate::hits("LRU", &mut Lru::new(40, capacity), &accesses, capacity);
                assert_eq!(
                    curve.hits(capacity),
                    hits.unwrap_or(0),
                    "seed {seed}, capacity {capacity}"
                );
            }
            assert_eq!(curve.hits(1_000), curve.hits(40));
        }
    }

    #[test]
    fn what_is_recommended_follows_from_the_curve() {
        // Ten keys in turn: nothing hits until all of them fit.
        let accesses: Vec<u32> = (0..1_000).map(|at| at % 10).collect();
        let curve = Curve::of(&accesses, 10);
        assert_eq!((curve.hits(9), curve.hits(10)), (0, 990));
        assert_eq!((curve.doubling_gains_little(), curve.within(0.95)), (10, 10));
        let points = curve.points(20);
        assert_eq!(
            (points.first(), points.last()),
            (Some(&(1, 0.0)), Some(&(10, 0.99)))
        );
    }
}
