//! What a pool tells: to readers of events, to listeners, to metrics, and who asks for its stats.

// Events, for readers who may lag.
mod events;
// Why entries leave.
mod reasons;
// Mirrors of a pool, built from what it tells.
mod mirror;
// Listeners, on one thread.
mod listeners;
// Listeners under many writers.
mod crowd;
// Who takes down everything that a pool reports.
mod recorder;
// Metrics of memory.
mod metrics;
// Metrics of calls that load.
mod loading;
// Stats.
mod stats;
