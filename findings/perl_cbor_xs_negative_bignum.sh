#!/bin/sh
# CBOR::XS for Perl writes negative bignums as other numbers, and reads them one too high.
#
# RFC 8949, section 3.4.3: the value of a bignum of tag 3 is -1 - n. Its appendix A has -18446744073709551617 as
# c349010000000000000000. Seen with pkg:cpan/CBOR-XS@1.86 (Debian 12, libcbor-xs-perl 1.86-1+b2) and Perl 5.36: that is decoded as
# -18446744073709551616. Math::BigInt->new("-4294967296") should be c344ffffffff, or 3affffffff as an integer. It is encoded
# as c3451100000000, which means -73014444033: the digits are taken from behind the "-0" of "-0x100000000". So a program in
# Perl has to write integers below -2^31 as plain numbers, and negative bignums by hand: CBOR::XS::tag(3, $bytes).
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
cat > bignum.pl <<'PERL'
use CBOR::XS;
use Math::BigInt;
print CBOR::XS->new->decode(pack "H*", "c349010000000000000000"), " ";
print unpack("H*", encode_cbor(Math::BigInt->new("-4294967296"))), "\n";
PERL
include=$(for folder in usr/lib/*/perl5/* usr/share/perl5; do printf ' -I%s' "$folder"; done)
seen=$(perl $include bignum.pl)
echo "CBOR::XS 1.86: $seen"
[ "$seen" = "-18446744073709551616 c3451100000000" ]
