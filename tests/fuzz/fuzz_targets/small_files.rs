//! Feeds `checks::small_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::small_files::check(bytes));
