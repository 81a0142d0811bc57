//! Feeds `checks::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::frame::check(bytes));
