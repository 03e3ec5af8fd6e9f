//! Compiles the .proto files of this folder, with a compiler in Rust, so that protoc is not needed.

use prost::Message as _;
use std::error::Error;
use std::path::PathBuf;

/// Fields whose JSON name is camelCase; all others keep their proto name (OpenFGA says so with explicit `json_name`s).
const CAMEL: [(&str, &str); 4] = [
    ("Userset", "computed_userset"),
    ("Userset", "tuple_to_userset"),
    ("TupleToUserset", "computed_userset"),
    ("Leaf", "tuple_to_userset"),
];

fn name_fields(message: &mut prost_types::DescriptorProto) {
    let name = message.name().to_owned();
    for field in &mut message.field {
        if !CAMEL.contains(&(name.as_str(), field.name())) {
            field.json_name = Some(field.name().to_owned());
        }
    }
    message.nested_type.iter_mut().for_each(name_fields);
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schema");
    let mut descriptors = protox::compile(["schema/openfga.proto", "schema/bailiwick.proto"], ["schema"])?;
    for file in descriptors.file.iter_mut().filter(|f| f.package() == "openfga.v1") {
        file.message_type.iter_mut().for_each(name_fields);
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
