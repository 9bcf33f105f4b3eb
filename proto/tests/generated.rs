//! The generated code is what the `.proto` files say. It is committed, so that nobody needs a generator to build.
//!
//! After a change to a `.proto` file: `REGENERATE=1 cargo test -p cofferdam-proto --test generated`.

use std::fs;
use std::path::Path;

use prost::Message;

const FILES: [&str; 6] = [
    "backend.proto",
    "go_plugin.proto",
    "identity.proto",
    "multiplexing.proto",
    "plugin_environment.proto",
    "version.proto",
];

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(FILES, [root.join("proto")]).expect("the .proto files are well formed");
    let fresh = tempfile::tempdir().expect("a temporary directory can be made");
    fs::write(fresh.path().join("descriptors.bin"), descriptors.encode_to_vec()).expect("it takes a file");
    tonic_prost_build::configure()
        .out_dir(fresh.path())
        .bytes(".pb.StorageEntry.value")
        .skip_debug(["."])
        .compile_fds(descriptors)
        .expect("code can be generated");

    let committed = root.join("src/generated");
    for entry in fs::read_dir(fresh.path()).expect("the directory is readable") {
        let path = entry.expect("so is its entry").path();
        let name = path.file_name().expect("a file has a name");
        let expected = fs::read(&path).expect("what was generated is readable");
        let found = committed.join(name);
        if std::env::var_os("REGENERATE").is_some() {
            fs::write(&found, expected).expect("the source can be written");
        } else if fs::read(&found).ok().as_ref() != Some(&expected) {
            panic!("{} is not what the .proto files say; see the head of this test", found.display());
        }
    }
}
