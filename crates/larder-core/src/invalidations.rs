//! Batches of invalidations: what is recorded, and what is delivered.
//!
//! A batch keeps the order in which targets were given, each target once, at its first place. It never grows without
//! bound and never refuses for its size: it widens itself. It sends nothing; recording is the outbox's.

mod delivered;

use std::collections::{HashMap, HashSet};

pub use delivered::{Invalidation, Origin, Reason};

use crate::limits::{BATCH_TARGETS_MAX, COLLAPSE_COUNT, OutOfRange};
use crate::name::{CollectionName, DependencyName, EntityName, IntoName, Namespace, Tag, TargetError, ToKey};
use crate::target::Target;

/// What one commit invalidates: a namespace, a reason, and targets in order.
///
/// More than `collapse_count` targets of one *family* become one wider target at the first one's place, and later
/// ones of the family are then taken as named already:
///
/// | family | becomes |
/// | --- | --- |
/// | ids of one entity | its collection and its lists |
/// | keys, tags and dependencies of one namespace, together | the namespace |
/// | collections | everything |
/// | namespaces | everything |
///
/// If a batch has more than 65,536 targets all the same, its largest family is widened, and where families are that
/// small, all of it becomes everything.
///
/// ```
/// # use larder_core::{Invalidations, Namespace};
/// let batch = Invalidations::new(Namespace::default(), "order paid")
///     .entity_and_lists("order", 42)?
///     .tag("team:7")?;
/// assert_eq!(batch.len(), 3);
/// # Ok::<_, larder_core::TargetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Invalidations {
    namespace: Namespace,
    reason: Reason,
    /// In order, each once, none of a family that has been widened.
    targets: Vec<Target>,
    /// The same targets, to find one that comes again.
    known: HashSet<Target>,
    families: HashMap<Family, Size>,
    /// The greatest number of targets in a family that is not collapsed.
    largest: usize,
    collapse_count: usize,
    collapsed: bool,
    /// The batch became everything as a whole, so nothing can be added to it.
    everything: bool,
}

/// Targets that one wider target ends together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Family {
    Ids(EntityName),
    Within(Namespace),
    Collections,
    Namespaces,
}

#[derive(Clone, Copy, Debug)]
enum Size {
    Targets(usize),
    Collapsed,
}

impl Size {
    fn count(self) -> usize {
        match self {
            Self::Targets(count) => count,
            Self::Collapsed => 0,
        }
    }
}

impl Family {
    /// The family of a target; none for everything, which is as wide as can be.
    fn of(target: &Target) -> Option<Self> {
        match target {
            Target::Key { namespace, .. }
            | Target::Tag { namespace, .. }
            | Target::Dependency { namespace, .. } => Some(Self::Within(namespace.clone())),
            Target::Entity { entity, .. } => Some(Self::Ids(entity.clone())),
            Target::Collection { .. } => Some(Self::Collections),
            Target::Namespace { .. } => Some(Self::Namespaces),
            Target::Everything | Target::Private { .. } => None,
        }
    }

    /// What the family becomes: one target or two.
    fn widened(&self) -> Vec<Target> {
        match self {
            Self::Ids(entity) => {
                let collection = entity.collection();
                let lists = collection.lists();
                vec![
                    Target::Collection { name: collection },
                    Target::Collection { name: lists },
                ]
            }
            Self::Within(namespace) => vec![Target::Namespace {
                namespace: namespace.clone(),
            }],
            Self::Collections | Self::Namespaces => vec![Target::Everything],
        }
    }
}

impl Default for Invalidations {
    /// An empty batch in the namespace `default` with an empty reason.
    fn default() -> Self {
        Self::new(Namespace::default(), "")
    }
}

/// Two batches are equal if namespace, reason and targets are, in order.
impl PartialEq for Invalidations {
    fn eq(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.reason == other.reason && self.targets == other.targets
    }
}

impl Eq for Invalidations {}

impl Invalidations {
    /// An empty batch. A reason of more than 256 bytes is cut at a character.
    #[must_use]
    pub fn new(namespace: Namespace, reason: impl Into<Reason>) -> Self {
        Self {
            namespace,
            reason: reason.into(),
            targets: Vec::new(),
            known: HashSet::new(),
            families: HashMap::new(),
            largest: 0,
            collapse_count: COLLAPSE_COUNT.default(),
            collapsed: false,
            everything: false,
        }
    }

    /// The same batch, recorded for another reason.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Reason>) -> Self {
        self.reason = reason.into();
        self
    }

    /// How many targets of one family the batch holds before it widens them. What it holds already counts.
    /// Default: 4,096.
    ///
    /// # Errors
    /// [`OutOfRange`] for less than 16 or more than 65,536.
    pub fn collapse_count(mut self, count: usize) -> Result<Self, OutOfRange> {
        self.collapse_count = COLLAPSE_COUNT.check(count)?;
        self.widen();
        Ok(self)
    }

    /// The batch's namespace: where its keys, tags and dependencies belong.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Why the batch is recorded, for operators.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The targets, in the order in which they were given, each once.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The number of targets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether nothing is invalidated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Whether the batch has widened itself, so that it names more than it was given.
    #[must_use]
    pub fn collapsed(&self) -> bool {
        self.collapsed
    }

    /// Adds a key of the batch's namespace.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault; so for all that add by name.
    pub fn key(self, key: impl ToKey) -> Result<Self, TargetError> {
        let target = Target::key(&self.namespace, key)?;
        self.target(target)
    }

    /// Adds a tag of the batch's namespace.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn tag(self, tag: impl IntoName<Tag>) -> Result<Self, TargetError> {
        let target = Target::tag(&self.namespace, tag)?;
        self.target(target)
    }

    /// Adds a dependency of the batch's namespace.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn dependency(self, name: impl IntoName<DependencyName>) -> Result<Self, TargetError> {
        let target = Target::dependency(&self.namespace, name)?;
        self.target(target)
    }

    /// Adds one entity, which belongs to no namespace.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn entity(self, entity: impl IntoName<EntityName>, id: impl ToKey) -> Result<Self, TargetError> {
        self.target(Target::entity(entity, id)?)
    }

    /// Adds one entity, and the lists over its collection, which change with any row.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn entity_and_lists(
        self,
        entity: impl IntoName<EntityName>,
        id: impl ToKey,
    ) -> Result<Self, TargetError> {
        let entity = entity.into_name()?;
        let lists = Target::Collection {
            name: entity.collection().lists(),
        };
        self.target(Target::entity(entity, id)?)?.target(lists)
    }

    /// Adds a collection, and with it every entity of it.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn collection(self, name: impl IntoName<CollectionName>) -> Result<Self, TargetError> {
        self.target(Target::collection(name)?)
    }

    /// Adds the batch's namespace, and with it all keys, tags and dependencies of it.
    #[must_use]
    pub fn flush(mut self) -> Self {
        self.add(Target::Namespace {
            namespace: self.namespace.clone(),
        });
        self
    }

    /// Adds everything.
    #[must_use]
    pub fn flush_everything(mut self) -> Self {
        self.add(Target::Everything);
        self
    }

    /// Adds any target that can be recorded, of whatever namespace.
    ///
    /// # Errors
    /// [`TargetError::Private`] for a part's private target.
    pub fn target(mut self, target: Target) -> Result<Self, TargetError> {
        self.push(target)?;
        Ok(self)
    }

    /// Adds a target in place, and says whether the batch did not name it yet. O(1) expected, over all calls.
    ///
    /// # Errors
    /// [`TargetError::Private`] for a part's private target; the batch is as it was.
    pub fn push(&mut self, target: Target) -> Result<bool, TargetError> {
        if target.is_private() {
            return Err(TargetError::Private);
        }
        Ok(self.add(target))
    }

    fn add(&mut self, target: Target) -> bool {
        let new = self.place(target);
        if self.largest > self.collapse_count || self.targets.len() > BATCH_TARGETS_MAX {
            self.widen();
        }
        new
    }

    /// Appends a target that the batch does not name yet, and counts it. O(1) expected.
    fn place(&mut self, target: Target) -> bool {
        if self.everything || self.known.contains(&target) {
            return false;
        }
        if let Some(family) = Family::of(&target) {
            match self.families.entry(family).or_insert(Size::Targets(0)) {
                Size::Collapsed => return false,
                Size::Targets(count) => {
                    *count += 1;
                    self.largest = self.largest.max(*count);
                }
            }
        }
        self.known.insert(target.clone());
        self.targets.push(target);
        true
    }

    /// Widens until the batch is within its bounds. O(targets), paid by the targets that have come since the last
    /// time: a family is widened once, and a batch that is too large loses half.
    fn widen(&mut self) {
        // Widened ids are collections, and too many of these are everything: three rounds at most.
        while self.largest > self.collapse_count {
            let count_max = self.collapse_count;
            let large = self.families.iter().filter(|(_, size)| size.count() > count_max);
            let large = large.map(|(family, _)| family.clone()).collect();
            self.collapse(&large);
        }
        if self.targets.len() > BATCH_TARGETS_MAX {
            self.halve();
        }
    }

    /// Puts what these families become at the place of the first target of each, and takes their targets out.
    fn collapse(&mut self, large: &HashSet<Family>) {
        self.collapsed = true;
        self.largest = 0;
        self.known.clear();
        self.families.retain(|_, size| matches!(size, Size::Collapsed));
        for target in std::mem::take(&mut self.targets) {
            let Some(family) = Family::of(&target).filter(|family| large.contains(family)) else {
                self.place(target);
                continue;
            };
            if !matches!(
                self.families.insert(family.clone(), Size::Collapsed),
                Some(Size::Collapsed)
            ) {
                family.widened().into_iter().for_each(|wider| {
                    self.place(wider);
                });
            }
        }
    }

    /// Widens the largest families, until half of the room is free. Where they are too small for that the batch
    /// becomes everything.
    fn halve(&mut self) {
        let mut by_size: Vec<(usize, &Family)> = Vec::with_capacity(self.families.len());
        by_size.extend(self.families.iter().map(|(family, size)| (size.count(), family)));
        by_size.sort_unstable_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(right.1)));
        let mut remaining = self.targets.len();
        let mut large = HashSet::new();
        for (count, family) in by_size {
            // Widened, a family still is up to two targets.
            if remaining <= BATCH_TARGETS_MAX / 2 || count <= 2 {
                break;
            }
            remaining -= count - 2;
            large.insert(family.clone());
        }
        if remaining <= BATCH_TARGETS_MAX / 2 {
            self.collapse(&large);
            return self.widen();
        }
        self.everything = true;
        self.collapsed = true;
        self.targets = vec![Target::Everything];
    }
}
