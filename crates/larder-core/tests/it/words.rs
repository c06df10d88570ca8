//! The words against their contracts: golden values, limits, laws.
