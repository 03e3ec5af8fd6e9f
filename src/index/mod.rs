//! What is fast.
