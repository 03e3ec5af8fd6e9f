//! What stands around the engine: thin modules that do not know each other, and meet through tuples.

/// What happened, and the proof of it.
pub mod audit;
