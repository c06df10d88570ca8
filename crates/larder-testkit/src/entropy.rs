//! [`SimEntropy`]: randomness that is the same in each run.
//!
//! Always true: one seed gives one sequence of bytes, whoever asks; handles of one source share it. It is as predictable
//! as it sounds and stands only in tests.

use std::sync::{Arc, Mutex, PoisonError};

use larder_core::Entropy;

use crate::seed::Random;

/// A seeded source of randomness. Clones are handles of one source.
#[derive(Clone, Debug)]
pub struct SimEntropy {
    random: Arc<Mutex<Random>>,
}

impl SimEntropy {
    /// The source of this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            random: Arc::new(Mutex::new(Random::seeded(seed))),
        }
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill(bytes);
    }
}
