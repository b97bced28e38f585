//! creel-e2e
fn main() {}
