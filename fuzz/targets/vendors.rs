#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| livedraft_fuzz::checks::vendors::check(data));
