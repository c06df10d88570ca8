//! [`Explained`]: what a layer knows of a target.

use larder_core::Target;

use super::{CursorStatus, Layer};

/// What a layer knows of a target: where it is resident, what was last heard of it, and how far this node has come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// What was asked for.
    pub target: Target,
    /// What the fence remembers of it and of its parents, and which of them decides.
    pub fence: larder_core::Explanation,
    /// Of an entity: what each pool of it knows of this id.
    pub pools: Vec<ExplainedPool>,
    /// How far each source has been applied here.
    pub cursors: Vec<CursorStatus>,
}

/// What a pool knows of an id.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExplainedPool {
    /// The label of the pool, if it has one.
    pub label: Option<String>,
    /// What it knows.
    pub explanation: larder_pool::Explanation,
}

impl Layer {
    /// What is known of a target, also if nothing of it is kept: found without loading and without a trace.
    #[must_use]
    pub fn explain(&self, target: &Target) -> Explained {
        let mut pools = Vec::new();
        if let Target::Entity { entity, id } = target {
            for pool in self.shared.registry.pools() {
                if pool.name() != entity.as_str() {
                    continue;
                }
                pools.extend(pool.explain(id).map(|explanation| ExplainedPool {
                    label: pool.label().map(str::to_owned),
                    explanation,
                }));
            }
        }
        Explained {
            target: target.clone(),
            fence: self.shared.fence.explain(std::slice::from_ref(target)),
            pools,
            cursors: self.cursors(),
        }
    }
}
