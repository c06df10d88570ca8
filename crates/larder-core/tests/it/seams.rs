//! The seams: what each promises, checked over the real and the simulated one.
