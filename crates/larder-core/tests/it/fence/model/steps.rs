//! What a step does. Four bytes decode to one, whatever they are; numbers are reduced to what there is when it runs.

/// One step. Targets are numbers of the oracle's universe; `nth` chooses among what there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A load begins.
    Pin {
        targets: [u8; 2],
    },
    /// Its value is read from the source itself.
    Read {
        nth: u8,
        lane: u8,
    },
    /// Its value is read from a copy that lags, and says how far it has come.
    ReadCopy {
        nth: u8,
        lane: u8,
        behind: u8,
    },
    /// A load says that it read a copy which cannot tell how far it has come.
    ReadUnknown {
        nth: u8,
        hold: u8,
    },
    /// Late targets are known.
    Extend {
        nth: u8,
        targets: [u8; 2],
    },
    /// An entry or a flight is shared, let go, or never cached.
    Clone {
        nth: u8,
    },
    Drop {
        nth: u8,
    },
    NeverCache {
        nth: u8,
    },
    /// It is remembered elsewhere: on disk, or at a remote filler.
    Save {
        nth: u8,
    },
    Resume {
        nth: u8,
    },
    Restore {
        nth: u8,
    },
    /// Somebody invalidates by hand.
    Invalidate {
        targets: [u8; 2],
    },
    /// Another node commits.
    Commit {
        lane: u8,
        targets: [u8; 2],
    },
    /// This node commits and applies it at once.
    OwnCommit {
        lane: u8,
        targets: [u8; 2],
    },
    /// The follower reads up to so many commits and publishes.
    Round {
        lane: u8,
        limit: u8,
    },
    /// The follower meets one commit above its cursor.
    Single {
        lane: u8,
        nth: u8,
    },
    /// A bound becomes known.
    Settle {
        lane: u8,
        nth: u8,
    },
    /// Somebody invalidates more than the rings hold.
    Flood,
    /// A part opens that stores stamps.
    RaiseFloor {
        by: u8,
    },
    /// The journal reaches its limit.
    Forget {
        back: u8,
    },
    /// Somebody asks for a token, or waits for it.
    Token {
        lane: u8,
        positions: [u8; 2],
    },
    Wait {
        lane: u8,
        positions: [u8; 2],
    },
    /// Time passes.
    Advance {
        tenths: u8,
    },
}

impl Step {
    pub(super) fn decode([kind, a, b, c]: [u8; 4]) -> Step {
        let targets = [b, c];
        match kind % 48 {
            0..=7 => Step::Pin { targets },
            8..=10 => Step::Read { nth: a, lane: b },
            11..=13 => Step::ReadCopy {
                nth: a,
                lane: b,
                behind: c,
            },
            14 => Step::ReadUnknown { nth: a, hold: b },
            15..=18 => Step::Extend { nth: a, targets },
            19 => Step::Clone { nth: a },
            20..=22 => Step::Drop { nth: a },
            23 => Step::NeverCache { nth: a },
            24 | 25 => Step::Save { nth: a },
            26 if a < 100 => Step::Resume { nth: a },
            26 => Step::Restore { nth: a },
            27..=29 => Step::Invalidate { targets },
            30..=32 => Step::Commit { lane: a, targets },
            33..=35 => Step::OwnCommit { lane: a, targets },
            36..=38 => Step::Round { lane: a, limit: b },
            39 => Step::Single { lane: a, nth: b },
            40 => Step::Settle { lane: a, nth: b },
            41 => Step::RaiseFloor { by: a },
            42 => Step::Forget { back: a },
            43 => Step::Token {
                lane: a,
                positions: targets,
            },
            46 if a < 100 => Step::Flood,
            44 | 45 => Step::Wait {
                lane: a,
                positions: targets,
            },
            _ => Step::Advance { tenths: a },
        }
    }
}
