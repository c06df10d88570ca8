//! Loads, by hand: every poll, every end of a load and every drop is placed; time is simulated.

// Rows, pools and loads that the tests end.
mod hand;
// Calls for one id.
mod single;
