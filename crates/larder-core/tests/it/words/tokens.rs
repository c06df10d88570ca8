//! Tokens: what they require, satisfaction, text, limits.

// The laws of their union, against sets.
mod laws;

use std::collections::HashMap;

use larder_core::limits::{
    OWN_COMMITS, TOKEN_EXCEPT_MAX, TOKEN_SINGLES_MAX, TOKEN_SOURCES_MAX, TOKEN_TEXT_MAX,
};
use larder_core::{Cursor, Epoch, Position, Requirement, SourceId, Token, TokenError};

use super::table;

const SOURCE: SourceId = SourceId::new(7);
const EPOCH: Epoch = Epoch::new(1);

fn commit(position: u64) -> Token {
    Token::commit(SOURCE, EPOCH, Position::new(position))
}

fn below(below: u64, except: &[u64]) -> Token {
    Token::below(
        SOURCE,
        EPOCH,
        Position::new(below),
        except.iter().copied().map(Position::new),
    )
}

fn merged(tokens: impl IntoIterator<Item = Token>) -> Token {
    tokens
        .into_iter()
        .fold(Token::default(), |union, token| union.merge(&token))
}

fn only(token: &Token) -> &Requirement {
    let [requirement] = token.requirements() else {
        panic!("{token:?} has one requirement")
    };
    requirement
}

fn numbers(positions: &[Position]) -> Vec<u64> {
    positions.iter().map(|position| position.get()).collect()
}

/// `below`, exceptions and singles of a token of one source.
fn form(token: &Token) -> (u64, Vec<u64>, Vec<u64>) {
    let requirement = only(token);
    (
        requirement.below().get(),
        numbers(requirement.except()),
        numbers(requirement.singles()),
    )
}

/// A cursor that includes what is below `end`, except `open`.
fn cursor(end: u64, open: &[u64]) -> Cursor {
    let open = open.iter().copied().map(Position::new);
    Cursor::snapshot(SOURCE, EPOCH, Position::ZERO, Position::new(end), open, 0).unwrap()
}

fn satisfied(token: &Token, cursor: &Cursor) -> bool {
    !token.is_origin_only()
        && token
            .requirements()
            .iter()
            .all(|of| of.is_satisfied_by(cursor, |_| false))
}

/// Contract: O60 (partial: the form only, `commit` and `head` are of the outbox)
#[test]
fn a_token_holds_single_commits_or_all_below_with_exceptions() {
    assert_eq!(form(&commit(42)), (0, vec![], vec![42]));
    assert_eq!(form(&below(100, &[])), (100, vec![], vec![]));
    assert_eq!(
        form(&below(100, &[50, 40, 50, 100, 200])),
        (100, vec![40, 50], vec![]),
        "in any order, once, below"
    );
    assert_eq!(
        form(&below(100, &[99, 98])),
        (98, vec![], vec![]),
        "what ends in exceptions ends before them"
    );
    let both = below(100, &[40]).merge(&commit(150));
    assert_eq!(form(&both), (100, vec![40], vec![150]));
    let requirement = only(&both);
    assert_eq!((requirement.source(), requirement.epoch()), (SOURCE, EPOCH));
    assert_eq!(requirement.max_position(), Position::new(150));
    assert_eq!(only(&below(100, &[40])).max_position(), Position::new(99));
}

/// Contract: O60 (partial: the form only, `commit` and `head` are of the outbox)
#[test]
fn an_empty_token_is_satisfied_everywhere() {
    for empty in [Token::default(), below(0, &[]), below(2, &[0, 1])] {
        assert!(empty.is_empty() && !empty.is_origin_only());
        assert_eq!(empty, Token::default());
        assert!(satisfied(&empty, &cursor(0, &[])));
    }
    assert!(!commit(0).is_empty() && !Token::origin_only().is_empty());
}

/// Contract: O61
#[test]
fn the_greatest_position_does_not_imply_the_others() {
    let both = commit(5).merge(&commit(9));
    assert!(
        !satisfied(&both, &cursor(10, &[5])),
        "the higher one alone will not do"
    );
    assert!(!satisfied(&both, &cursor(6, &[])), "nor the lower one");
    assert!(satisfied(&both, &cursor(10, &[7])), "others do not matter");
    let has = |known: &'static [u64]| move |position: Position| known.contains(&position.get());
    assert!(
        only(&both).is_satisfied_by(&cursor(6, &[]), has(&[9])),
        "a single one above the cursor counts"
    );
    assert!(
        only(&both).is_satisfied_by(&cursor(10, &[5]), has(&[5])),
        "and one that is open in it"
    );
    assert!(!only(&both).is_satisfied_by(&cursor(10, &[5]), has(&[6, 7, 8, 9])));
}

/// Contract: O13 (partial: former epochs are kept by the source), O60 (partial: the form only, `commit` and `head` are of the outbox)
#[test]
fn other_sources_and_epochs_satisfy_nothing() {
    let token = commit(5);
    let requirement = only(&token);
    let all = |source, epoch| Cursor::ordered(source, epoch, Position::MAX, 0);
    assert!(requirement.is_satisfied_by(&all(SOURCE, EPOCH), |_| false));
    assert!(!requirement.is_satisfied_by(&all(SourceId::new(8), EPOCH), |_| true));
    assert!(!requirement.is_satisfied_by(&all(SOURCE, Epoch::new(2)), |_| true));
    let epochs = token.merge(&Token::commit(SOURCE, Epoch::new(2), Position::new(5)));
    assert_eq!(
        epochs.requirements().len(),
        2,
        "epochs of one source are kept apart"
    );
}

/// Contract: O61
#[test]
fn more_sources_than_fit_leave_the_origin() {
    let sources = |count: usize| {
        merged((0..count as u64).map(|of| Token::below(SourceId::new(of), EPOCH, Position::new(9), [])))
    };
    let at = sources(TOKEN_SOURCES_MAX);
    assert_eq!((at.requirements().len(), at.is_origin_only()), (8, false));
    let beyond = sources(TOKEN_SOURCES_MAX + 1);
    assert_eq!(beyond, Token::origin_only());
    assert!(beyond.is_origin_only() && beyond.requirements().is_empty());
    assert_eq!(beyond.merge(&commit(1)), beyond, "and stay so");
    assert_eq!(commit(1).merge(&beyond), beyond);
    assert_eq!(beyond.to_string().parse(), Ok(beyond));
}

/// Contract: O60 (partial: the form only, `commit` and `head` are of the outbox), O61
#[test]
fn more_singles_than_fit_raise_what_all_are_below() {
    let singles = |count: u64| merged((1..=count).map(|number| commit(100 * number)));
    assert_eq!(TOKEN_SINGLES_MAX, 8);
    assert_eq!(
        form(&singles(8)),
        (0, vec![], (1..=8).map(|number| 100 * number).collect::<Vec<_>>())
    );
    assert_eq!(
        form(&singles(9)),
        (
            101,
            vec![],
            (2..=9).map(|number| 100 * number).collect::<Vec<_>>()
        )
    );
    let run = merged((100..120).map(commit));
    assert_eq!(form(&run), (120, vec![], vec![]), "twenty in a row");
    let later: Vec<u64> = (1..=9).map(|number| 100 * number + 50).collect();
    let open = later
        .iter()
        .fold(below(100, &[20]), |token, single| token.merge(&commit(*single)));
    assert_eq!(
        form(&open),
        (151, vec![20], later[1..].to_vec()),
        "an old exception is kept"
    );
}

/// Contract: O60 (partial: the form only, `commit` and `head` are of the outbox), O61
#[test]
fn of_more_exceptions_than_fit_the_oldest_are_kept() {
    let exceptions = |count: u64| (1..=count).map(|number| 10 * number).collect::<Vec<_>>();
    assert_eq!(TOKEN_EXCEPT_MAX, 8);
    assert_eq!(
        form(&below(1_000, &exceptions(8))),
        (1_000, exceptions(8), vec![])
    );
    assert_eq!(
        form(&below(1_000, &exceptions(9))),
        (1_000, exceptions(8), vec![])
    );
    assert_eq!(
        form(&below(100_000, &exceptions(8_192))),
        (100_000, exceptions(8), vec![])
    );
}

/// Contract: O60 (partial: the form only, `commit` and `head` are of the outbox)
#[test]
fn the_greatest_number_is_no_commit() {
    assert_eq!(Token::commit(SOURCE, EPOCH, Position::MAX), Token::origin_only());
    let last = commit(u64::MAX - 1);
    assert_eq!(last.to_string().parse(), Ok(last.clone()));
    assert!(satisfied(&last, &cursor(u64::MAX, &[])));
    let all = below(u64::MAX, &[u64::MAX - 2]);
    assert_eq!(all.to_string().parse(), Ok(all.clone()));
    assert_eq!(
        form(&all.merge(&last)),
        (u64::MAX - 2, vec![], vec![u64::MAX - 1])
    );
}

/// Contract: O60 (partial: the form only, `commit` and `head` are of the outbox)
#[test]
fn a_wide_gap_is_not_walked_through() {
    let widest = OWN_COMMITS.max() as u64 + 8;
    let at = below(widest, &[]);
    assert!(only(&at).is_satisfied_by(&cursor(0, &[]), |_| true));
    let beyond = below(widest + 1, &[]);
    assert!(!only(&beyond).is_satisfied_by(&cursor(0, &[]), |_| true));
    let vast = below(u64::MAX, &[3]);
    assert!(!only(&vast).is_satisfied_by(&cursor(10, &[]), |_| true));
}

/// Contract: O62
#[test]
fn texts_are_those_in_the_format_page() {
    for row in table("| token | text |") {
        let token = match row[0] {
            "nothing" => Token::default(),
            "only the origin" => Token::origin_only(),
            requirements => merged(requirements.split("; ").map(described)),
        };
        assert_eq!(token.to_string(), row[1], "{}", row[0]);
        assert_eq!(row[1].parse(), Ok(token));
    }
}

/// The token that a line of the page describes.
fn described(requirement: &str) -> Token {
    let fields: HashMap<&str, &str> = requirement
        .split(", ")
        .map(|field| field.split_once(' ').unwrap())
        .collect();
    let (source, epoch) = (
        fields["source"].parse().unwrap(),
        fields["epoch"].parse().unwrap(),
    );
    let positions = |name: &str| -> Vec<Position> {
        fields[name]
            .split(' ')
            .filter(|position| *position != "none")
            .map(|position| position.parse().unwrap())
            .collect()
    };
    let below = Token::below(source, epoch, positions("below")[0], positions("except"));
    positions("singles").into_iter().fold(below, |token, single| {
        token.merge(&Token::commit(source, epoch, single))
    })
}

/// Contract: O62
#[test]
fn text_that_is_no_token_is_refused() {
    let refused = |text: &str| text.parse::<Token>().expect_err(text);
    let good = commit(42).to_string();
    assert!(good.parse::<Token>().is_ok());
    for text in ["", "l1", "l2.AQC-I8JY", "L1.AQC-I8JY", " l1.AQC-I8JY", "AQC-I8JY"] {
        assert_eq!(refused(text), TokenError::Prefix, "{text:?}");
    }
    for text in [
        "l1.AQC-I8JY=",
        "l1.AQC+I8JY",
        "l1.AQC-I8J ",
        "l1.\0",
        "l1.ü",
        "l1.A",
    ] {
        assert_eq!(refused(text), TokenError::Base64, "{text:?}");
    }
    for text in ["l1.", "l1.AQC-", "l1.AQC-I8JZ"] {
        assert_eq!(refused(text), TokenError::Checksum, "{text:?}");
    }
    assert_eq!(refused("l1.AgC-I8JY"), TokenError::Version { found: 2, known: 1 });
    let longest = format!("l1.{}", "A".repeat(TOKEN_TEXT_MAX - 3));
    assert!(
        !matches!(refused(&longest), TokenError::TooLong { .. }),
        "1,024 are read"
    );
    assert_eq!(
        refused(&(longest + "A")),
        TokenError::TooLong {
            bytes: 1_025,
            max: 1_024
        }
    );
}

/// The text of a token whose bytes are `body` and the right checksum.
fn sealed(body: &[u8]) -> String {
    use base64::Engine as _;
    let bytes = [body, &crc32fast::hash(body).to_le_bytes()].concat();
    format!(
        "l1.{}",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    )
}

/// Source 1 and epoch 1.
const WHERE: [u8; 16] = [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

/// Contract: O62
#[test]
fn only_the_normal_form_is_read() {
    let requirement = |rest: &[u8]| [&[1, 1], &WHERE[..], rest].concat();
    assert!(
        sealed(&requirement(&[0, 0x01, 5])).parse::<Token>().is_ok(),
        "single 5"
    );
    let malformed = [
        ("no count", vec![1]),
        ("nine sources", vec![1, 9]),
        ("a source too few", vec![1, 1]),
        ("no positions at all", requirement(&[0, 0x00])),
        ("cut short", requirement(&[0, 0x01])),
        ("bytes after it", requirement(&[0, 0x01, 5, 0])),
        ("bytes after the origin's", vec![1, 255, 0]),
        ("a longer number", requirement(&[0, 0x01, 0x85, 0])),
        ("nine singles", requirement(&[0, 0x09, 1, 1, 1, 1, 1, 1, 1, 1, 1])),
        (
            "nine exceptions",
            requirement(&[100, 0x90, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ),
        ("an exception below zero", requirement(&[3, 0x10, 3])),
        ("a single that belongs below", requirement(&[3, 0x01, 0])),
        ("the last position as an exception", requirement(&[3, 0x10, 0])),
        ("exceptions only", requirement(&[1, 0x10, 0])),
        (
            "more exceptions than the singles would be",
            requirement(&[9, 0x20, 1, 0]),
        ),
        (
            "the greatest number",
            requirement(&[0, 0x01, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ),
        (
            "a source twice",
            [&[1, 2], &WHERE[..], &[3, 0], &WHERE[..], &[4, 0]].concat(),
        ),
    ];
    for (what, body) in malformed {
        assert!(
            matches!(sealed(&body).parse::<Token>(), Err(TokenError::Malformed(_))),
            "{what}"
        );
    }
    assert_eq!(
        sealed(&[2, 0]).parse::<Token>(),
        Err(TokenError::Version { found: 2, known: 1 })
    );
}

/// A source, and the exceptions and singles named of it.
type Named = (SourceId, Vec<u64>, Vec<u64>);

/// A token of eight sources whose text is as long as can be: 128 positions named, each at a distance of four bytes,
/// and of these `five` at one of five.
fn longest(five: usize) -> (Token, Vec<Named>) {
    let mut distances = std::iter::repeat_n(1 << 28, five).chain(std::iter::repeat(1 << 21));
    let mut expected = Vec::new();
    let middle = 1_u64 << 57;
    for source in 0..8 {
        let mut at = middle;
        let mut except: Vec<u64> = distances
            .by_ref()
            .take(8)
            .map(|distance: u64| {
                at -= distance + 1;
                at
            })
            .collect();
        except.reverse();
        let mut at = middle;
        let singles: Vec<u64> = distances
            .by_ref()
            .take(8)
            .map(|distance| {
                at += distance + 1;
                at - 1
            })
            .collect();
        expected.push((SourceId::new(source), except, singles));
    }
    let token = merged(expected.iter().map(|(source, except, singles)| {
        let except = except.iter().copied().map(Position::new);
        let below = Token::below(*source, EPOCH, Position::new(middle), except);
        singles.iter().fold(below, |token, single| {
            token.merge(&Token::commit(*source, EPOCH, Position::new(*single)))
        })
    }));
    (token, expected)
}

/// Contract: O61, O62
#[test]
fn a_text_that_would_be_too_long_is_rounded_up() {
    // 6 + 8 * (16 + 9 + 1) + 128 * 4 + 39 = 765 bytes, which are 1,020 characters and the prefix.
    let (at, expected) = longest(39);
    assert_eq!(at.to_string().len(), 1_023);
    for (requirement, (source, except, singles)) in at.requirements().iter().zip(&expected) {
        assert_eq!(requirement.source(), *source);
        assert_eq!(
            (&numbers(requirement.except()), &numbers(requirement.singles())),
            (except, singles)
        );
    }
    let (beyond, expected) = longest(40);
    assert!(beyond.to_string().len() <= TOKEN_TEXT_MAX);
    assert_eq!(beyond.requirements().len(), 8);
    for (requirement, (_, except, singles)) in beyond.requirements().iter().zip(&expected) {
        assert_eq!(
            numbers(requirement.except()),
            except[..7],
            "the oldest exceptions are kept"
        );
        assert_eq!(
            numbers(requirement.singles()),
            singles[1..],
            "the lowest single is below now"
        );
        assert_eq!(requirement.below().get(), singles[0] + 1);
        assert!(
            singles
                .iter()
                .all(|single| requirement.requires(Position::new(*single))),
            "none is lost"
        );
    }
    assert_eq!(beyond.to_string().parse(), Ok(beyond));
}
