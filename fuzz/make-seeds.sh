#!/bin/bash
# Makes the seeds that come from real headers and file systems: see README.md. Needs mkfs of erofs, squashfs, ext4, vfat,
# btrfs and xfs, mtools, gzip, xz, zstd and openssl. Run it in this folder; seeds of other names stay.
set -eu
to=$PWD/seeds
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

mkdir -p t/d t/usr/lib
echo ID=x >t/usr/lib/os-release
printf 'a%.0s' {1..3000} >t/d/a
ln -s ../usr/lib/os-release t/d/l
printf hi >t/s
mkfifo t/p
find t -exec touch -h -d @1700000000 {} +

mkfs.erofs -T0 -U 11111111-1111-1111-1111-111111111111 erofs-plain t >/dev/null 2>&1
mkfs.erofs -T0 -U 11111111-1111-1111-1111-111111111111 -zlz4 erofs-lz4 t >/dev/null 2>&1
for codec in gzip xz zstd lz4 lzo; do
    mksquashfs t squashfs-$codec -comp $codec -noappend -no-progress -quiet -no-xattrs >/dev/null
done
mksquashfs t squashfs-plain -noI -noD -noF -noappend -no-progress -quiet >/dev/null
mkfs.ext4 -q -F -b 1024 -N 32 -O ^has_journal,^resize_inode -d t ext4-extents 128
mkfs.ext4 -q -F -b 1024 -N 32 -I 256 -O ^has_journal,^resize_inode,inline_data -d t ext4-inline 128
mkfs.ext4 -q -F -b 1024 -N 32 -O ^has_journal,^resize_inode,^extents,^64bit -d t ext4-blocks 128
mkfs.vfat -C vfat-12 64 >/dev/null
mkfs.vfat -F 16 -s 1 -C vfat-16 4096 >/dev/null
for image in vfat-*; do
    mcopy -i $image -s t/d/a t/usr t/s ::
done
truncate -s 20M btrfs-mixed
mkfs.btrfs -q -M -n 4096 -m single -d single -r t -f btrfs-mixed >/dev/null
printf '/\n0 0\nd--755 0 0\nd d--755 0 0\na ---644 0 0 t/d/a\n$\nl l--777 0 0 d/a\ns ---644 0 0 t/s\n$\n' >proto
truncate -s 32M xfs-v5 xfs-v4
mkfs.xfs --unsupported -q -f -d size=32m,agcount=1 -p proto xfs-v5
mkfs.xfs --unsupported -q -f -m crc=0 -d size=32m,agcount=1 -p proto xfs-v4
truncate -s 1M swap-page luks-2
mkswap -q swap-page
printf x | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --luks2-metadata-size 16k \
    --luks2-keyslots-size 256k luks-2 - 2>/dev/null || rm luks-2

head -c 3000 /dev/zero | tee >(gzip -n >compressed.gzip) >(xz >compressed.xz) >(zstd -q >compressed.zstd) >compressed.plain
cat t/s t/d/l t/d/a | tee >(gzip -nc >compressed.gzip-two) >(xz -0c >compressed.xz-two) >(zstd -qc >compressed.zstd-two) >/dev/null
sleep 0.2
cat compressed.gzip compressed.gzip-two >compressed.gzip-both
cat compressed.xz compressed.xz-two >compressed.xz-both
cat compressed.zstd compressed.zstd-two >compressed.zstd-both
printf 'BZh91AY&SY' >compressed.bzip2

openssl req -x509 -newkey rsa:1024 -nodes -keyout key -subj '/C=DE/O=Ex ample/CN=b\x1b[31m' -days 3650 -outform der \
    -out certificate.rsa 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout key -subj /CN=c -days 3650 -out certificate.p384 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -subj /CN=c -days 3650 -out crt 2>/dev/null
for how in '-nocerts -noattr' '-nocerts' ''; do
    printf '%064d' 0 | openssl smime -sign -signer crt -inkey key -binary -outform der $how \
        -out "pkcs7.p256$(tr -d ' ' <<<"$how")" 2>/dev/null
done
printf '%064d' 0 | openssl cms -sign -signer crt -inkey key -binary -outform der -keyid -out pkcs7.keyid 2>/dev/null
printf '%064d' 0 | openssl smime -sign -nodetach -signer crt -inkey key -binary -outform der -out pkcs7.attached 2>/dev/null
printf '{"rootHash":"%064d","signature":"MAA=","certificateFingerprint":"%064d"}\0\0\0' 0 1 >signature_json.fingerprint
printf '{"rootHash":"%0128d","a":[{"b":[1,2.5e3,null,true,"\\u0041"]}],"signature":"AAECAw=="}\n' 0 >signature_json.nested
printf '{"rootHash":"00","rootHash":"00"}' >signature_json.twice

printf 'ID=debian\nNAME="Debian \\"GNU\\""\n# comment\nVERSION_ID=\x27 1 2\x27\\\n3\nIMAGE_ID=x \n;c\\\nA=b\\\n c\n' >env_file.many
printf 'SYSEXT_LEVEL=1.0\r\nID="_any"\nX=$`"\\$\\`\\\\"\n' >env_file.quotes
printf 'root=verity+signed:usr=verity+signed+absent:=unused+absent' >policy.verity
printf 'root=verity+signed+encrypted+unprotected+absent+read-only-on+growfs-off:swap=absent:home=open\nroot=ext4+erofs:=ignore' >policy.two
printf '*\n~' >policy.stars
printf 'root=encryptedwithintegrity+btrfs:var=unused:tmp=x:root-verity=unprotected+absent' >policy.unknown
printf '\0%064d' 12 >words.root-hash
printf '\1%032d' 34 >words.salt
printf '\2%s' 44479540-f297-41b2-9af7-d131d5f0458a >words.guid
printf '\3%032d\n' 56 >words.machine-id
printf '\4%s' -a..b-.example.org. >words.hostname
printf '\5%s\0%s\0%s' 1.2~rc1-3 1.2^20 1.2.0-a >words.versions
printf 'a\x1b[31m\\\u202e\u200b\ufeff\ue000\U000e0041\u0085\u00ad b' >escape.marks
printf 'r\0o\0o\0t\0\xd8\x3d\xdc\xff\xdb\0\0' >escape.utf16

CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$OLDPWD/target} cargo run -q --manifest-path "$OLDPWD/Cargo.toml" --example seeds -- "$dir" "$to"
