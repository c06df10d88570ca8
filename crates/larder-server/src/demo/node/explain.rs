//! What a node knows of a row, in words: where it came from, what was last invalidated, how far the follower has come.

use larder::pool::{EntryState, Origin};
use larder::{Last, Layer, Target};

use super::super::checker::RowKey;
use super::super::screen::short;
use super::super::shop::{CUSTOMER, PRODUCT};

/// One line about a row, as [`Layer::explain`] has it.
pub(super) fn explained(layer: &Layer, (kind, id): RowKey) -> String {
    let entity = match kind {
        CUSTOMER => "customer",
        PRODUCT => "product",
        _ => "order",
    };
    let Ok(target) = Target::entity(entity, id) else {
        return "nothing".to_owned();
    };
    let known = layer.explain(&target);
    let mut parts = Vec::new();
    for pool in &known.pools {
        let state = match pool.explanation.state {
            EntryState::Absent => "nothing is kept of it",
            EntryState::Live => "it is kept and may be read",
            EntryState::Fenced => "it is kept and may not be read",
            EntryState::Negative => "it is kept as absent",
            EntryState::Loading => "it is being loaded",
            _ => "its time is over",
        };
        let resident = pool.explanation.resident.as_ref();
        parts.push(resident.map_or_else(
            || state.to_owned(),
            |resident| {
                let how = match resident.origin {
                    Origin::Loaded => "loaded",
                    _ => "stored",
                };
                let age = short(resident.age);
                format!("{state}, {how} {age} ago (stamp {})", resident.stamp)
            },
        ));
    }
    parts.push(last_of(&known.fence.targets, &target));
    if let Some(cursor) = known.cursors.first() {
        let position = cursor
            .position
            .map_or(0, |position| position.get().saturating_sub(1));
        let behind = cursor.behind.unwrap_or(0);
        let contact = cursor
            .last_contact
            .map_or_else(|| "never".to_owned(), |ago| format!("{} ago", short(ago)));
        parts.push(format!(
            "its follower has applied position {position}, knew of {behind} more, and had the last answer {contact}"
        ));
    }
    parts.join("; ")
}

fn last_of(targets: &[larder::Explained], target: &Target) -> String {
    let Some(own) = targets.iter().find(|explained| explained.target == *target) else {
        return "its invalidations are not known".to_owned();
    };
    match &own.last {
        Last::At(last) => {
            let at = last.commit.as_ref().map_or_else(
                || "by hand".to_owned(),
                |commit| format!("by the commit of position {}", commit.position.get()),
            );
            format!("it was last invalidated {at} (stamp {})", last.stamp)
        }
        Last::Before(stamp) => format!("it was not invalidated since stamp {stamp}"),
        Last::Never => "it was never invalidated since this node started".to_owned(),
        _ => "its invalidations are not known".to_owned(),
    }
}
