//! [`Wire`]: what carries messages from the writer's node to the other, as a pub/sub without memory does: what it loses is gone.
//!
//! Which message is lost is drawn by a seed and the message's number, so that every subject loses those of the same writes. While it is down it loses
//! all of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hydracache::{
    CacheInvalidationBus, CacheInvalidationMessage, CacheInvalidationReceive, CacheInvalidationReceiver,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::chance::drawn;

#[derive(Debug, Default)]
pub(super) struct Wire {
    seed: u64,
    lost_of_thousand: u64,
    sent: AtomicU64,
    lost: AtomicU64,
    is_down: AtomicBool,
}

impl Wire {
    pub(super) fn losing(lost_of_thousand: u64, seed: u64) -> Self {
        Wire {
            seed,
            lost_of_thousand,
            ..Wire::default()
        }
    }

    /// From now on it carries nothing.
    pub(super) fn take_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    /// From now on it carries what is sent.
    pub(super) fn put_up(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    /// Whether the next message arrives.
    pub(super) fn carries(&self) -> bool {
        let number = self.sent.fetch_add(1, Ordering::SeqCst);
        let is_lost =
            self.is_down.load(Ordering::SeqCst) || drawn(self.seed, number, 1_000) < self.lost_of_thousand;
        self.lost.fetch_add(u64::from(is_lost), Ordering::SeqCst);
        !is_lost
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::SeqCst)
    }

    /// How many have arrived, or will.
    pub(super) fn carried(&self) -> u64 {
        self.sent.load(Ordering::SeqCst) - self.lost()
    }
}

/// A wire as HydraCache takes one: its documentation calls it a custom transport.
#[derive(Debug)]
pub(super) struct Bus {
    wire: Arc<Wire>,
    subscribers: Mutex<Vec<UnboundedSender<CacheInvalidationMessage>>>,
}

struct Receiver(UnboundedReceiver<CacheInvalidationMessage>);

impl Bus {
    pub(super) fn over(wire: Arc<Wire>) -> Self {
        Bus {
            wire,
            subscribers: Mutex::default(),
        }
    }
}

#[async_trait]
impl CacheInvalidationBus for Bus {
    async fn publish(&self, message: CacheInvalidationMessage) -> hydracache::CacheResult<()> {
        if self.wire.carries() {
            for subscriber in self.subscribers.lock().expect("nobody panics").iter() {
                // Who is gone hears nothing.
                let _ = subscriber.send(message.clone());
            }
        }
        Ok(())
    }

    fn subscribe(&self) -> Box<dyn CacheInvalidationReceiver> {
        let (sender, receiver) = unbounded_channel();
        self.subscribers.lock().expect("nobody panics").push(sender);
        Box::new(Receiver(receiver))
    }
}

#[async_trait]
impl CacheInvalidationReceiver for Receiver {
    async fn recv(&mut self) -> CacheInvalidationReceive {
        match self.0.recv().await {
            Some(message) => CacheInvalidationReceive::Message(message),
            None => CacheInvalidationReceive::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_messages_are_lost_again() {
        let carried = |seed| {
            let wire = Wire::losing(10, seed);
            let carried: Vec<bool> = (0..10_000).map(|_| wire.carries()).collect();
            assert!((50..150).contains(&wire.lost()), "{}", wire.lost());
            assert_eq!(wire.carried() + wire.lost(), 10_000);
            carried
        };
        assert_eq!(carried(1), carried(1));
        assert_ne!(carried(1), carried(2));
    }

    #[test]
    fn what_is_down_carries_nothing() {
        let wire = Wire::losing(0, 1);
        assert!(wire.carries());
        wire.take_down();
        assert!(!wire.carries());
        wire.put_up();
        assert!(wire.carries());
        assert_eq!((wire.carried(), wire.lost()), (2, 1));
    }
}
