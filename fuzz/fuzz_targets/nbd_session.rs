#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ddi_fuzz::nbd_session(input));
