//! Feeds `checks::otlp_bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::otlp_bodies::check(bytes));
