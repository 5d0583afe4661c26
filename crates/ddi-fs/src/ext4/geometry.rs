//! Checks that the superblock says of blocks and clusters what Linux asks for.

use super::super::disk::Bytes;
use super::{Error, Ext4, SUPERBLOCK};

const RO_COMPAT_BIGALLOC: u32 = 0x200;

impl Ext4 {
    /// What Linux asks for and reading does not need: `ext4_check_geometry` and `ext4_handle_clustersize` in `fs/ext4/super.c`.
    pub(crate) fn check_geometry(&self) -> Result<(), Error> {
        let bytes = self.disk.metadata_array::<32>(SUPERBLOCK)?;
        let sb = Bytes::new(&bytes, "superblock", SUPERBLOCK);
        let s_first_data_block = sb.le32(0x14)?;
        let s_log_block_size = sb.le32(0x18)?;
        let s_log_cluster_size = sb.le32(0x1c)?;

        let bigalloc = self.feature_ro_compat & RO_COMPAT_BIGALLOC != 0;
        let cluster = if bigalloc {
            (s_log_block_size..=20).contains(&s_log_cluster_size)
        } else {
            s_log_cluster_size == s_log_block_size
        };
        let first = match (bigalloc, s_log_block_size) {
            (false, 0) => s_first_data_block == 1,
            (true, 0) => s_first_data_block <= 1,
            _ => s_first_data_block == 0,
        };
        if cluster && first { Ok(()) } else { Err(Error::corrupt("block and cluster size", SUPERBLOCK)) }
    }
}
