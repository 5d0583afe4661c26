#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ddi_fuzz::parity(input));
