//! Feeds `checks::steps`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::steps::check(bytes));
