//! Reading DER one value at a time, with the place of each fault.
//!
//! Tags and lengths are decoded by the `der` crate, which knows DER alone; what must follow what is said here and
//! in `pkcs7.rs`.

use der::{Decode, ErrorKind, Header, Reader, SliceReader, Tag, TagNumber};

use super::SignatureError;

/// Levels of nesting in a value that is not looked into.
const MAX_DEPTH: u32 = 16;

/// `[number]`, holding other values.
pub(super) const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// One value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) tag: Tag,
    /// Where its tag is in the whole input.
    pub(super) offset: usize,
    /// The bytes after tag and length.
    pub(super) content: &'a [u8],
    /// Tag, length and content.
    pub(super) der: &'a [u8],
}

impl<'a> Value<'a> {
    /// What is inside a constructed value; `structure` is what to call it.
    pub(super) fn open(&self, structure: &'static str) -> Values<'a> {
        let header = self.der.len().saturating_sub(self.content.len());
        Values { rest: self.content, offset: self.offset.saturating_add(header), structure }
    }

    /// Itself, if it has this tag.
    pub(super) fn must_be(
        self,
        tag: Tag,
        structure: &'static str,
        field: &'static str,
    ) -> Result<Self, SignatureError> {
        match self.tag == tag {
            true => Ok(self),
            false => Err(SignatureError::UnexpectedTag { offset: self.offset, structure, field }),
        }
    }

    /// Checks that everything inside is DER, as far as tags and lengths go.
    pub(super) fn check_nested(&self, depth: u32) -> Result<(), SignatureError> {
        if !self.tag.is_constructed() {
            return Ok(());
        }
        if depth >= MAX_DEPTH {
            return Err(SignatureError::DerDepth { offset: self.offset, max: MAX_DEPTH });
        }
        let mut inner = self.open("certificate");
        while let Some(value) = inner.next()? {
            value.check_nested(depth.saturating_add(1))?;
        }
        Ok(())
    }
}

/// Values one after the other.
#[derive(Debug, Clone)]
pub(super) struct Values<'a> {
    rest: &'a [u8],
    /// Where `rest` begins in the whole input.
    offset: usize,
    structure: &'static str,
}

impl<'a> Values<'a> {
    pub(super) fn new(input: &'a [u8], structure: &'static str) -> Self {
        Values { rest: input, offset: 0, structure }
    }

    /// The next value, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Value<'a>>, SignatureError> {
        let offset = self.offset;
        if self.rest.is_empty() {
            return Ok(None);
        }
        let fault = |error: der::Error| match error.kind() {
            ErrorKind::IndefiniteLength => SignatureError::IndefiniteLength { offset },
            ErrorKind::Overlength | ErrorKind::Length { .. } => SignatureError::LengthForm { offset },
            ErrorKind::Incomplete { .. } => SignatureError::Truncated { offset },
            _ => SignatureError::TagForm { offset },
        };
        let truncated = || SignatureError::Truncated { offset };
        let mut reader = SliceReader::new(self.rest).map_err(fault)?;
        let header = Header::decode(&mut reader).map_err(fault)?;
        let start = usize::try_from(reader.position()).map_err(|_| truncated())?;
        let len = usize::try_from(header.length()).map_err(|_| truncated())?;
        let end = start.checked_add(len).ok_or_else(truncated)?;
        let (der, rest) = self.rest.split_at_checked(end).ok_or_else(truncated)?;
        let content = der.get(start..).ok_or_else(truncated)?;
        self.rest = rest;
        self.offset = offset.saturating_add(end);
        Ok(Some(Value { tag: header.tag(), offset, content, der }))
    }

    /// The next value, if it has this tag.
    pub(super) fn optional(&mut self, tag: Tag) -> Result<Option<Value<'a>>, SignatureError> {
        let mut ahead = self.clone();
        match ahead.next()? {
            Some(value) if value.tag == tag => {
                *self = ahead;
                Ok(Some(value))
            }
            _ => Ok(None),
        }
    }

    /// The next value, which must have this tag.
    pub(super) fn expect(&mut self, tag: Tag, field: &'static str) -> Result<Value<'a>, SignatureError> {
        let structure = self.structure;
        match self.next()? {
            Some(value) => value.must_be(tag, structure, field),
            None => Err(SignatureError::MissingField { offset: self.offset, structure, field }),
        }
    }

    /// Nothing may follow.
    pub(super) fn end(self) -> Result<(), SignatureError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(SignatureError::ExtraField { offset: self.offset, structure: self.structure }),
        }
    }

    /// Where the next value would begin.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }
}

/// An INTEGER has at least one byte and none too many.
pub(super) fn check_integer(value: Value<'_>) -> Result<(), SignatureError> {
    match *value.content {
        [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => {
            Err(SignatureError::IntegerForm { offset: value.offset })
        }
        _ => Ok(()),
    }
}

/// Checks the form of an INTEGER; `None` if its value is one, else its low 32 bits.
pub(super) fn not_one(value: Value<'_>) -> Result<Option<u32>, SignatureError> {
    check_integer(value)?;
    match *value.content {
        [1] => Ok(None),
        _ => Ok(Some(value.content.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))),
    }
}
