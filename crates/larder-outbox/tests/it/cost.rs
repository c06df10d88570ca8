//! What a call sends.

use larder_core::{Invalidations, Namespace, Target};

use super::ground::{MODES, ground};

/// Rows of several statements are all there, in the order in which they were named, each with a number of its own.
///
/// Contract: O17 (partial: SQLite), O19
#[tokio::test]
async fn many_targets_are_recorded_in_few_statements() {
    let ground = ground(MODES[0]).await;
    let mut batch = Invalidations::new(Namespace::default(), "many")
        .collapse_count(65_536)
        .unwrap();
    for id in 0..5_000 {
        batch.push(Target::entity("user", id).unwrap()).unwrap();
    }
    let mut transaction = ground.outbox.begin().await.unwrap();
    let recorded = transaction.record(&batch).await.unwrap();
    let again = transaction.record(&batch).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((recorded.inserted(), again.inserted()), (5_000, 0));
    let seen: Vec<String> = ground.seen().await.into_iter().map(|(_, text)| text).collect();
    let expected: Vec<String> = (0..5_000).map(|id| format!("entity:user/{id}")).collect();
    assert_eq!(seen, expected);
}
