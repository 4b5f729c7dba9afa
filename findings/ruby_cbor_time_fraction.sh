#!/bin/sh
# The gem cbor for Ruby drops the fraction of a Time when it encodes, though it reads one when it decodes.
#
# RFC 8949, section 3.4.2: the content of tag 1 is an integer or a float, "depending on the application". Seen with
# pkg:gem/cbor@0.5.9.6 (Debian 12, ruby-cbor 0.5.9.6-2+b4) and Ruby 3.1: Time.at(0.5) is encoded as c100, so it is decoded as another
# time, while c1f93800 is decoded as Time.at(0.5). There is no option and no warning. A program has to encode
# CBOR::Tagged.new(1, time.to_f) instead.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
packages="ruby-cbor=0.5.9.6-2+b4"
if ! command -v ruby >/dev/null || ! apt-get download $packages >log 2>&1; then
  echo "Cannot run: needs Ruby 3.1 and the package of Debian 12: $packages" >&2
  exit 2
fi
dpkg -x ./*.deb .
cat > time.rb <<'RUBY'
require "cbor"
half = Time.at(0.5)
written = half.to_cbor
puts [written.unpack1("H*"), CBOR.decode(written) == half, CBOR.decode(["c1f93800"].pack("H*")) == half].join(" ")
RUBY
include=$(for folder in usr/lib/*/rubygems-integration/*/extensions/*/*/cbor-* usr/lib/*/rubygems-integration/*/gems/cbor-*/lib; do
  printf ' -I%s' "$folder"
done)
seen=$(ruby --disable-gems $include time.rb)
echo "cbor 0.5.9.6: $seen"
[ "$seen" = "c100 false true" ]
