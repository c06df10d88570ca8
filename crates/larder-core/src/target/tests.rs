//! Unit tests of targets: hashes on both paths, and lineages.
