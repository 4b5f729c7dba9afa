#!/bin/sh
# CBOR::XS for Perl reads integers below -2^63 as other numbers, most of them positive.
#
# RFC 8949, section 3: the value of major type 1 is -1 - n, so 3b8000000000000000 is -9223372036854775809, and appendix A has
# 3bffffffffffffffff as -18446744073709551616. Seen with pkg:cpan/CBOR-XS@1.86 (Debian 12, libcbor-xs-perl 1.86-1+b2) and Perl 5.36,
# built with 64-bit integers: 9223372036854775807 and 0, without an error. Integers from 2^63 to 2^64-1 are read as they are,
# and positive bignums as Math::BigInt. So a peer must not send such an integer to Perl.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
packages="libcbor-xs-perl=1.86-1+b2 libcommon-sense-perl libtypes-serialiser-perl"
if ! apt-get download $packages >log 2>&1; then
  echo "Cannot run: needs the packages of Debian 12: $packages" >&2
  exit 2
fi
for package in *.deb; do dpkg -x "$package" .; done
cat > integer.pl <<'PERL'
use CBOR::XS;
print join(" ", map CBOR::XS->new->decode(pack "H*", $_), "3b8000000000000000", "3bffffffffffffffff", "1bffffffffffffffff"), "\n";
PERL
include=$(for folder in usr/lib/*/perl5/* usr/share/perl5; do printf ' -I%s' "$folder"; done)
seen=$(perl $include integer.pl)
echo "CBOR::XS 1.86: $seen"
[ "$seen" = "9223372036854775807 0 18446744073709551615" ]
