//! Recorded accesses, read from whatever they are written in, and what a cache of any capacity would make of them.
//!
//! ```
//! use larder_server::trace::{Bounds, Format, Optimum, Policy, Simulation, Trace, Unit};
//!
//! let trace = Trace::read(&b"a\nb\na\nc\nb\n"[..], Some(Format::Keys), None, Bounds::default())?;
//! let simulation = Simulation::of(Unit::Entries, 2);
//! let lru = simulation.run(Policy::Lru, &trace.accesses)?;
//! assert_eq!((lru.count, Optimum::of(&trace.accesses).hits(simulation).count), (1, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is always true: the same bytes give the same figures, on every machine. No simulated cache knows the future but [`Optimum`].

mod accesses;
mod archive;
mod byte_curve;
mod curve;
mod formats;
mod guess;
mod lfu;
pub mod limits;
mod lines;
mod optimum;
mod ours;
mod policy;
mod queue;
mod sample;
mod simulate;
mod weights;

pub use accesses::{Access, Accesses, Op, Unit};
pub use byte_curve::ByteCurve;
pub use curve::{Curve, spread};
pub use formats::{BadLine, Bounds, Format, Trace, Unread};
pub use guess::table as guess_table;
pub use optimum::Optimum;
pub use policy::Policy;
pub use sample::{Curves, Sample};
pub use simulate::{AboveOptimum, Broken, Cache, Hits, OverCapacity, Simulation};
