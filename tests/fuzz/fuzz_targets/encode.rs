//! Feeds `checks::encode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::encode::check(bytes));
