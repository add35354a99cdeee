#![no_main]

libfuzzer_sys::fuzz_target!(init: vortex_node_fuzz::begin("recipe"), |bytes: &[u8]| vortex_node::fuzz::recipe(bytes));
