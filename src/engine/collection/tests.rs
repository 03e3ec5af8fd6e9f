//! What cannot be seen from outside: which writes a kept set survives.
