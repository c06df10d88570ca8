//! What the facade promises beside the parts that it joins: which names are found where, and that what a service builds from
//! its names alone behaves.

// Who joins a load that something has overtaken.
mod joins;
// Which names are found where.
mod names;
