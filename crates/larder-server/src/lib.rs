//! What the binary `larder` is made of that is of use without it: [`trace`], recorded accesses and what caches make of them.
//!
//! What it does not do: it prints nothing, ends no process, and knows no database.

pub mod trace;
