//! Loads, by hand: every poll, every end of a load and every drop is placed; time is simulated.

// Rows, pools and loads that the tests end.
mod hand;
// A source that is followed.
mod source;
// The fence: what ends entries.
mod fenced;
// What overtakes loads.
mod overtaken;
// Copies that lag, tokens, and a node that is unsure.
mod copies;
// Calls for one id.
mod single;
// Calls for several ids.
mod many;
// What loaders bring, and the pool's own loader.
mod loaded;
// Absences, stale values, loads ahead.
mod early;
// Entries that are brought back as they were.
mod renewed;
// What is known and reported.
mod known;
// Calls that end other than with a value.
mod ends;
