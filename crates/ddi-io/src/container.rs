//! Formats of virtual machines and phones that hold a disk image: recognised, to be named, and not read.

use core::fmt;

/// A file that is not the bytes of a disk, but says where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// QEMU's qcow, any version.
    Qcow,
    /// QEMU's QED.
    Qed,
    /// Microsoft's VHD, dynamic or differencing. A fixed one is the bytes of the disk, and a footer.
    Vhd,
    /// Microsoft's VHDX.
    Vhdx,
    /// VMware's VMDK: a sparse extent, or the text that describes extents.
    Vmdk,
    /// VirtualBox's VDI.
    Vdi,
    /// Android's sparse image, as `fastboot` takes it.
    AndroidSparse,
}

impl Container {
    /// How many of its first bytes tell.
    pub const MAGIC_SIZE: usize = 68;

    /// By the first bytes of a file. Nothing keeps a disk from beginning with the same ones, so that this is asked only where no
    /// partition table that can be used and no file system is found.
    pub fn of(start: &[u8]) -> Option<Self> {
        let vdi = start.get(64..68);
        match start {
            [b'Q', b'F', b'I', 0xfb, ..] => Some(Container::Qcow),
            [b'Q', b'E', b'D', 0, ..] => Some(Container::Qed),
            [b'K', b'D', b'M', b'V', ..] | [b'C', b'O', b'W', b'D', ..] => Some(Container::Vmdk),
            // sparse_format.h of libsparse: magic, and version 1.0
            [0x3a, 0xff, 0x26, 0xed, 1, 0, ..] => Some(Container::AndroidSparse),
            _ if start.starts_with(b"conectix") => Some(Container::Vhd),
            _ if start.starts_with(b"vhdxfile") => Some(Container::Vhdx),
            _ if start.starts_with(b"# Disk DescriptorFile") => Some(Container::Vmdk),
            _ if vdi == Some(&[0x7f, 0x10, 0xda, 0xbe]) => Some(Container::Vdi),
            _ => None,
        }
    }

    /// The name of the format, as its tools have it.
    pub fn name(self) -> &'static str {
        match self {
            Container::Qcow => "qcow2",
            Container::Qed => "qed",
            Container::Vhd => "VHD",
            Container::Vhdx => "VHDX",
            Container::Vmdk => "VMDK",
            Container::Vdi => "VDI",
            Container::AndroidSparse => "Android sparse",
        }
    }

    /// The command that makes the bytes of the disk of it.
    pub fn conversion(self) -> &'static str {
        match self {
            Container::AndroidSparse => "simg2img IMAGE DISK",
            _ => "qemu-img convert -O raw IMAGE DISK",
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_first_bytes() {
        let mut vdi = [0; Container::MAGIC_SIZE];
        vdi[64..].copy_from_slice(&[0x7f, 0x10, 0xda, 0xbe]);
        for (start, expected) in [
            (&b"QFI\xfb\0\0\0\x03"[..], Some(Container::Qcow)),
            (b"QED\0", Some(Container::Qed)),
            (b"conectix", Some(Container::Vhd)),
            (b"vhdxfile", Some(Container::Vhdx)),
            (b"KDMV\x01", Some(Container::Vmdk)),
            (b"# Disk DescriptorFile\nversion=1", Some(Container::Vmdk)),
            (&vdi, Some(Container::Vdi)),
            (b"\x3a\xff\x26\xed\x01\0\0\0", Some(Container::AndroidSparse)),
            (b"\x3a\xff\x26\xed\x02\0\0\0", None),
            (&vdi[..67], None),
            (b"QFI", None),
            (b"conecti", None),
            (b"", None),
        ] {
            assert_eq!(Container::of(start), expected, "{start:?}");
            for len in 0..start.len() {
                // whatever is missing, it is no other one
                let found = Container::of(&start[..len]);
                assert!(found.is_none() || found == expected, "{start:?} {len}");
            }
        }
    }
}
