//! The component.

cofferdam_sdk::export!(shelf_plugins::Tally);

fn main() {}
