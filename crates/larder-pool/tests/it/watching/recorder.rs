//! Takes down everything that a pool reports, in its words.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_pool::{
    FetchOutcome, FillRejection, LoadOutcome, MissCause, PoolBuilder, PoolMetrics, Reason, Tier,
};

use crate::bounds::ground::{Row, World};

/// Each report as a line of words.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    /// What was reported since the last time.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl PoolMetrics for Recorder {
    fn hit(&self, name: &str, tier: Tier) {
        self.note(format!("{name} hit {tier:?}"));
    }

    fn miss(&self, name: &str, cause: MissCause) {
        self.note(format!("{name} miss {}", cause.as_str()));
    }

    fn removed(&self, name: &str, reason: Reason) {
        self.note(format!("{name} removed {}", reason.as_str()));
    }

    fn size(&self, name: &str, entries: u64, bytes: u64) {
        self.note(format!("{name} size {entries} {bytes}"));
    }

    fn fetched(&self, name: &str, duration: Duration, outcome: FetchOutcome) {
        self.note(format!(
            "{name} fetched {} {}",
            outcome.as_str(),
            duration.as_millis()
        ));
    }

    fn loaded(&self, name: &str, ids: usize, duration: Duration, outcome: LoadOutcome) {
        self.note(format!(
            "{name} loaded {ids} {} {}",
            outcome.as_str(),
            duration.as_millis()
        ));
    }

    fn fill_rejected(&self, name: &str, reason: FillRejection) {
        self.note(format!("{name} rejected {}", reason.as_str()));
    }
}

/// A world that is taken down; rows are charged 200 bytes each.
pub fn recorded(build: impl FnOnce(PoolBuilder<Row>) -> PoolBuilder<Row>) -> (World, Recorder) {
    let recorder = Recorder::default();
    let metrics = Arc::new(recorder.clone());
    let overhead = usize::try_from(larder_pool::limits::ENTRY_OVERHEAD_BYTES).unwrap();
    let world = World::with(|builder| {
        let builder = builder.weigher(move |_| 200 - overhead).metrics(metrics);
        build(builder)
    });
    (world, recorder)
}
