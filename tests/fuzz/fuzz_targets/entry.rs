//! Feeds `checks::entry`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::entry::check(bytes));
