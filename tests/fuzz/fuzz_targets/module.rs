//! Feeds `checks::modules`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::modules::check(bytes));
