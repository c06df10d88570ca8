//! The laws of tokens, against sets of positions that know nothing of runs and normal forms.

use std::collections::{BTreeMap, BTreeSet};

use larder_core::limits::{TOKEN_SOURCES_MAX, TOKEN_TEXT_MAX};
use larder_core::{Cursor, Epoch, Position, Requirement, SourceId, Token};
use proptest::prelude::*;

use super::super::runs;
use super::{EPOCH, merged, numbers};

/// Positions that the sets of this file are made of: all below.
const UNIVERSE: u64 = 70;

/// What a token requires, by source and epoch.
type Sets = BTreeMap<(u64, u64), BTreeSet<u64>>;

/// Tokens, what they must require, built from the same steps, and whether each step's union fits into a token.
fn any_token() -> impl Strategy<Value = (Token, Sets, bool)> {
    let one = prop_oneof![
        3 => (0..UNIVERSE).prop_map(|position| (position, None)),
        1 => (0..UNIVERSE, prop::collection::vec(0..UNIVERSE, 0..8)).prop_map(|(below, except)| (below, Some(except))),
    ];
    let part = (0..2_u64, prop::sample::select(vec![0_u64, 0, 0, 1]), one);
    prop::collection::vec(part, 0..8).prop_map(|parts| {
        let mut sets = Sets::new();
        let mut token = Token::default();
        let mut exact = true;
        for (source, epoch, (position, except)) in parts {
            let set = sets.entry((source, epoch)).or_default();
            let (source, epoch) = (SourceId::new(source), Epoch::new(epoch));
            let next = match except {
                None => {
                    set.insert(position);
                    Token::commit(source, epoch, Position::new(position))
                }
                Some(except) => {
                    set.extend((0..position).filter(|below| !except.contains(below)));
                    Token::below(
                        source,
                        epoch,
                        Position::new(position),
                        except.into_iter().map(Position::new),
                    )
                }
            };
            token = token.merge(&next);
            exact &= sets.values().all(fits);
        }
        sets.retain(|_, set| !set.is_empty());
        (token, sets, exact)
    })
}

/// What a token requires, as it says itself.
fn sets(token: &Token) -> Sets {
    let set = |of: &Requirement| {
        let set: BTreeSet<u64> = (0..2 * UNIVERSE)
            .filter(|position| of.requires(Position::new(*position)))
            .collect();
        ((of.source().get(), of.epoch().get()), set)
    };
    token.requirements().iter().map(set).collect()
}

/// Whether a token can require exactly this: some `below` leaves at most eight exceptions and eight singles.
fn fits(set: &BTreeSet<u64>) -> bool {
    (0..=UNIVERSE).any(|below| {
        let under = (0..below).filter(|position| !set.contains(position)).count();
        under <= 8 && set.range(below..).count() <= 8
    })
}

fn union(one: &Sets, other: &Sets) -> Sets {
    let mut union = one.clone();
    for (of, set) in other {
        union.entry(*of).or_default().extend(set);
    }
    union
}

/// Any cursor over the universe, of any of the sources, and single positions known besides.
fn any_progress() -> impl Strategy<Value = (Vec<Cursor>, BTreeSet<u64>)> {
    let cursor = (0..UNIVERSE, prop::collection::btree_set(0..UNIVERSE, 0..6));
    (
        prop::collection::vec(cursor, 4),
        prop::collection::btree_set(0..UNIVERSE, 0..30),
    )
        .prop_map(|(parts, known)| {
            let cursors = parts.into_iter().zip([(0, 0), (0, 1), (1, 0), (1, 1)]).map(
                |((end, open), (source, epoch))| {
                    let open = open
                        .into_iter()
                        .filter(|position| *position < end)
                        .map(Position::new);
                    let (source, epoch) = (SourceId::new(source), Epoch::new(epoch));
                    Cursor::snapshot(source, epoch, Position::ZERO, Position::new(end), open, 0).unwrap()
                },
            );
            (cursors.collect(), known)
        })
}

/// Whether progress satisfies all of a token.
fn is_satisfied(token: &Token, (cursors, known): &(Vec<Cursor>, BTreeSet<u64>)) -> bool {
    token.requirements().iter().all(|requirement| {
        cursors
            .iter()
            .any(|cursor| requirement.is_satisfied_by(cursor, |position| known.contains(&position.get())))
    })
}

/// The same, from the sets and the contract.
fn is_satisfied_by_sets(sets: &Sets, (cursors, known): &(Vec<Cursor>, BTreeSet<u64>)) -> bool {
    sets.iter().all(|((source, epoch), set)| {
        let of = |cursor: &&Cursor| (cursor.source().get(), cursor.epoch().get()) == (*source, *epoch);
        let cursor = cursors.iter().find(of).unwrap();
        let open = numbers(cursor.open());
        let delivered = |position: &u64| *position < cursor.end().get() && !open.contains(position);
        set.iter()
            .all(|position| delivered(position) || known.contains(position))
    })
}

proptest! {
    #![proptest_config(runs(500))]

    /// Contract: O60 (partial: the form only, `commit` and `head` are of the outbox), O61
    #[test]
    fn a_token_requires_what_was_asked_and_exactly_that_where_it_fits((token, asked, exact) in any_token()) {
        let required = sets(&token);
        prop_assert_eq!(required.keys().collect::<Vec<_>>(), asked.keys().collect::<Vec<_>>());
        for (of, set) in &asked {
            prop_assert!(required[of].is_superset(set));
        }
        prop_assert!(!exact || required == asked);
    }

    /// Contract: O61
    #[test]
    fn a_merge_is_the_union_or_stronger((one, ..) in any_token(), (other, ..) in any_token(), progress in any_progress()) {
        let merged = one.merge(&other);
        let union = union(&sets(&one), &sets(&other));
        let required = sets(&merged);
        for (of, set) in &union {
            prop_assert!(required[of].is_superset(set), "nothing is lost");
            prop_assert!(!fits(set) || required[of] == *set, "exact where it fits");
        }
        let both = is_satisfied(&one, &progress) && is_satisfied(&other, &progress);
        if is_satisfied(&merged, &progress) {
            prop_assert!(both, "satisfied, so both are");
        }
        if union.values().all(fits) {
            prop_assert_eq!(is_satisfied(&merged, &progress), both);
        }
        prop_assert_eq!(&merged, &other.merge(&one), "in either order");
        prop_assert_eq!(one.merge(&one), one, "with itself");
    }

    /// Contract: O60 (partial: the form only, `commit` and `head` are of the outbox)
    #[test]
    fn satisfied_means_every_required_commit_is_there((token, ..) in any_token(), progress in any_progress()) {
        prop_assert_eq!(is_satisfied(&token, &progress), is_satisfied_by_sets(&sets(&token), &progress));
    }

    /// Contract: O60 (partial: the form only, `commit` and `head` are of the outbox), O62
    #[test]
    fn tokens_that_require_the_same_are_equal_and_have_one_text((one, ..) in any_token(), (other, ..) in any_token()) {
        prop_assert_eq!(one == other, sets(&one) == sets(&other));
        prop_assert_eq!(one.to_string() == other.to_string(), one == other);
        // The normal form: the fewest positions named, then the lowest `below`.
        for requirement in one.requirements() {
            let set = &sets(&one)[&(requirement.source().get(), requirement.epoch().get())];
            let named = |below: u64| {
                let except = (0..below).filter(|position| !set.contains(position)).count();
                let singles = set.range(below..).count();
                (except <= 8 && singles <= 8).then_some((except + singles, below))
            };
            let least = (0..2 * UNIVERSE).filter_map(named).min().unwrap();
            let found = (requirement.except().len() + requirement.singles().len(), requirement.below().get());
            prop_assert_eq!(found, least);
        }
    }

    /// Contract: O62
    #[test]
    fn tokens_come_back_from_their_text((token, ..) in any_token()) {
        let text = token.to_string();
        prop_assert!(text.len() <= TOKEN_TEXT_MAX);
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        prop_assert!(text.bytes().all(safe), "safe in a header, a cookie and a URL");
        prop_assert_eq!(text.parse(), Ok(token));
    }

    /// Contract: O61, O62
    #[test]
    fn far_tokens_merge_to_all_that_they_name_and_come_back(parts in prop::collection::vec((0..9_u64, any::<u64>(), prop::collection::vec(any::<u64>(), 0..12), any::<bool>()), 1..30)) {
        let tokens: Vec<Token> = parts.iter().map(|(source, position, except, single)| {
            let (source, position) = (SourceId::new(*source), Position::new(*position));
            if *single { Token::commit(source, EPOCH, position) } else {
                Token::below(source, EPOCH, position, except.iter().copied().map(Position::new))
            }
        }).collect();
        let merged = merged(tokens.iter().cloned());
        let sources: BTreeSet<u64> = parts.iter().map(|(source, ..)| *source).collect();
        prop_assert_eq!(merged.is_origin_only(), sources.len() > TOKEN_SOURCES_MAX);
        let text = merged.to_string();
        prop_assert!(text.len() <= TOKEN_TEXT_MAX);
        prop_assert_eq!(text.parse(), Ok(merged.clone()));
        let near = |position: u64| [position.saturating_sub(1), position, position.saturating_add(1)].map(Position::new);
        for requirement in tokens.iter().flat_map(|token| token.requirements()) {
            let Some(all) = merged.requirements().iter().find(|of| of.source() == requirement.source()) else {
                prop_assert!(merged.is_origin_only());
                continue;
            };
            let named = parts.iter().flat_map(|(_, position, except, _)| except.iter().chain([position]));
            for position in named.copied().flat_map(near).filter(|position| requirement.requires(*position)) {
                prop_assert!(all.requires(position), "{} of {} is lost", position, requirement.source());
            }
        }
    }

    /// Contract: O62
    #[test]
    fn changed_texts_are_never_tokens((token, ..) in any_token(), at: prop::sample::Index, change: char, cut: prop::sample::Index) {
        let text = token.to_string();
        let at = at.index(text.len());
        let mut changed = text.clone();
        changed.replace_range(at..=at, change.encode_utf8(&mut [0; 4]));
        prop_assert_eq!(changed.parse::<Token>().is_ok(), changed == text);
        prop_assert!(text[..cut.index(text.len())].parse::<Token>().is_err(), "cut short");
    }
}
