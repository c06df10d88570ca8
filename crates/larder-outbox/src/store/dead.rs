//! [`DeadLetters`]: which dead letters are meant.

use larder_core::{Namespace, Target};

use crate::{OutboxRow, RowId};

/// Which dead letters are meant: those that fit everything that is said. If nothing is said, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "give it to a store, or to a relay"]
pub struct DeadLetters {
    pub(crate) group: Option<String>,
    pub(crate) namespace: Option<Namespace>,
    pub(crate) target: Option<Target>,
    pub(crate) ids: Option<Vec<RowId>>,
}

impl DeadLetters {
    /// All of them, of all groups.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of this group.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Those that were recorded in this namespace.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Those of this target.
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Those of these ids.
    pub fn ids(mut self, ids: impl IntoIterator<Item = RowId>) -> Self {
        self.ids = Some(ids.into_iter().collect());
        self
    }

    /// The group to which they belong; none if to whichever.
    #[must_use]
    pub fn its_group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// Whether a dead letter of its group is meant.
    #[must_use]
    pub fn fits(&self, row: &OutboxRow) -> bool {
        let fits_namespace = self
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == row.namespace);
        let fits_target = self.target.as_ref().is_none_or(|target| *target == row.target);
        let fits_ids = self.ids.as_ref().is_none_or(|ids| ids.contains(&row.id));
        fits_namespace && fits_target && fits_ids
    }
}
