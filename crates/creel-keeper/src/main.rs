//! creel-keeper
fn main() {}
