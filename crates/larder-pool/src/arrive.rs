//! Making a value ready to be stored: everything that runs foreign code, before any lock.

use std::sync::Arc;
use std::time::Duration;

use larder_core::limits::KEY_BYTES_MAX;
use larder_core::sync::Ordering;
use larder_core::{AsOf, Key, Pin, PrivateCode, Stamp, Target, TargetError, ToKey, TooOld};

use crate::limits::{ENTRY_OVERHEAD_BYTES, TAGS_MAX};
use crate::options::InsertOptions;
use crate::shared::Shared;
use crate::store::{Arrival, Extra, Guard, Idle, Life, Named, TAG_BYTES};
use crate::tags::TagsError;
use crate::{Entity, EntityId, FillRejection, InsertError, Loaded, Origin, TagSet};

/// A value somebody wants to have stored, and what is known about it.
pub(crate) struct Wish<T> {
    pub(crate) value: Arc<T>,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) time_to_idle: Option<Duration>,
    pub(crate) tags: TagSet,
    pub(crate) depends_on: Vec<Target>,
    pub(crate) as_of: Option<AsOf>,
    pub(crate) pin: Option<Pin>,
    /// For a member of a batch: taken once for all of them, so that what ends one ends all that depend on the same.
    pub(crate) since: Option<Pin>,
    /// For what was loaded: the pin on the id alone that was taken before the load began.
    pub(crate) flight: Option<Pin>,
    pub(crate) origin: Origin,
}

/// Why a value cannot be stored, whatever is there.
pub(crate) enum Unfit {
    ZeroTtl,
    TooManyTags,
    BadTag(TargetError),
    IdTooLong,
    /// It comes too late.
    Late(FillRejection),
}

/// A private target that ends when an id of a pool, or the whole of it, is written.
const WRITTEN: u8 = 160;

impl<T> Wish<T> {
    /// An insert of a caller.
    pub(crate) fn insert(value: Arc<T>, options: InsertOptions<T>) -> Self {
        Wish {
            value,
            time_to_live: options.time_to_live,
            time_to_idle: options.time_to_idle,
            tags: options.tags,
            depends_on: options.depends_on,
            as_of: options.as_of,
            pin: options.pin,
            since: None,
            flight: None,
            origin: Origin::Inserted,
        }
    }

    /// What a load brought, pinned before it began.
    pub(crate) fn loaded(value: Arc<T>, loaded: Loaded<T>, flight: Pin) -> Self {
        Wish {
            value,
            time_to_live: loaded.time_to_live,
            time_to_idle: loaded.time_to_idle,
            tags: loaded.tags,
            depends_on: loaded.depends_on,
            as_of: loaded.as_of,
            pin: None,
            since: None,
            flight: Some(flight),
            origin: Origin::Loaded,
        }
    }
}

impl<T: Entity> Shared<T> {
    /// Asks the value for all that the pool must know: its id, its tags, its weight.
    pub(crate) fn arrive(&self, wish: Wish<T>) -> Result<Arrival<T>, (Unfit, Arc<T>)> {
        let id = wish.value.id();
        let value = Arc::clone(&wish.value);
        self.arrive_as(id, wish).map_err(|unfit| (unfit, value))
    }

    /// The same for a value of which nothing special is said.
    #[inline]
    pub(crate) fn arrive_plainly(&self, value: Arc<T>) -> Result<Arrival<T>, Unfit> {
        let id = value.id();
        let mut tags = TagSet::new();
        value.tags(&mut tags);
        let is_plain = tags.is_empty()
            && tags.refusal().is_none()
            && self.config.time_to_idle.is_none()
            && !self.pins_taken.load(Ordering::Relaxed);
        if !is_plain {
            return self.arrive_told(id, Wish::insert(value, InsertOptions::new()), tags);
        }
        check_id(&id)?;
        let weight = self.weigh(&value);
        Ok(Arrival {
            hash: self.hash(&id),
            charge: charge(weight, None),
            named: Some(Named { id, value }),
            life: Life::default(),
            time_to_live: self.config.time_to_live,
            is_as_of_before: false,
            guard: None,
        })
    }

    /// The same for a value whose id has been asked for.
    pub(crate) fn arrive_as(&self, id: T::Id, mut wish: Wish<T>) -> Result<Arrival<T>, Unfit> {
        let mut tags = std::mem::take(&mut wish.tags);
        wish.value.tags(&mut tags);
        self.arrive_told(id, wish, tags)
    }

    /// The same for a value that has told its tags.
    fn arrive_told(&self, id: T::Id, wish: Wish<T>, tag_set: TagSet) -> Result<Arrival<T>, Unfit> {
        let Wish {
            value,
            time_to_live,
            time_to_idle,
            depends_on,
            as_of,
            pin,
            since,
            flight,
            origin,
            ..
        } = wish;
        if time_to_live == Some(Duration::ZERO) || time_to_idle == Some(Duration::ZERO) {
            return Err(Unfit::ZeroTtl);
        }
        check_id(&id)?;
        let tags = tag_set.len();
        let mut targets = tag_set.into_targets()?;
        targets.extend(depends_on);
        if targets.len() > TAGS_MAX {
            return Err(Unfit::TooManyTags);
        }
        let idle = time_to_idle.or(self.config.time_to_idle);
        let idle = idle.filter(|time| *time < crate::limits::FOREVER);
        let pins = match flight {
            Some(flight) => self.pins_of_flight(&id, &targets, as_of, flight)?,
            None if pin.is_none() && as_of.is_none() => self.pins_of_insert(&targets, since)?,
            None => self.pins(&id, &targets, as_of, pin)?,
        };
        let weight = self.weigh(&value);
        let needs_extra = !targets.is_empty() || idle.is_some() || as_of.is_some();
        let extra = needs_extra.then(|| {
            Box::new(Extra {
                pin: pins.kept,
                targets: targets.into_boxed_slice(),
                tags,
                members: Vec::new(),
                idle: idle.map(|after| Idle::new(after, self.clock.monotonic())),
                as_of,
            })
        });
        let is_read = origin != Origin::Inserted;
        let written = if is_read { None } else { self.written(&id) };
        let needs_guard = pins.asked.is_some() || written.is_some();
        let life = Life {
            origin,
            started: pins.started.unwrap_or(Stamp::ZERO),
            ..Life::default()
        };
        Ok(Arrival {
            hash: self.hash(&id),
            charge: charge(weight, extra.as_deref()),
            named: Some(Named { id, value }),
            life: Life { extra, ..life },
            time_to_live: time_to_live.or(self.config.time_to_live),
            is_as_of_before: pins.asked.is_some(),
            guard: needs_guard.then(|| {
                let pin = pins.asked;
                Box::new(Guard { pin, written })
            }),
        })
    }

    #[inline]
    fn weigh(&self, value: &Arc<T>) -> usize {
        self.weigher
            .as_ref()
            .map_or(size_of::<T>(), |weigher| weigher.weigh(value))
    }

    /// The pins of a value that is as new as the call that stores it, and depends on `targets` beside what all entries do.
    fn pins_of_insert(&self, targets: &[Target], since: Option<Pin>) -> Result<Pins, Unfit> {
        if targets.is_empty() {
            return Ok(Pins::default());
        }
        let (started, pin) = match since {
            None => {
                let pin = self.fence.pin(targets).map_err(|_| Unfit::TooManyTags)?;
                (pin.started(), pin)
            }
            Some(mut pin) => {
                let started = pin.started();
                // What has ended meanwhile is stored, and dead, like a value whose tag ends at the same time.
                if let Err(TooOld::TooMany { .. }) = pin.extend(targets) {
                    return Err(Unfit::TooManyTags);
                }
                (started, pin)
            }
        };
        Ok(Pins {
            started: Some(started),
            kept: Some(pin),
            asked: None,
        })
    }

    /// The pins of a value that was read under a pin of the caller's, or from a copy.
    fn pins(
        &self,
        id: &T::Id,
        targets: &[Target],
        as_of: Option<AsOf>,
        given: Option<Pin>,
    ) -> Result<Pins, Unfit> {
        let own = self.own_targets(id);
        let mut pin = given.unwrap_or_else(|| self.pin_of(&own));
        if !self.fence.owns(&pin) {
            return Err(Unfit::Late(FillRejection::Fenced));
        }
        // Costs nothing for a pin that was taken for this id, and makes up for one that was not.
        pin.extend(&own)?;
        pin.extend(targets)?;
        if let Some(point) = as_of {
            pin.as_of(point).map_err(|_| Unfit::Late(FillRejection::Behind))?;
        }
        let kept = if targets.is_empty() {
            None
        } else {
            pin.without(&own)
        };
        Ok(Pins {
            started: Some(pin.started()),
            kept,
            asked: Some(pin),
        })
    }

    /// The same for a value that was loaded under a pin on its id alone: writes of the id are told to the flight.
    fn pins_of_flight(
        &self,
        id: &T::Id,
        targets: &[Target],
        as_of: Option<AsOf>,
        flight: Pin,
    ) -> Result<Pins, Unfit> {
        let pin = self.extended(flight, targets, as_of)?;
        let key = if targets.is_empty() {
            None
        } else {
            id.to_key().ok()
        };
        let kept = key.and_then(|key| pin.without(&[self.entity_target(key), self.namespace_target()]));
        Ok(Pins {
            started: Some(pin.started()),
            kept,
            asked: Some(pin),
        })
    }

    /// The pin of a load that has ended, on everything that what it brought depends on.
    fn extended(&self, flight: Pin, targets: &[Target], as_of: Option<AsOf>) -> Result<Pin, Unfit> {
        let mut pin = flight;
        if !targets.is_empty() {
            pin.extend(targets)?;
        }
        if let Some(point) = as_of {
            // Compared with the copy like the others; the load's own pin leaves it to the pool's.
            pin.extend(&[self.namespace_target()])?;
            pin.as_of(point).map_err(|_| Unfit::Late(FillRejection::Behind))?;
        }
        Ok(pin)
    }

    /// The same for the answer that there is no such entity.
    pub(crate) fn pin_absence(&self, loaded: Loaded<T>, flight: Pin) -> Result<Pin, Unfit> {
        let mut targets = loaded.tags.into_targets()?;
        targets.extend(loaded.depends_on);
        if targets.len() > TAGS_MAX {
            return Err(Unfit::TooManyTags);
        }
        self.extended(flight, &targets, loaded.as_of)
    }

    /// A pin on an id alone, for a load of it.
    pub(crate) fn flight_pin(&self, key: Key) -> Pin {
        let pin = self.fence.pin(&[self.entity_target(key)]);
        pin.expect("invariant: one target is fewer than a pin may hold")
    }

    /// A pin on an id, and on whatever ends or overtakes a value of it that is being read.
    pub(crate) fn pin_id<Q: ToKey + ?Sized>(&self, id: &Q) -> Pin {
        self.pins_taken.store(true, Ordering::SeqCst);
        self.pin_of(&self.own_targets(id))
    }

    fn pin_of(&self, own: &[Target]) -> Pin {
        let pin = self.fence.pin(own);
        let mut pin = pin.expect("invariant: three targets are fewer than a pin may hold");
        if own.len() < OWN_TARGETS {
            // An id that cannot be a key names nothing that could be invalidated, so nothing is kept under it.
            pin.never_cache();
        }
        pin
    }

    /// What ends a value that is being read for this id, beside its tags: its own target, writes of it, and what empties
    /// the pool. The last two are private, and below the pool's namespace.
    fn own_targets<Q: ToKey + ?Sized>(&self, id: &Q) -> Vec<Target> {
        let mut targets = vec![self.written_all()];
        if let Ok(key) = id.to_key() {
            let own = self.entity_target(key);
            targets.push(self.written_target(own.hash().as_bytes()));
            targets.push(own);
        }
        targets
    }

    /// The target of an id.
    pub(crate) fn entity_target(&self, id: Key) -> Target {
        Target::Entity {
            entity: self.name.clone(),
            id,
        }
    }

    /// The target that ends the whole pool, in memory and wherever else its namespace is known.
    pub(crate) fn namespace_target(&self) -> Target {
        Target::Namespace {
            namespace: self.namespace.clone(),
        }
    }

    /// The target whose pins end when this id is written, if anybody may hold one.
    pub(crate) fn written(&self, id: &T::Id) -> Option<Target> {
        if !self.pins_taken.load(Ordering::SeqCst) {
            return None;
        }
        let own = self.entity_target(id.to_key().ok()?);
        Some(self.written_target(own.hash().as_bytes()))
    }

    /// The target whose pins end when everything may have been written.
    pub(crate) fn written_all(&self) -> Target {
        self.written_target(self.name.as_bytes())
    }

    fn written_target(&self, name: &[u8]) -> Target {
        Target::Private {
            code: PrivateCode::new(WRITTEN).expect("invariant: it is at least 128"),
            namespace: self.namespace.clone(),
            name: Key::new(name).expect("invariant: a name or a hash is shorter than a key may be"),
        }
    }
}

/// Whether an id can be a key.
#[inline]
fn check_id(id: &impl EntityId) -> Result<(), Unfit> {
    if id.key_bytes() > KEY_BYTES_MAX && id.to_key().is_err() {
        return Err(Unfit::IdTooLong);
    }
    Ok(())
}

/// How many targets an id has of its own.
const OWN_TARGETS: usize = 3;

/// The pins of a value.
#[derive(Default)]
struct Pins {
    started: Option<Stamp>,
    /// What its entry keeps.
    kept: Option<Pin>,
    /// What is asked once more when it is stored.
    asked: Option<Pin>,
}

/// What an entry is charged, in bytes.
fn charge(weight: usize, extra: Option<&Extra>) -> u64 {
    let extra = extra.map_or(0, |extra| size_of::<Extra>() + extra.targets.len() * TAG_BYTES);
    let bytes = u64::try_from(weight.saturating_add(extra)).unwrap_or(u64::MAX);
    bytes.saturating_add(ENTRY_OVERHEAD_BYTES)
}

impl Unfit {
    /// Why a value that was loaded is not kept.
    pub(crate) fn rejecting(self) -> FillRejection {
        match self {
            Unfit::ZeroTtl => FillRejection::ZeroTtl,
            Unfit::TooManyTags => FillRejection::TooManyTargets,
            Unfit::BadTag(_) => FillRejection::BadTag,
            Unfit::IdTooLong => FillRejection::IdTooLong,
            Unfit::Late(why) => why,
        }
    }

    /// As the caller of an insert is told.
    pub(crate) fn refusing<T>(self, value: Arc<T>) -> InsertError<T> {
        match self {
            Unfit::ZeroTtl => InsertError::ZeroTtl { value },
            Unfit::TooManyTags => InsertError::TooManyTags { max: TAGS_MAX, value },
            Unfit::BadTag(error) => InsertError::BadTag { error, value },
            Unfit::IdTooLong => InsertError::IdTooLong {
                max: KEY_BYTES_MAX,
                value,
            },
            Unfit::Late(_) => InsertError::Fenced { value },
        }
    }
}

impl From<TagsError> for Unfit {
    fn from(error: TagsError) -> Self {
        match error {
            TagsError::TooMany { .. } => Unfit::TooManyTags,
            TagsError::Tag(error) => Unfit::BadTag(error),
        }
    }
}

impl From<TooOld> for Unfit {
    fn from(error: TooOld) -> Self {
        match error {
            TooOld::TooMany { .. } => Unfit::TooManyTags,
            _ => Unfit::Late(FillRejection::TooOld),
        }
    }
}
