//! Tokens: what a read must not be older than.
//!
//! A token is a set of commits for each source and epoch. Merging is a union and never loses one; what does not fit
//! into a token is rounded up to more commits, never down to fewer. Where commits are not ordered the greatest
//! position does not imply the others, so no part of a token is a mere maximum. A token is no secret and not signed:
//! a forged one makes its own request wait, and nothing else. Whether a node has applied it is the fence's to say.

mod commits;
mod text;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::cursor::Cursor;
use crate::limits::{OWN_COMMITS, TOKEN_EXCEPT_MAX, TOKEN_SINGLES_MAX, TOKEN_SOURCES_MAX, TOKEN_TEXT_MAX};
use crate::position::{Epoch, Position, SourceId};
use commits::Commits;

/// The commits that a read must have seen, of at most 8 sources. An empty token, which is the default, is satisfied
/// everywhere.
///
/// Two tokens are equal if they require the same commits. The text form is `l1.` and base64url, at most 1,024
/// characters, safe in headers, cookies and URLs.
///
/// ```
/// # use larder_core::{Epoch, Position, SourceId, Token};
/// let token = Token::commit(SourceId::new(7), Epoch::new(1), Position::new(42));
/// assert_eq!(token.to_string().parse::<Token>()?, token);
/// # Ok::<_, larder_core::TokenError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Token {
    /// By source and epoch, ascending as numbers. None if only the origin will do.
    requirements: Arc<[Requirement]>,
    origin_only: bool,
}

/// What a token requires of one epoch of one source: all commits below a position, except a few named ones, and a
/// few single commits from that position on. At least one commit.
///
/// A set of commits can be written in several ways; of those that fit, this is the one that names the fewest
/// positions, and of several such the one with the lowest `below`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    source: SourceId,
    epoch: Epoch,
    below: Position,
    except: Box<[Position]>,
    singles: Box<[Position]>,
}

/// The text is no token. It is never taken for an empty one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The text is longer than a token ever is.
    #[error("token of {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// How many bytes were given.
        bytes: usize,
        /// The most allowed.
        max: usize,
    },
    /// The text does not begin with `l1.`.
    #[error("a token begins with l1.")]
    Prefix,
    /// What follows the prefix is not base64url without padding.
    #[error("a token is base64url after its prefix")]
    Base64,
    /// The token is of a format that this version does not know.
    #[error("token of format {found}, known is {known}")]
    Version {
        /// The format of the token.
        found: u8,
        /// The one that can be read.
        known: u8,
    },
    /// The token has been changed, or cut short.
    #[error("the checksum of a token does not fit")]
    Checksum,
    /// The checksum fits, but this is not how a token is written.
    #[error("malformed token: {0}")]
    Malformed(&'static str),
}

/// Required commits of one source and epoch, while tokens are put together.
struct Part {
    source: SourceId,
    epoch: Epoch,
    commits: Commits,
}

impl Part {
    fn key(&self) -> (u64, u64) {
        (self.source.get(), self.epoch.get())
    }
}

impl Token {
    /// The token of one commit.
    ///
    /// [`Position::MAX`] names no commit; a token that asks for it is satisfied by the origin only.
    #[must_use]
    pub fn commit(source: SourceId, epoch: Epoch, position: Position) -> Self {
        if position == Position::MAX {
            return Self::origin_only();
        }
        Self::of(vec![Part {
            source,
            epoch,
            commits: Commits::single(position),
        }])
    }

    /// The token of all commits below `below`, except some, in any order. More than 8 exceptions do not all fit:
    /// then the highest of them are required too. O(n log n).
    #[must_use]
    pub fn below(
        source: SourceId,
        epoch: Epoch,
        below: Position,
        except: impl IntoIterator<Item = Position>,
    ) -> Self {
        let mut except: Vec<Position> = except.into_iter().filter(|position| *position < below).collect();
        except.sort_unstable();
        except.dedup();
        Self::of(vec![Part {
            source,
            epoch,
            commits: Commits::new(below, &except, &[]),
        }])
    }

    /// The token that only the origin satisfies.
    #[must_use]
    pub fn origin_only() -> Self {
        Self {
            requirements: Arc::default(),
            origin_only: true,
        }
    }

    /// A token that is satisfied only where both are. O(1), as tokens are bounded.
    ///
    /// Where the union of both fits into a token it is exactly that. Where not, it requires more: of single commits
    /// beyond the eighth all below the lowest are required, of exceptions the lowest are kept, which are the oldest
    /// transactions. More than 8 sources (epochs of one source count apart) make a token that only the origin
    /// satisfies.
    #[must_use]
    pub fn merge(&self, other: &Token) -> Token {
        if self.origin_only || other.origin_only {
            return Self::origin_only();
        }
        let mut parts: Vec<Part> = Vec::with_capacity(self.requirements.len() + other.requirements.len());
        parts.extend(self.requirements.iter().map(Requirement::part));
        for part in other.requirements.iter().map(Requirement::part) {
            match parts.iter_mut().find(|known| known.key() == part.key()) {
                Some(known) => known.commits = known.commits.union(&part.commits),
                None => parts.push(part),
            }
        }
        Self::of(parts)
    }

    /// The requirements, ordered by source and epoch. Empty as well for a token that
    /// [only the origin satisfies](Self::is_origin_only): ask for that first.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether no node satisfies this token, only the origin.
    #[must_use]
    pub fn is_origin_only(&self) -> bool {
        self.origin_only
    }

    /// Whether nothing is required, so that every node satisfies the token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.origin_only
    }

    /// The strongest token that is needed for `parts`, no two of which have the same source and epoch.
    fn of(mut parts: Vec<Part>) -> Self {
        parts.retain(|part| !part.commits.is_empty());
        if parts.len() > TOKEN_SOURCES_MAX {
            return Self::origin_only();
        }
        parts.sort_unstable_by_key(Part::key);
        // Naming fewer positions makes it shorter; the first that fits is the least that is added.
        let most = TOKEN_SINGLES_MAX.max(TOKEN_EXCEPT_MAX);
        (0..=most)
            .rev()
            .map(|named| Self {
                requirements: parts
                    .iter()
                    .map(|part| Requirement::rounded(part, named))
                    .collect(),
                origin_only: false,
            })
            .find(|token| text::text_len(token) <= TOKEN_TEXT_MAX)
            .expect("invariant: eight sources without named positions fit")
    }
}

impl Requirement {
    /// The least requirement of `named` exceptions and singles that covers `part`, in its normal form.
    fn rounded(part: &Part, named: usize) -> Self {
        let rounded = part
            .commits
            .rounded(named.min(TOKEN_EXCEPT_MAX), named.min(TOKEN_SINGLES_MAX));
        let form = rounded
            .form()
            .expect("invariant: what is rounded to a form has one");
        Self {
            source: part.source,
            epoch: part.epoch,
            below: form.below,
            except: form.except,
            singles: form.singles,
        }
    }

    fn part(&self) -> Part {
        let commits = Commits::new(self.below, &self.except, &self.singles);
        Part {
            source: self.source,
            epoch: self.epoch,
            commits,
        }
    }

    /// The source whose commits are required.
    #[must_use]
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// The epoch of the source.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// All commits below are required, except [the exceptions](Self::except). Zero if only single ones are.
    #[must_use]
    pub fn below(&self) -> Position {
        self.below
    }

    /// The commits below [`Self::below`] that are not required, ascending.
    #[must_use]
    pub fn except(&self) -> &[Position] {
        &self.except
    }

    /// The single commits that are required, ascending, from [`Self::below`] on.
    #[must_use]
    pub fn singles(&self) -> &[Position] {
        &self.singles
    }

    /// The greatest position that is required. It does not imply the others.
    #[must_use]
    pub fn max_position(&self) -> Position {
        // In its normal form the position before `below` is required, unless `below` is zero.
        self.singles
            .last()
            .copied()
            .unwrap_or(Position::new(self.below.get().saturating_sub(1)))
    }

    /// Whether the commit at `position` is required. O(1), as requirements are bounded.
    #[must_use]
    pub fn requires(&self, position: Position) -> bool {
        if position < self.below {
            !self.except.contains(&position)
        } else {
            self.singles.contains(&position)
        }
    }

    /// Whether every required commit is included in the cursor or known by `has`, which names single positions above
    /// what the cursor includes. Never for a cursor of another source or epoch.
    ///
    /// O(open positions), and a call of `has` for each required position that the cursor lacks, up to the first that
    /// it does not have. A gap between the cursor and [`Self::below`] that is wider than the most commits a node can
    /// remember is not asked for: no.
    pub fn is_satisfied_by(&self, cursor: &Cursor, has: impl Fn(Position) -> bool) -> bool {
        if cursor.source() != self.source || cursor.epoch() != self.epoch {
            return false;
        }
        // What the cursor lacks: its open positions, and everything from its end on.
        let beyond = self.below.get().saturating_sub(cursor.end().get());
        let wide =
            usize::try_from(beyond).map_or(true, |beyond| beyond > OWN_COMMITS.max() + TOKEN_EXCEPT_MAX);
        if wide {
            return false;
        }
        let beyond = (cursor.end().get()..self.below.get()).map(Position::new);
        let singles = self
            .singles
            .iter()
            .copied()
            .filter(|single| *single >= cursor.end());
        let open = cursor.open().iter().copied();
        singles
            .chain(open)
            .chain(beyond)
            .all(|position| !self.requires(position) || has(position))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::write(self))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Reads the text form. Work and memory are bounded, whatever the text.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        text::read(text)
    }
}
