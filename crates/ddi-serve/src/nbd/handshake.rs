//! From the greeting to GO: which export, and how replies look.

use std::io;

use super::input::Input;
use super::wire::{self, Fields, info, opt, rep};
use super::{MAX_NAME, MAX_READ};
use crate::export::Export;
use crate::server::Shared;

/// Longest data of an option. Names have at most 4,096 bytes, and a client asks for few contexts.
const MAX_OPTION: usize = 64 << 10;
/// Options of one client. Whoever asks for more only keeps us busy.
const MAX_OPTIONS: usize = 64;
/// Metadata contexts that one option asks for.
const MAX_QUERIES: u32 = 256;

/// What was agreed upon.
#[derive(Debug, Clone)]
pub(super) struct Agreed {
    pub(super) export: Export,
    /// Replies in chunks.
    pub(super) structured: bool,
    /// `base:allocation` may be asked for.
    pub(super) allocation: bool,
}

/// State of one handshake.
struct Handshake<'s> {
    exports: &'s [Export],
    structured: bool,
    /// The export for which `base:allocation` was chosen, by its place in the list.
    allocation: Option<usize>,
    no_zeroes: bool,
}

/// What comes of one option.
enum Step {
    /// Replies to be sent, then the next option.
    Reply(Vec<u8>),
    /// The same, and then transmission.
    Go(Vec<u8>, usize),
    /// The same, and then the end.
    Close(Vec<u8>),
}

/// `None`: the client wants nothing, or did not keep to the protocol.
pub(super) fn shake(shared: &Shared, input: &mut Input<'_>) -> io::Result<Option<Agreed>> {
    let link = input.link();
    input.within(Some(shared.options.handshake_time))?;
    link.set_write_timeout(Some(shared.options.handshake_time))?;
    let mut greeting = wire::GREETING.to_be_bytes().to_vec();
    greeting.extend(wire::OPTION.to_be_bytes());
    greeting.extend((wire::FIXED_NEWSTYLE | wire::NO_ZEROES).to_be_bytes());
    link.write_all(&greeting)?;

    let flags = u32::from_be_bytes(input.array()?);
    // nobody offered the others, and what they would change in what follows is not known
    if flags & !u32::from(wire::FIXED_NEWSTYLE | wire::NO_ZEROES) != 0 {
        return Ok(None);
    }
    let no_zeroes = flags & u32::from(wire::NO_ZEROES) != 0;
    let mut state = Handshake { exports: &shared.exports, structured: false, allocation: None, no_zeroes };
    for _ in 0..MAX_OPTIONS {
        let mut header = [0; 16];
        input.read_exact(&mut header)?;
        let mut fields = Fields(&header);
        let (Some(wire::OPTION), Some(option), Some(length)) = (fields.u64(), fields.u32(), fields.u32())
        else {
            return Ok(None);
        };
        // no reply: the next option comes only behind all of this data, which nobody is to read
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= MAX_OPTION) else {
            return Ok(None);
        };
        let mut data = vec![0; length];
        input.read_exact(&mut data)?;
        match state.option(option, &data) {
            Step::Reply(bytes) => link.write_all(&bytes)?,
            Step::Close(bytes) => {
                link.write_all(&bytes)?;
                return Ok(None);
            }
            Step::Go(bytes, index) => {
                link.write_all(&bytes)?;
                let export = shared.exports.get(index).cloned();
                return Ok(export.map(|export| Agreed {
                    export,
                    structured: state.structured,
                    // a context holds for the export that it was chosen for, and is told in chunks alone
                    allocation: state.structured && state.allocation == Some(index),
                }));
            }
        }
    }
    Ok(None)
}

impl Handshake<'_> {
    fn option(&mut self, option: u32, data: &[u8]) -> Step {
        let mut out = Vec::new();
        match option {
            // has no way to say that something is wrong
            opt::EXPORT_NAME => match self.find(data) {
                Some((index, export)) => {
                    out.extend(export.size().to_be_bytes());
                    out.extend(transmission_flags().to_be_bytes());
                    if !self.no_zeroes {
                        out.extend([0; 124]);
                    }
                    return Step::Go(out, index);
                }
                None => return Step::Close(out),
            },
            opt::ABORT => {
                reply(&mut out, option, rep::ACK, &[]);
                return Step::Close(out);
            }
            opt::LIST if data.is_empty() => {
                for export in self.exports {
                    let mut text = Vec::new();
                    push_text(&mut text, export.name.as_bytes());
                    text.extend(export.description.as_bytes());
                    reply(&mut out, option, rep::SERVER, &text);
                }
                reply(&mut out, option, rep::ACK, &[]);
            }
            opt::INFO | opt::GO => match parse_info(data) {
                None => refuse(&mut out, option, rep::ERR_INVALID, "this is malformed"),
                Some((name, wanted)) => match self.find(name) {
                    None => refuse(&mut out, option, rep::ERR_UNKNOWN, "there is no export of that name"),
                    Some((index, export)) => {
                        describe(&mut out, option, export, &wanted);
                        reply(&mut out, option, rep::ACK, &[]);
                        if option == opt::GO {
                            return Step::Go(out, index);
                        }
                    }
                },
            },
            opt::STRUCTURED_REPLY if data.is_empty() => {
                self.structured = true;
                reply(&mut out, option, rep::ACK, &[]);
            }
            opt::LIST_META_CONTEXT | opt::SET_META_CONTEXT if self.structured => {
                self.contexts(&mut out, option, data);
            }
            opt::LIST | opt::STRUCTURED_REPLY | opt::LIST_META_CONTEXT | opt::SET_META_CONTEXT => {
                refuse(&mut out, option, rep::ERR_INVALID, "not like this, or not yet");
            }
            _ => refuse(&mut out, option, rep::ERR_UNSUP, "this option is not known here"),
        }
        Step::Reply(out)
    }

    /// By its name. The empty one is that of the only export, or of the first one.
    fn find(&self, name: &[u8]) -> Option<(usize, &Export)> {
        let named = self.exports.iter().position(|export| export.name.as_bytes() == name);
        let index = named.or_else(|| name.is_empty().then_some(0))?;
        Some((index, self.exports.get(index)?))
    }

    fn contexts(&mut self, out: &mut Vec<u8>, option: u32, data: &[u8]) {
        let is_set = option == opt::SET_META_CONTEXT;
        if is_set {
            // whatever comes of it, what was chosen before is chosen no longer
            self.allocation = None;
        }
        let Some((name, queries)) = parse_contexts(data) else {
            return refuse(out, option, rep::ERR_INVALID, "this is malformed");
        };
        let Some((index, _)) = self.find(name) else {
            return refuse(out, option, rep::ERR_UNKNOWN, "there is no export of that name");
        };
        let lists = |query: &&[u8]| !is_set && **query == *b"base:";
        if queries.iter().any(|query| *query == wire::ALLOCATION || lists(query))
            || !is_set && queries.is_empty()
        {
            let mut context = if is_set { wire::ALLOCATION_ID } else { 0 }.to_be_bytes().to_vec();
            context.extend(wire::ALLOCATION);
            reply(out, option, rep::META_CONTEXT, &context);
            if is_set {
                self.allocation = Some(index);
            }
        }
        reply(out, option, rep::ACK, &[]);
    }
}

fn transmission_flags() -> u16 {
    wire::HAS_FLAGS | wire::READ_ONLY | wire::SEND_DF | wire::CAN_MULTI_CONN
}

/// What is known of an export: its size always, the rest if it is asked for.
fn describe(out: &mut Vec<u8>, option: u32, export: &Export, wanted: &[u16]) {
    let mut size = info::EXPORT.to_be_bytes().to_vec();
    size.extend(export.size().to_be_bytes());
    size.extend(transmission_flags().to_be_bytes());
    reply(out, option, rep::INFO, &size);

    let mut sizes = info::BLOCK_SIZE.to_be_bytes().to_vec();
    for size in [1, export.block_size, MAX_READ] {
        sizes.extend(size.to_be_bytes());
    }
    reply(out, option, rep::INFO, &sizes);

    for (kind, text) in [(info::NAME, &export.name), (info::DESCRIPTION, &export.description)] {
        if wanted.contains(&kind) {
            let mut told = kind.to_be_bytes().to_vec();
            told.extend(text.as_bytes());
            reply(out, option, rep::INFO, &told);
        }
    }
}

/// The name, and which pieces of information are wanted.
fn parse_info(data: &[u8]) -> Option<(&[u8], Vec<u16>)> {
    let mut fields = Fields(data);
    let name = fields.text().filter(|name| name.len() <= MAX_NAME)?;
    let count = fields.u16()?;
    let wanted: Option<Vec<u16>> = (0..count).map(|_| fields.u16()).collect();
    fields.is_empty().then_some((name, wanted?))
}

/// The name, and the queries.
fn parse_contexts(data: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let mut fields = Fields(data);
    let name = fields.text().filter(|name| name.len() <= MAX_NAME)?;
    let count = fields.u32().filter(|count| *count <= MAX_QUERIES)?;
    let queries: Option<Vec<&[u8]>> = (0..count).map(|_| fields.text()).collect();
    fields.is_empty().then_some((name, queries?))
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(text);
}

fn reply(out: &mut Vec<u8>, option: u32, kind: u32, data: &[u8]) {
    out.extend(wire::OPTION_REPLY.to_be_bytes());
    out.extend(option.to_be_bytes());
    out.extend(kind.to_be_bytes());
    push_text(out, data);
}

fn refuse(out: &mut Vec<u8>, option: u32, kind: u32, why: &str) {
    reply(out, option, kind, why.as_bytes());
}
