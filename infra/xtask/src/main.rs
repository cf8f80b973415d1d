//! Developer chores: ci, tidy, e2e.

fn main() {}
