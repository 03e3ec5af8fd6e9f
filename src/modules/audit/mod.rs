//! The audit log: a tree over the events of each tenant, and proofs.

pub mod note;
pub mod tree;
