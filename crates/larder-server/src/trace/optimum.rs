//! [`Optimum`]: what a cache could do that knew the future: of entries no policy hits more often, of sizes it is a reference.

use std::collections::BinaryHeap;

use super::{Access, Accesses, Hits, Op, Simulation, Unit};

/// Never read again before it is stored anew or removed.
const NEVER: u32 = u32::MAX;

/// Farthest next use: what is read again latest leaves, or is not stored at all.
///
/// Exact for entries of equal weight (Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal, 1966), also with sets and
/// deletes: what is set or deleted before it is read need not be kept until then, so each read that can hit is a stretch of time from the access
/// before it, and as many stretches as the capacity may overlap. For sizes the question is NP-hard, and this is a reference that a policy may beat.
#[derive(Clone, Debug)]
pub struct Optimum<'a> {
    accesses: &'a Accesses,
    /// When each access' key is read next.
    next: Vec<u32>,
}

impl<'a> Optimum<'a> {
    /// Looks ahead. O(n).
    #[must_use]
    pub fn of(accesses: &'a Accesses) -> Self {
        let mut later = vec![NEVER; accesses.distinct()];
        let mut next = vec![NEVER; accesses.len()];
        for (at, key) in accesses.keys().iter().enumerate().rev() {
            let op = accesses.ops().get(at).copied().unwrap_or(Op::Get);
            let this = if op == Op::Get {
                u32::try_from(at).unwrap_or(NEVER)
            } else {
                NEVER
            };
            let then = std::mem::replace(&mut later[*key as usize], this);
            if op != Op::Delete {
                next[at] = then;
            }
        }
        Optimum { accesses, next }
    }

    /// What hits. O(n log n).
    #[must_use]
    pub fn hits(&self, simulation: Simulation) -> Hits {
        let capacity = simulation.capacity();
        let is_by_bytes = simulation.unit() == Unit::Bytes;
        let keys = self.accesses.distinct();
        // Of a resident key the time of its next use, and its weight; others are not resident.
        let mut resident: Vec<Option<u32>> = vec![None; keys];
        let mut weights = vec![0_u64; if is_by_bytes { keys } else { 0 }];
        // The farthest first; those that say another time than above are old.
        let mut farthest: BinaryHeap<(u32, u32)> = BinaryHeap::new();
        let (mut weight_of_all, mut hits) = (0, Hits::default());
        for (Access { key, op, weight }, next) in self
            .accesses
            .iter(simulation.unit())
            .zip(self.next.iter().copied())
        {
            let weighs = |weights: &[u64], key: u32| weights.get(key as usize).copied().unwrap_or(1);
            let place = &mut resident[key as usize];
            if place.is_some() {
                if op == Op::Get {
                    hits.count += 1;
                    hits.bytes += u128::from(if is_by_bytes { weight } else { 0 });
                }
                weight_of_all -= weighs(&weights, key);
            }
            if next == NEVER || weight > capacity {
                *place = None;
                continue;
            }
            *place = Some(next);
            if let Some(place) = weights.get_mut(key as usize) {
                *place = weight;
            }
            farthest.push((next, key));
            weight_of_all += weight;
            while weight_of_all > capacity {
                let Some((time, key)) = farthest.pop() else { break };
                let place = &mut resident[key as usize];
                if *place == Some(time) {
                    *place = None;
                    weight_of_all -= weighs(&weights, key);
                }
            }
        }
        hits
    }
}
