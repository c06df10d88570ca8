//! Where faults are found, and what they say.
