//! Deterministic network for tests: seeded links, virtual clock; implements Queue.
