//! The `ddi` command.
fn main() {}
