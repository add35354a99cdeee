#![no_main]

libfuzzer_sys::fuzz_target!(init: vortex_node_fuzz::begin("journal_log"), |bytes: &[u8]| vortex_node::fuzz::journal_log(bytes));
