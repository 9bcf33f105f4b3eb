//! The table of fields, read by Vault's own SDK: the contract crate and our SDK check it in tests of their own.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use crate::go;

#[test]
fn vaults_sdk_reads_fields_as_the_table_says() {
    let program = match go::build("fields").expect("the program builds") {
        go::Built::Yes(program) => program,
        go::Built::NoGo => return println!("left out, for want of Go"),
    };
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/cases.json");
    let output = Command::new(program).stdin(File::open(table).expect("the table is there")).output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "\n{}", String::from_utf8_lossy(&output.stdout));
}
