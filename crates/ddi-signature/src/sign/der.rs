//! Writing DER.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET_OF: u8 = 0x31;
/// `[0]`, holding other values.
pub(super) const CONTEXT_0: u8 = 0xa0;

/// Tag, length, and the parts one after the other.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len().to_be_bytes();
    let digits: Vec<u8> = len.into_iter().skip_while(|&byte| byte == 0).collect();
    let mut der = vec![tag];
    match *digits.as_slice() {
        [] => der.push(0),
        [short @ ..0x80] => der.push(short),
        // as many bytes of length as the low bits say
        _ => {
            der.push(0x80 | u8::try_from(digits.len()).unwrap_or(0x7f));
            der.extend(digits);
        }
    }
    der.extend(content);
    der
}
