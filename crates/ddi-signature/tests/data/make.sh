#!/bin/sh
# Made the files of this folder, with OpenSSL 3.0. The keys are thrown away, so a second run makes other files:
# all of them, together. `flips.txt` is then what the test that reads it says it should be.
set -eu
cd "$(dirname "$0")"
rm -f ./*.crt ./*.p7s ./*.sig
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT

# the text that is signed: a root hash in hex without end of line (SHA-256 of "ddi", SHA-512 of "ddi")
text=$keys/text
printf %s "$(printf ddi | sha256sum | cut -d' ' -f1)" > "$text"
text512=$keys/text512
printf %s "$(printf ddi | sha512sum | cut -d' ' -f1)" > "$text512"

key() { # name, serial, options of openssl genpkey
    name=$1 serial=$2
    shift 2
    openssl genpkey "$@" -out "$keys/$name.key" 2>/dev/null
    openssl req -x509 -new -key "$keys/$name.key" -subj "/O=ddi/CN=$name" -set_serial "$serial" -days 3650 \
        -addext basicConstraints=critical,CA:FALSE -out "$name.crt"
}
key rsa2048 0x0123456789abcdef -algorithm RSA -pkeyopt rsa_keygen_bits:2048
key rsa3072 2 -algorithm RSA -pkeyopt rsa_keygen_bits:3072
key rsa4096 3 -algorithm RSA -pkeyopt rsa_keygen_bits:4096
key rsa1024 4 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
key p256 0xff00 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
key p384 6 -algorithm EC -pkeyopt ec_paramgen_curve:P-384
key p384-other 8 -algorithm EC -pkeyopt ec_paramgen_curve:P-384
key p521 7 -algorithm EC -pkeyopt ec_paramgen_curve:P-521

# a key whose certificate has expired
openssl req -new -key "$keys/p256.key" -subj "/O=ddi/CN=expired" -out "$keys/expired.csr"
openssl x509 -req -in "$keys/expired.csr" -signkey "$keys/p256.key" -set_serial 9 -days -1 -out expired.crt 2>/dev/null

# other keys under the same issuer and serial number as rsa2048
twin() { # name, options of openssl genpkey
    name=$1
    shift
    openssl genpkey "$@" -out "$keys/$name.key" 2>/dev/null
    openssl req -x509 -new -key "$keys/$name.key" -subj "/O=ddi/CN=rsa2048" -set_serial 0x0123456789abcdef \
        -days 3650 -out "$name.crt"
}
twin twin-rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
twin twin-p256 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
twin twin-ed25519 -algorithm ED25519

smime() { # output, signer, options
    out=$1 signer=$2
    shift 2
    openssl smime -sign -in "$text" -signer "$signer.crt" -inkey "$keys/${KEY:-$signer}.key" -binary -outform der \
        -out "$out.p7s" "$@"
}
cms() {
    out=$1 signer=$2
    shift 2
    openssl cms -sign -in "$text" -signer "$signer.crt" -inkey "$keys/$signer.key" -binary -outform der \
        -out "$out.p7s" "$@"
}

# as the systemd documentation makes them, for each key
for name in rsa2048 rsa3072 rsa4096 rsa1024 p256 p384 p521; do
    smime $name $name -nocerts -noattr
done
KEY=p256 smime expired expired -nocerts -noattr
smime rsa3072-sha384 rsa3072 -nocerts -noattr -md sha384
smime rsa4096-sha512 rsa4096 -nocerts -noattr -md sha512
smime p256-sha384 p256 -nocerts -noattr -md sha384
smime p256-sha512 p256 -nocerts -noattr -md sha512
smime p384-sha384 p384 -nocerts -noattr -md sha384
smime p384-sha512 p384-other -nocerts -noattr -md sha512
text=$text512 smime root512 rsa2048 -nocerts -noattr

# with authenticated attributes, with the certificate (as systemd-repart does), with both
smime rsa2048-attributes rsa2048 -nocerts
smime p256-attributes p256 -nocerts
smime p384-attributes p384 -nocerts -md sha384
smime rsa2048-certificate rsa2048 -noattr
smime p256-certificate p256 -noattr
smime rsa2048-both rsa2048
smime rsa2048-other-certificate rsa2048 -noattr -nocerts -certfile p256.crt
openssl smime -sign -in "$text" -signer rsa2048.crt -inkey "$keys/rsa2048.key" -binary -outform der -noattr \
    -certfile p256.crt -out rsa2048-certificates.p7s
# by the CMS command, which leaves out NULL parameters
cms rsa2048-cms rsa2048 -nocerts -noattr
cms p256-cms-attributes p256 -nocerts

# not taken
smime sha1 rsa2048 -nocerts -noattr -md sha1
smime md5 rsa2048 -nocerts -noattr -md md5
smime sha224 rsa2048 -nocerts -noattr -md sha224
smime attached rsa2048 -nocerts -noattr -nodetach
smime two-signers rsa2048 -nocerts -noattr -signer p256.crt -inkey "$keys/p256.key"
cms key-identifier rsa2048 -nocerts -noattr -keyid
cms pss rsa2048 -nocerts -noattr -keyopt rsa_padding_mode:pss

# RSA signatures over the right digest in the wrong dress: without the NULL, with SHA-1's name, with bytes behind
digest=$(sha256sum < "$text" | cut -d' ' -f1)
raw() { # output, hex of what PKCS#1 v1.5 pads
    printf %s "$2" | xxd -r -p | openssl pkeyutl -sign -inkey "$keys/rsa2048.key" -out "$1.sig"
}
raw right 3031300d060960864801650304020105000420"$digest"
raw absent-null 302f300b06096086480165030402010420"$digest"
raw other-name 3031300d060960864801650304020305000420"$digest"
raw bytes-behind 3031300d060960864801650304020105000420"$digest"00
raw bare-digest "$digest"
