//! A coherent data layer: what you cache stays fresh, and can prove it.
