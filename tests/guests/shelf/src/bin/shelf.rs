//! The component.

cofferdam_sdk::export!(shelf_plugins::Shelf);

fn main() {}
