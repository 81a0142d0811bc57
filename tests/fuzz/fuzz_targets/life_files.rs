//! Feeds `checks::life_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::life_files::check(bytes));
