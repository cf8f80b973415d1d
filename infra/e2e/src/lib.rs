//! End-to-end tests: every server over a real veth pair of its own namespaces.
