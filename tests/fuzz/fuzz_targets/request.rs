//! Feeds `checks::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::requests::check(bytes));
