//! PE files made in memory, for the tests here and for those of the command.

/// Machine of x86-64.
pub(crate) const X64: u16 = 0x8664;

/// A PE file to be made: the smallest that firmware would take.
#[derive(Debug, Clone)]
pub(crate) struct PeBuilder {
    pub(crate) machine: u16,
    pub(crate) subsystem: u16,
    pub(crate) certificates: (u32, u32),
    /// Name, content, bytes in memory.
    pub(crate) sections: Vec<(&'static str, Vec<u8>, u32)>,
}

impl PeBuilder {
    pub(crate) fn new() -> Self {
        PeBuilder { machine: X64, subsystem: 10, certificates: (0, 0), sections: Vec::new() }
    }

    pub(crate) fn section(mut self, name: &'static str, content: &[u8]) -> Self {
        self.sections.push((name, content.to_vec(), content.len() as u32));
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let optional_size = 112 + 16 * 8;
        let mut bytes = vec![0; 64];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[60] = 64;
        bytes.extend(b"PE\0\0");
        bytes.extend(self.machine.to_le_bytes());
        bytes.extend((self.sections.len() as u16).to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend((optional_size as u16).to_le_bytes());
        bytes.extend([0x22, 0]);
        let optional = bytes.len();
        bytes.resize(optional + optional_size, 0);
        bytes[optional..][..2].copy_from_slice(&0x20b_u16.to_le_bytes());
        bytes[optional + 68..][..2].copy_from_slice(&self.subsystem.to_le_bytes());
        bytes[optional + 108] = 16;
        bytes[optional + 112 + 4 * 8..][..4].copy_from_slice(&self.certificates.0.to_le_bytes());
        bytes[optional + 112 + 4 * 8 + 4..][..4].copy_from_slice(&self.certificates.1.to_le_bytes());
        let headers = bytes.len() + 40 * self.sections.len();
        let (mut raw, mut address) = (headers.next_multiple_of(512), headers.next_multiple_of(4096));
        let mut content = Vec::new();
        for (name, data, virtual_size) in &self.sections {
            let mut padded = [0; 8];
            padded[..name.len()].copy_from_slice(name.as_bytes());
            bytes.extend(padded);
            let raw_size = data.len().next_multiple_of(512);
            for field in [*virtual_size, address as u32, raw_size as u32, raw as u32] {
                bytes.extend(field.to_le_bytes());
            }
            bytes.extend([0; 16]);
            // what pads the file is not part of a section
            content.extend(data);
            content.resize(content.len() + raw_size - data.len(), b'#');
            raw += raw_size;
            address = (address + *virtual_size as usize).next_multiple_of(4096);
        }
        bytes[optional + 56..][..4].copy_from_slice(&(address as u32).to_le_bytes());
        bytes.resize(headers.next_multiple_of(512), 0);
        bytes.extend(content);
        bytes
    }
}
