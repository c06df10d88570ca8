//! [`TransactionScope`]: what a transaction under way has invalidated, as whatever runs inside of it sees it.
//!
//! What is always true: a scope concerns the thread that runs inside of it, at that moment, and nobody else; nothing of it stays when the
//! transaction is over, however that ends. It decides nothing by itself: whoever keeps values asks [`Fence::is_in_transaction`] before it
//! answers from them or keeps another.
//!
//! Without a scope that is one flag of the own thread. Flags of threads are the standard library's under model checkers too, whose threads share
//! one of the system's: no model enters a scope.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;

use super::Fence;
use crate::sync::{Arc, Mutex};
use crate::target::{Target, TargetHash};

thread_local! {
    /// How many scopes this thread is inside of.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static SCOPES: RefCell<Vec<TransactionScope>> = const { RefCell::new(Vec::new()) };
}

/// What a transaction has invalidated so far, while its body runs. Clones are the same scope.
#[derive(Clone)]
pub struct TransactionScope {
    fence: Fence,
    ended: Arc<Mutex<HashSet<TargetHash>>>,
}

impl Fence {
    /// A scope for one transaction, in which nothing is invalidated yet.
    #[must_use]
    pub fn transaction_scope(&self) -> TransactionScope {
        TransactionScope {
            fence: self.clone(),
            ended: Arc::default(),
        }
    }

    /// Whether the caller runs inside of a transaction of this fence: then what it loads may be seen by nobody else, and is not to be kept.
    ///
    /// O(1); outside of all transactions one read of the own thread's memory.
    #[inline]
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        DEPTH.get() != 0 && self.has_scope(|_| true)
    }

    /// Whether a transaction that the caller runs inside of has invalidated one of these targets, or a parent of one. O(targets).
    #[must_use]
    pub fn is_ended_in_transaction(&self, targets: &[Target]) -> bool {
        DEPTH.get() != 0
            && self.has_scope(|scope| {
                let ended = scope.ended.lock();
                let mut hashes = targets.iter().flat_map(|target| target.lineage().to_vec());
                !ended.is_empty() && hashes.any(|hash| ended.contains(&hash))
            })
    }

    #[cold]
    fn has_scope(&self, is_meant: impl Fn(&TransactionScope) -> bool) -> bool {
        SCOPES.with_borrow(|scopes| {
            let mut own = scopes
                .iter()
                .filter(|scope| Arc::ptr_eq(&scope.fence.shared, &self.shared));
            own.any(is_meant)
        })
    }
}

impl TransactionScope {
    /// The transaction has invalidated a target: within it, what depends on that is not to be believed any more.
    pub fn invalidate(&self, target: &Target) {
        self.ended.lock().insert(target.hash());
    }

    /// Runs the body of the transaction inside of the scope. What the body has others run, on another task or thread, is outside.
    pub async fn run<F: Future>(&self, body: F) -> F::Output {
        let mut body = pin!(body);
        poll_fn(|context| {
            let _inside = self.enter();
            body.as_mut().poll(context)
        })
        .await
    }

    fn enter(&self) -> Inside {
        SCOPES.with_borrow_mut(|scopes| scopes.push(self.clone()));
        DEPTH.set(DEPTH.get() + 1);
        Inside
    }
}

impl fmt::Debug for TransactionScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionScope")
            .field("ended", &self.ended.lock().len())
            .finish_non_exhaustive()
    }
}

/// This thread is inside of a scope, until this is dropped.
struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        // Dropped outside of the borrow: it may be the last of its fence.
        let scope = SCOPES.with_borrow_mut(Vec::pop);
        drop(scope);
    }
}
