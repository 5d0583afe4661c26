#!/bin/bash
# Makes sample.raw and sample.crt in the folder it is started in: erofs root, verity and signature partition,
# with systemd-repart 257 or newer, mkfs.erofs and openssl. The private key is thrown away.
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

mkdir -p "$t/root/usr/lib" "$t/root/usr/share/doc" "$t/root/etc" "$t/defs"
printf '%s\n' ID=sample 'NAME="Sample OS"' 'PRETTY_NAME="Sample OS 1.0"' VERSION_ID=1.0 >"$t/root/usr/lib/os-release"
ln -s ../usr/lib/os-release "$t/root/etc/os-release"
echo sample >"$t/root/etc/hostname"
seq 17000 | head -c 90000 >"$t/root/usr/share/doc/numbers"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=ddi sample' -days 36500 \
    -keyout "$t/key.pem" -out sample.crt 2>/dev/null

cat >"$t/defs/10-root.conf" <<END
[Partition]
Type=root-x86-64
Label=sample_1.0
Format=erofs
CopyFiles=$t/root:/
Minimize=best
Weight=0
SizeMaxBytes=92K
Verity=data
VerityMatchKey=root
END
cat >"$t/defs/11-verity.conf" <<END
[Partition]
Type=root-x86-64-verity
Label=sample_1.0_verity
Verity=hash
VerityMatchKey=root
Weight=0
SizeMinBytes=8K
SizeMaxBytes=8K
END
cat >"$t/defs/12-sig.conf" <<END
[Partition]
Type=root-x86-64-verity-sig
Label=sample_1.0_sig
Verity=signature
VerityMatchKey=root
END

# a table that starts early, so that the file stays small
rm -f sample.raw
truncate -s 180K sample.raw
printf 'label: gpt\nfirst-lba: 64\nlabel-id: 5a3d1e00-0000-4000-8000-000000000001\n' | sfdisk -q sample.raw
systemd-repart --empty=allow --dry-run=no --definitions="$t/defs" --seed=5a3d1e00-0000-4000-8000-000000000002 \
    --private-key="$t/key.pem" --certificate=sample.crt --json=pretty sample.raw
