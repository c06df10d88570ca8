//! A source as its follower tells a fence of it: positions are points, and what is delivered reaches the pools.

use larder_core::{AsOf, Cursor, Epoch, Fence, Head, Lane, Moment, SourceId, Timestamp};
use larder_pool::{Invalidation, Position, Target, Token};

pub struct Source {
    pub lane: Lane,
    fence: Fence,
}

const SOURCE: SourceId = SourceId::new(1);
const EPOCH: Epoch = Epoch::new(1);

/// A copy of the source that has come to this point.
pub fn at(point: u64) -> AsOf {
    AsOf::new(SOURCE, EPOCH, point)
}

/// What whoever committed at this position holds.
pub fn token(position: u64) -> Token {
    Token::commit(SOURCE, EPOCH, Position::new(position))
}

/// A row of the outbox.
pub fn record(target: &Target, position: u64) -> Invalidation {
    Invalidation::new(target.clone(), Position::new(position), Timestamp::UNIX_EPOCH)
}

fn cursor(next: u64) -> Cursor {
    Cursor::ordered(SOURCE, EPOCH, Position::new(next), 0)
}

impl Source {
    /// Followed from the start, caught up where all below `next` was visible.
    pub fn followed(fence: &Fence, next: u64) -> Self {
        let lane = fence.lane(SOURCE).unwrap();
        lane.begin(&Head::new(cursor(next), Vec::new(), at(next - 1)));
        lane.flushed();
        let source = Source {
            lane,
            fence: fence.clone(),
        };
        source.deliver(next, &[]);
        source
    }

    /// Delivers what was committed at `position`: the fence is raised, the pools are told, and then it is applied.
    pub fn commit(&self, position: u64, targets: &[Target]) {
        let rows: Vec<Invalidation> = targets.iter().map(|target| record(target, position)).collect();
        self.deliver(position + 1, &rows);
    }

    fn deliver(&self, next: u64, rows: &[Invalidation]) {
        let round = self.lane.round();
        self.lane.raise(rows, at(next - 1));
        for sink in self.fence.sinks() {
            drop(sink.apply(rows, Position::new(next - 1)).unwrap());
        }
        self.lane.publish(&cursor(next), &[]);
        self.lane.caught_up(round, at(next - 1));
    }

    /// The node may believe until then that it has heard everything.
    pub fn sure_until(&self, until: Moment) {
        self.lane.lease(until);
    }
}
