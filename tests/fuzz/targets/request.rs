#![no_main]

libfuzzer_sys::fuzz_target!(init: vortex_node_fuzz::begin("request"), |bytes: &[u8]| vortex_node::fuzz::request(bytes));
