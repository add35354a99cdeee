#![no_main]

libfuzzer_sys::fuzz_target!(init: vortex_node_fuzz::begin("folder_record"), |bytes: &[u8]| vortex_node::fuzz::folder_record(bytes));
