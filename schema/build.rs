//! Compiles the .proto files of this folder, without protoc.

fn main() {}
