//! The component.

cofferdam_sdk::export!(shelf_plugins::Hold);

fn main() {}
