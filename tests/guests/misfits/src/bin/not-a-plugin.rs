//! A program, and not a plugin.

fn main() {
    println!("hello");
}
