#!/bin/bash
# What is inside a signed image of 1 GiB: ddi inspect with the signer's certificate beside systemd-dissect, in turns.
#
#   benches/inside.sh TREE [DDI]    TREE: a directory with a system in it (/usr/lib/os-release …)
#
# The root file system is erofs, uncompressed, filled up with random bytes to 1 GiB, signed as systemd-repart does it. Prints median
# and range of the wall time in ms, the largest RSS in KiB, and from strace the bytes that are read from the image. Blocks
# that are hashed: at most those that are read from the data and the hash partition, which are printed too.
# Needs root, systemd-container (systemd-dissect), sfdisk, mkfs.erofs, openssl, strace, python3, GNU time.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
tree=$1
ddi=$(realpath "${2:-target/release/ddi}")
t=$(mktemp -d "${TMPDIR:-/var/tmp}/ddi-inside.XXXXXX")
trap 'rm -rf "$t"' EXIT

mkdir "$t/tree"
cp -a "$tree/." "$t/tree"
rm -rf "$t/tree"/{proc,sys,dev,run}/*
have=$(du -s --block-size=1 --apparent-size "$t/tree" | cut -f 1)
head -c $((1024 * 1024 * 1024 - have)) /dev/urandom >"$t/tree/filler"
echo "$(find "$t/tree" | wc -l) files"
mkfs.erofs --quiet "$t/fs" "$t/tree" >/dev/null
rm -rf "$t/tree"
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=bench -keyout "$t/key.pem" -out "$t/cert.pem" 2>/dev/null
"$ddi" verity format "$t/fs" "$t/hash" --root-hash-file "$t/root" >/dev/null
root=$(cat "$t/root")
signature=$(printf %s "$root" | openssl smime -sign -nocerts -noattr -binary -inkey "$t/key.pem" -signer "$t/cert.pem" -outform der | base64 -w0)
printf '{"rootHash":"%s","signature":"%s"}' "$root" "$signature" >"$t/sig"
mib() { echo $((($(stat -c %s "$1") + 1048575) / 1048576)); }
uuid() { sed 's/\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)/\1-\2-\3-\4-/' <<<"$1"; }
data=$(stat -c %s "$t/fs") hash=$(mib "$t/hash")
truncate -s $((data + (hash + 4) * 1048576)) "$t/image.raw"
sfdisk -q "$t/image.raw" <<END1
label: gpt
start=2048, size=$((data / 512)), type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, uuid=$(uuid "${root:0:32}"), name=root_1
size=${hash}M, type=2c7357ed-ebd2-46d9-aec1-23d437ec2bf5, uuid=$(uuid "${root:32}"), name=root_1
size=16K, type=41092b05-9fc8-4523-994f-2def0408b176, name=root_1
END1
start() { sfdisk --json "$t/image.raw" | python3 -c "import json, sys; print(json.load(sys.stdin)['partitiontable']['partitions'][$1]['start'] * 512)"; }
for part in 0:fs 1:hash 2:sig; do
    dd if="$t/${part#*:}" of="$t/image.raw" bs=1M seek="$(start "${part%:*}")" oflag=seek_bytes conv=notrunc status=none
done
rm "$t/fs"
"$ddi" verify "$t/image.raw" --certificate "$t/cert.pem" >/dev/null

python3 - "$ddi" "$t" <<'END2'
import json, re, statistics, subprocess, sys, time

ddi, folder = sys.argv[1:]
image, certificate = f'{folder}/image.raw', f'{folder}/cert.pem'
peers = {
    'ddi inspect --json': [ddi, 'inspect', '--json', image, '--certificate', certificate],
    'ddi inspect': [ddi, 'inspect', image, '--certificate', certificate],
    'systemd-dissect --json': ['systemd-dissect', '--json=short', image],
    'ddi verify': [ddi, 'verify', image, '--certificate', certificate],
}
answer = json.loads(subprocess.run(peers['ddi inspect --json'], stdout=subprocess.PIPE, check=True).stdout)
print('inside:', answer['inside']['assurance'], next(l for l in answer['osRelease'] if l.startswith('ID=')))
peer = json.loads(subprocess.run(peers['systemd-dissect --json'], stdout=subprocess.PIPE, check=True).stdout)
print('os-release as systemd-dissect has it:', answer['osRelease'] == peer['osRelease'])
times, rss = {name: [] for name in peers}, {}
for turn in range(30):
    for name, argv in peers.items():
        if name == 'ddi verify' and turn >= 5:
            continue
        begin = time.perf_counter()
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times[name].append((time.perf_counter() - begin) * 1000)
for name, argv in peers.items():
    ended = subprocess.run(['/usr/bin/time', '-f', '%M', *argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    rss[name] = int(ended.stderr.split()[-1])
print(f"{'':24}{'median ms':>10}{'min':>8}{'max':>8}{'RSS KiB':>10}")
for name in peers:
    t = times[name]
    print(f'{name:24}{statistics.median(t):10.1f}{min(t):8.1f}{max(t):8.1f}{rss[name]:10}')
ranges = {p['number']: (p['offset'], p['offset'] + p['size']) for p in answer['partitions']}
log = f'{folder}/strace'
subprocess.run(['strace', '-f', '-y', '-e', 'trace=pread64,read', '-o', log, *peers['ddi inspect --json']],
               stdout=subprocess.DEVNULL, check=True)
total, inside = 0, {}
for line in open(log):
    found = re.search(r'pread64\(\d+<[^>]*image\.raw>.*, (\d+), (\d+)\) = (\d+)', line)
    if found:
        offset, size = int(found[2]), int(found[3])
        total += size
        for number, (start, end) in ranges.items():
            if start <= offset < end:
                inside[number] = inside.get(number, 0) + size
print('bytes read from the image:', total)
print('of them by partition:', ', '.join(f'{n}: {b} = {b // 4096} blocks' for n, b in sorted(inside.items())))
END2
