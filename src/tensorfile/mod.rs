//! Readers and writers of named arrays, one file a format.

pub mod safetensors;
