//! Feeds `checks::cursors`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::cursors::check(bytes));
