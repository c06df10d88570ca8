//! The same log, followed and claimed.

use larder_core::{Cursor, Delivered};

use super::{Check, Trial, texts};

pub(super) const CHECKS: [(&str, Check); 1] =
    [("what is followed is claimed", |trial| Box::pin(both(trial)))];

/// A group takes nothing from a follower, and each sees what the other sees.
async fn both(trial: Trial) {
    trial.open("group").await;
    let source = trial.store().source();
    let mut cursor: Cursor = trial.is_ok(source.head().await).cursor;
    for commit in 0..5_u64 {
        trial.record((0..3).map(|row| 10 * commit + row)).await;
        let claim = trial.claim("group", "worker", 9).await;
        trial.acknowledge(&claim).await;
        let Delivered::Rows(batch) = trial.is_ok(source.read(&cursor, 100).await) else {
            panic!("{}: rows were expected", trial.name);
        };
        let followed: Vec<String> = batch.rows.iter().map(|row| row.target().to_string()).collect();
        trial.same(followed, texts(&claim), "the same rows");
        let positions: Vec<_> = claim
            .rows()
            .iter()
            .map(|row| row.invalidation().position())
            .collect();
        trial.same(
            positions,
            batch.rows.iter().map(|row| row.position()).collect(),
            "of the same commits",
        );
        cursor = batch.cursor;
    }
}
