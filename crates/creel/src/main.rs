//! creel
fn main() {}
