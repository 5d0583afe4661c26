#!/bin/sh
# Made the files of this folder, with OpenSSL 3.0: keys that sign nothing but tests, in each form that is read, and what
# OpenSSL signs with them. `repart.*` are from systemd-repart 257.13: a key, its certificate, and the text of the signature
# partition that it made of them.
set -eu
cd "$(dirname "$0")"
rm -f rsa* p256* p384* p521* ed25519* text
# a root hash
printf %s "$(printf ddi | sha256sum | cut -d' ' -f1)" > text

key() { # name, options of openssl genpkey
    name=$1
    shift
    openssl genpkey "$@" -out "$name.pem" 2>/dev/null
    openssl req -x509 -new -key "$name.pem" -subj "/O=ddi/CN=$name" -days 3650 -out "$name.crt"
    openssl pkcs8 -topk8 -nocrypt -in "$name.pem" -outform der -out "$name.der"
}
for bits in 2048 3072 4096; do key rsa$bits -algorithm RSA -pkeyopt rsa_keygen_bits:$bits; done
# not a multiple of 64 or of 8 bits
key rsa2060 -algorithm RSA -pkeyopt rsa_keygen_bits:2060
key rsa1024 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
key rsa3primes -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_primes:3
key p256 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
key p384 -algorithm EC -pkeyopt ec_paramgen_curve:P-384
key p521 -algorithm EC -pkeyopt ec_paramgen_curve:P-521
key ed25519 -algorithm ED25519
openssl ec -in p256.pem -conv_form compressed -out p256-compressed.pem 2>/dev/null
openssl req -x509 -new -key p256-compressed.pem -subj "/O=ddi/CN=compressed" -days 3650 -out p256-compressed.crt

# the forms before PKCS#8; that of curves has its parameters in front
openssl rsa -in rsa2048.pem -traditional -out rsa2048-traditional.pem 2>/dev/null
openssl rsa -in rsa2048.pem -traditional -aes128 -passout pass:secret -out rsa2048-encrypted-pem.pem 2>/dev/null
{
    openssl ecparam -name prime256v1
    openssl pkey -in p256.pem -traditional
} > p256-traditional.pem
openssl pkey -in p384.pem -traditional -outform der -out p384-traditional.der
cat rsa2048.crt rsa2048.pem > rsa2048-both.pem

# encrypted, with the passphrase "secret"
encrypt() { # output, options
    out=$1
    shift
    openssl pkcs8 -topk8 -in rsa2048.pem -passout pass:secret -out "rsa2048-$out.pem" "$@" 2>/dev/null
}
encrypt aes256 -v2 aes-256-cbc
encrypt aes128 -v2 aes-128-cbc -v2prf hmacWithSHA512
encrypt scrypt -scrypt -scrypt_N 1024
encrypt des3 -v2 des3
encrypt pbes1 -v1 PBE-SHA1-3DES
openssl pkcs8 -topk8 -in p256.pem -passout pass:secret -outform der -out p256-aes256.der

for name in rsa2048 rsa3072 rsa4096 rsa2060; do
    sign="openssl smime -sign -binary -noattr -in text -inkey $name.pem -signer $name.crt -outform der"
    $sign -nocerts -out $name.p7s
    $sign -out $name-certificate.p7s
done
# with one that is long enough to be found in memory
openssl pkcs8 -topk8 -in rsa2048.pem -passout "pass:correct horse battery staple, 5f1c9a" -out rsa2048-long.pem
openssl pkcs8 -topk8 -in p256.pem -passout "pass:correct horse battery staple, 5f1c9a" -out p256-long.pem
