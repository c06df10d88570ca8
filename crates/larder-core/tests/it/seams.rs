//! The seams: what each promises, checked over the real and the simulated one.

// Time that never goes back, and time that people set.
mod clock;
// Frames: layout, golden bytes, errors in order, sequences.
mod codec;
// Random bytes.
mod entropy;
// One check of what files do, over real and simulated ones.
mod storage;
