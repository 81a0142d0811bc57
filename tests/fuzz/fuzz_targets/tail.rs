//! Feeds `checks::tail`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::tail::check(bytes));
