//! Partition types of others, by the names that fdisk and gdisk give them: for people, who know names better than GUIDs.

use crate::Guid;

/// Sorted by GUID.
const NAMES: [(u128, &str); 62] = [
    (0x024dee41_33e7_11d3_9d69_0008c781f39f, "MBR partition scheme"),
    (0x21686148_6449_6e6f_744e_656564454649, "BIOS boot"),
    (0x2568845d_2332_4675_bc39_8fa5a4748d15, "Android bootloader"),
    (0x2e0a753d_9e48_43b0_8337_b15192cb1b5e, "ChromeOS reserved"),
    (0x2e54b353_1271_4842_806f_e436d6af6985, "HiFive BBL"),
    (0x37affc90_ef7d_4e96_91c3_2d7ae055b174, "IBM General Parallel Fs"),
    (0x3884dd41_8582_4404_b9a8_e9b84f2df50e, "Container Linux resizable root"),
    (0x38f428e6_d326_425d_9140_6e0ea133647c, "Android system"),
    (0x3cb8e202_3b7e_47dd_8a3c_7ff2a13cfcec, "ChromeOS root fs"),
    (0x3de21764_95bd_54bd_a5c3_4abe786f38a8, "U-Boot boot loader"),
    (0x42465331_3ba3_10f1_802a_4861696b7521, "Haiku BFS"),
    (0x426f6f74_0000_11aa_aa11_00306543ecac, "Apple boot"),
    (0x45b0969e_9b03_4f30_b4c6_b4b80ceff106, "Ceph Journal"),
    (0x4778ed65_bf42_45fa_9c5b_287a1dc4aab1, "Barebox boot loader"),
    (0x48465300_0000_11aa_aa11_00306543ecac, "Apple HFS/HFS+"),
    (0x49a4d17f_93a3_45c1_a0de_f50b2ebe2599, "Android boot"),
    (0x49f48d32_b10e_11dc_b99b_0019d1879648, "NetBSD swap"),
    (0x49f48d5a_b10e_11dc_b99b_0019d1879648, "NetBSD FFS"),
    (0x49f48daa_b10e_11dc_b99b_0019d1879648, "NetBSD RAID"),
    (0x4c616265_6c00_11aa_aa11_00306543ecac, "Apple label"),
    (0x4fbd7e29_9d25_41b8_afd0_062c0ceff05d, "Ceph OSD"),
    (0x516e7cb4_6ecf_11d6_8ff8_00022d09712b, "FreeBSD data"),
    (0x516e7cb5_6ecf_11d6_8ff8_00022d09712b, "FreeBSD swap"),
    (0x516e7cb6_6ecf_11d6_8ff8_00022d09712b, "FreeBSD UFS"),
    (0x516e7cba_6ecf_11d6_8ff8_00022d09712b, "FreeBSD ZFS"),
    (0x52414944_0000_11aa_aa11_00306543ecac, "Apple RAID"),
    (0x53746f72_6167_11aa_aa11_00306543ecac, "Apple Core storage"),
    (0x55465300_0000_11aa_aa11_00306543ecac, "Apple UFS"),
    (0x5808c8aa_7e8f_42e0_85d2_e1e90434cfb3, "Microsoft LDM metadata"),
    (0x5b193300_fc78_40cd_8002_e86c45580b47, "HiFive FSBL"),
    (0x5dfbf5f4_2848_4bac_aa5e_0d9a20b745a6, "Container Linux /usr"),
    (0x6a82cb45_1dd2_11b2_99a6_080020736631, "Solaris boot"),
    (0x6a85cf4d_1dd2_11b2_99a6_080020736631, "Solaris root"),
    (0x6a87c46f_1dd2_11b2_99a6_080020736631, "Solaris swap"),
    (0x6a898cc3_1dd2_11b2_99a6_080020736631, "Solaris /usr & Apple ZFS"),
    (0x6a945a3b_1dd2_11b2_99a6_080020736631, "Solaris reserved 1"),
    (0x7412f7d5_a156_4b13_81dc_867174929325, "ONIE boot"),
    (0x7c3457ef_0000_11aa_aa11_00306543ecac, "Apple APFS"),
    (0x7ffec5c9_2d00_49b7_8941_3ea10a5586b7, "Linux dm-crypt"),
    (0x824cc7a0_36a8_11e3_890a_952519ad3f61, "OpenBSD data"),
    (0x83bd6b9d_7f41_11dc_be0b_001560b84f0f, "FreeBSD boot"),
    (0x8da63339_0007_60c0_c436_083ac8230908, "Linux reserved"),
    (0x9198effc_31c0_11db_8f78_000c2911d1b8, "VMware Reserved"),
    (0x9d275380_40ad_11db_bf97_000c2911d1b8, "VMware Diagnostic"),
    (0x9e1a2d38_c612_4316_aa26_8b49521e5a8b, "PowerPC PReP boot"),
    (0xa19d880f_05fc_4d3b_a006_743f0f84911e, "Linux RAID"),
    (0xaa31e02a_400f_11db_9590_000c2911d1b8, "VMware VMFS"),
    (0xaf9b60a0_1431_4f62_bc68_3311714a69ad, "Microsoft LDM data"),
    (0xc91818f9_8025_47af_89d2_f030d7000c2c, "Plan 9 partition"),
    (0xc95dc21a_df0e_4340_8d7b_26cbfa9a03e0, "Container Linux OEM"),
    (0xca7d7ccb_63ed_4c53_861c_1742536059cc, "Linux LUKS"),
    (0xcab6e88e_abf3_4102_a07a_d4bb9be3c1d3, "ChromeOS firmware"),
    (0xcef5a9ad_73bc_4601_89f3_cdeeeee321a1, "QNX6 file system"),
    (0xd3bfe2de_3daf_11df_ba40_e3a556d89593, "Intel Fast Flash"),
    (0xd4e6e2cd_4469_46f3_b5cb_1bff57afc149, "ONIE config"),
    (0xdc76dda9_5ac1_491c_af42_a82591580c0d, "Android data"),
    (0xde94bba4_06d1_4d40_a16a_bfd50179d6ac, "Windows recovery environment"),
    (0xe3c9e316_0b5c_4db8_817d_f92df00215ae, "Microsoft reserved"),
    (0xe6d6d379_f507_44c2_a23c_238f2a3df928, "Linux LVM"),
    (0xe75caf8f_f680_4cee_afa3_b001e56efc2d, "Microsoft Storage Spaces"),
    (0xebd0a0a2_b9e5_4433_87c0_68b6b72699c7, "Microsoft basic data"),
    (0xfe3a2a5d_4f32_41a7_b725_accc3285a309, "ChromeOS kernel"),
];

pub(super) fn name(guid: Guid) -> Option<&'static str> {
    let at = NAMES.binary_search_by(|(known, _)| known.cmp(&guid.to_u128())).ok()?;
    NAMES.get(at).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartitionType;

    #[test]
    fn f12_well_known_types_of_others_have_names() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0), "sorted, no two alike");
        for (digits, known) in NAMES {
            let guid = Guid::from_u128(digits);
            let found = PartitionType::from_guid(guid);
            assert_eq!((found, found.common_name()), (PartitionType::Unknown(guid), Some(known)));
        }
        for (guid, known) in [
            ("21686148-6449-6e6f-744e-656564454649", Some("BIOS boot")),
            ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", Some("Microsoft basic data")),
            ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c8", None),
            ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", None),
        ] {
            let guid: Guid = guid.parse().unwrap();
            assert_eq!(PartitionType::from_guid(guid).common_name(), known);
        }
    }
}
