//! Tokens from text. Framed: what follows the format's number, with the checksum behind it, as base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder_core::{Cursor, Epoch, Position, Requirement, SourceId, Token};

use super::{Decoded, sealed};

pub(super) fn check(input: &[u8]) -> Decoded {
    let framed = format!("l1.{}", URL_SAFE_NO_PAD.encode(sealed([b"\x01", input].concat())));
    let raw = str::from_utf8(input).is_ok_and(decodes);
    Decoded {
        raw,
        framed: decodes(&framed),
    }
}

fn decodes(text: &str) -> bool {
    let Ok(token) = text.parse::<Token>() else {
        return false;
    };
    assert_eq!(token.to_string(), text, "one token has one text");
    assert_eq!(token.merge(&token), token, "merged with itself it is itself");
    assert_eq!(
        token.merge(&Token::default()),
        token,
        "merged with nothing it is itself"
    );
    for requirement in token.requirements() {
        check_requirement(requirement);
    }
    check_merge(&token);
    true
}

fn check_requirement(requirement: &Requirement) {
    let max = requirement.max_position();
    assert!(requirement.requires(max), "the greatest position is required");
    assert!(
        !requirement.requires(max.next()) && max < Position::MAX,
        "and none above it"
    );
    assert!(
        !requirement
            .except()
            .iter()
            .any(|except| requirement.requires(*except))
    );
    assert!(
        requirement
            .singles()
            .iter()
            .all(|single| requirement.requires(*single))
    );
    let ordered = |next| Cursor::ordered(requirement.source(), requirement.epoch(), next, 0);
    assert!(
        requirement.is_satisfied_by(&ordered(max.next()), |_| false),
        "all up to it is enough"
    );
    assert!(
        !requirement.is_satisfied_by(&ordered(max), |_| false),
        "all below it is not"
    );
    assert!(
        requirement.is_satisfied_by(&ordered(max), |position| position == max),
        "it was missing"
    );
}

/// Merging with a token that has something to add loses nothing of either.
fn check_merge(token: &Token) {
    let first = token.requirements().first();
    let source = first.map_or(SourceId::new(1), Requirement::source);
    let epoch = first.map_or(Epoch::new(1), Requirement::epoch);
    let other = Token::below(source, epoch, Position::new(1_000), [Position::new(500)]);
    let merged = token.merge(&other);
    assert_eq!(merged, other.merge(token), "in either order");
    assert_eq!(
        merged.to_string().parse(),
        Ok(merged.clone()),
        "what is merged comes back from its text"
    );
    if merged.is_origin_only() {
        return;
    }
    for requirement in token.requirements().iter().chain(other.requirements()) {
        let same =
            |of: &&Requirement| of.source() == requirement.source() && of.epoch() == requirement.epoch();
        let all = merged
            .requirements()
            .iter()
            .find(same)
            .expect("invariant: no source is lost in a merge");
        let named = requirement.except().iter().chain(requirement.singles());
        for position in named.flat_map(|position| [*position, position.next()]) {
            assert!(
                !requirement.requires(position) || all.requires(position),
                "{position} is lost"
            );
        }
        assert!(
            all.requires(requirement.max_position()),
            "the greatest position is lost"
        );
        assert!(all.below() >= requirement.below() || all.max_position() >= requirement.max_position());
    }
}
