//! Tokens as text.
//!
//! `l1.`, then base64url without padding over version, requirements and a checksum. One token has one text, and its
//! length is known before it is written. `docs/formats/outbox.md` has the layout.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::commits::{Commits, Form};
use super::{Requirement, Token, TokenError};
use crate::limits::{TOKEN_EXCEPT_MAX, TOKEN_SINGLES_MAX, TOKEN_SOURCES_MAX, TOKEN_TEXT_MAX};
use crate::position::{Epoch, Position, SourceId};
use crate::varint;

const PREFIX: &str = "l1.";
/// The format that is written, and the only one that is read.
const VERSION: u8 = 1;
/// Stands in place of the number of requirements.
const ORIGIN_ONLY: u8 = 255;
const CHECKSUM_BYTES: usize = 4;

/// The distances that positions are written as: down from `below` for the exceptions, then up from it for the
/// singles, each from where the last one ended.
fn distances(requirement: &Requirement) -> impl Iterator<Item = u64> {
    let mut to = requirement.below.get();
    let except = requirement.except.iter().rev().map(move |exception| {
        let distance = to - exception.next().get();
        to = exception.get();
        distance
    });
    let mut from = requirement.below.get();
    let singles = requirement.singles.iter().map(move |single| {
        let distance = single.get() - from;
        from = single.next().get();
        distance
    });
    except.chain(singles)
}

/// The length of [`write`]'s text.
pub(super) fn text_len(token: &Token) -> usize {
    let requirement_len = |requirement: &Requirement| {
        let named: usize = distances(requirement).map(varint::len).sum();
        2 * size_of::<u64>() + varint::len(requirement.below.get()) + 1 + named
    };
    let bytes = 2 + token.requirements.iter().map(requirement_len).sum::<usize>() + CHECKSUM_BYTES;
    PREFIX.len() + (bytes * 4).div_ceil(3)
}

pub(super) fn write(token: &Token) -> String {
    let mut out = vec![VERSION];
    let count = u8::try_from(token.requirements.len()).expect("invariant: at most 8 requirements");
    out.push(if token.origin_only { ORIGIN_ONLY } else { count });
    for requirement in &*token.requirements {
        out.extend_from_slice(&requirement.source.get().to_le_bytes());
        out.extend_from_slice(&requirement.epoch.get().to_le_bytes());
        varint::write(&mut out, requirement.below.get());
        let except = u8::try_from(requirement.except.len()).expect("invariant: at most 8 exceptions");
        let singles = u8::try_from(requirement.singles.len()).expect("invariant: at most 8 singles");
        out.push(except << 4 | singles);
        distances(requirement).for_each(|distance| varint::write(&mut out, distance));
    }
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    let mut text = String::with_capacity(TOKEN_TEXT_MAX);
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(&out, &mut text);
    assert!(
        text.len() <= TOKEN_TEXT_MAX,
        "a token is rounded up before it grows too long"
    );
    text
}

pub(super) fn read(text: &str) -> Result<Token, TokenError> {
    if text.len() > TOKEN_TEXT_MAX {
        return Err(TokenError::TooLong {
            bytes: text.len(),
            max: TOKEN_TEXT_MAX,
        });
    }
    let encoded = text.strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Base64)?;
    let (body, checksum) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(TokenError::Checksum)?;
    // Before the checksum: another version may have another one, and is to be named.
    let (&version, rest) = body.split_first().ok_or(TokenError::Checksum)?;
    if version != VERSION {
        return Err(TokenError::Version {
            found: version,
            known: VERSION,
        });
    }
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return Err(TokenError::Checksum);
    }
    let (&count, mut rest) = rest.split_first().ok_or(TokenError::Malformed("no count"))?;
    let token = match count {
        ORIGIN_ONLY => Token::origin_only(),
        count => Token {
            requirements: requirements(count, &mut rest)?.into(),
            origin_only: false,
        },
    };
    if !rest.is_empty() {
        return Err(TokenError::Malformed("bytes after the requirements"));
    }
    Ok(token)
}

fn requirements(count: u8, rest: &mut &[u8]) -> Result<Vec<Requirement>, TokenError> {
    if usize::from(count) > TOKEN_SOURCES_MAX {
        return Err(TokenError::Malformed("more sources than a token holds"));
    }
    let mut requirements: Vec<Requirement> = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let requirement = requirement(rest)?;
        let key = |of: &Requirement| (of.source.get(), of.epoch.get());
        if requirements
            .last()
            .is_some_and(|last| key(last) >= key(&requirement))
        {
            return Err(TokenError::Malformed("sources do not ascend"));
        }
        requirements.push(requirement);
    }
    Ok(requirements)
}

fn requirement(rest: &mut &[u8]) -> Result<Requirement, TokenError> {
    let source = SourceId::new(number(rest)?);
    let epoch = Epoch::new(number(rest)?);
    let below = varint::read(rest).ok_or(TokenError::Malformed("damaged position"))?;
    let (&counts, after) = rest.split_first().ok_or(TokenError::Malformed("no counts"))?;
    *rest = after;
    let (except_count, singles_count) = (usize::from(counts >> 4), usize::from(counts & 0x0f));
    if except_count > TOKEN_EXCEPT_MAX || singles_count > TOKEN_SINGLES_MAX {
        return Err(TokenError::Malformed("more positions than a token names"));
    }
    let mut except = Vec::with_capacity(except_count);
    let mut to = below;
    for _ in 0..except_count {
        let distance = varint::read(rest).ok_or(TokenError::Malformed("damaged position"))?;
        let exception = to.checked_sub(1).and_then(|last| last.checked_sub(distance));
        to = exception.ok_or(TokenError::Malformed("exception below zero"))?;
        except.push(Position::new(to));
    }
    except.reverse();
    let mut singles = Vec::with_capacity(singles_count);
    let mut from = below;
    for _ in 0..singles_count {
        let distance = varint::read(rest).ok_or(TokenError::Malformed("damaged position"))?;
        let single = from.checked_add(distance).filter(|single| *single != u64::MAX);
        let single = single.ok_or(TokenError::Malformed("single beyond the greatest position"))?;
        from = single + 1;
        singles.push(Position::new(single));
    }
    let form = Form {
        below: Position::new(below),
        except: except.into(),
        singles: singles.into(),
    };
    let commits = Commits::new(form.below, &form.except, &form.singles);
    if commits.is_empty() || commits.form().as_ref() != Some(&form) {
        return Err(TokenError::Malformed("not the normal form"));
    }
    Ok(Requirement {
        source,
        epoch,
        below: form.below,
        except: form.except,
        singles: form.singles,
    })
}

fn number(rest: &mut &[u8]) -> Result<u64, TokenError> {
    let (bytes, after) = rest
        .split_first_chunk::<8>()
        .ok_or(TokenError::Malformed("cut short"))?;
    *rest = after;
    Ok(u64::from_le_bytes(*bytes))
}
