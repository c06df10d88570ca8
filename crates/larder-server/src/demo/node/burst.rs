//! A burst of writes: more rows in a second than writers change otherwise, many in one transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::random::Random;
use super::super::shop::{self, CUSTOMER, Deed, PRODUCT};
use super::super::words::{Said, now_nanos};
use super::{Node, say};
use crate::fault::{Fault, of_transaction};

const TRANSACTIONS: u64 = 10;
const ROWS_A_TRANSACTION: usize = 100;

/// Writes one, unless writers rest.
pub(super) async fn write(node: Arc<Node>) {
    let mut random = Random::new(node.options.seed ^ now_nanos());
    for _ in 0..TRANSACTIONS {
        if node.is_over() {
            return;
        }
        if let Err(error) = transaction(&node, &mut random).await {
            node.has_failed(&error);
        }
    }
}

async fn transaction(node: &Node, random: &mut Random) -> Result<(), Fault> {
    let mut rows: Vec<(u8, i64)> = Vec::with_capacity(ROWS_A_TRANSACTION);
    for _ in 0..ROWS_A_TRANSACTION / 2 {
        rows.push((CUSTOMER, random.id(node.options.customers)));
        rows.push((PRODUCT, random.id(node.options.products)));
    }
    let written = node.layer.transaction(&node.outbox, async |tx| {
        for (kind, id) in &rows {
            shop::perform(tx, Deed::Change { kind: *kind, id: *id }).await?;
        }
        Ok(())
    });
    let ((), token) = written.await.map_err(of_transaction)?;
    let at_nanos = now_nanos();
    let count = u64::try_from(rows.len()).unwrap_or(0);
    node.counts.writes.fetch_add(count, Ordering::Relaxed);
    node.counts.burst_writes.fetch_add(count, Ordering::Relaxed);
    node.plain_changed(rows.iter().copied()).await;
    if let (Some(position), Some(row)) = (shop::position_of(&token), rows.last()) {
        say(&[Said::Acknowledged {
            position,
            at_nanos,
            row: *row,
            token: token.to_string(),
        }]);
    }
    Ok(())
}
