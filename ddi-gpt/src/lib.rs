//! GUID partition tables.
#![no_std]
#![forbid(unsafe_code)]
