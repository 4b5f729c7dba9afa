set -eu
# Run in an empty folder with OpenSSL 3.
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1.key"; }
subject=
sign() { # name, who signs ("self" = itself), begin, end, extensions...; $subject is whom it is for, by default the name
  name=$1 by=$2 from=$3 to=$4; shift 4
  key "$name"
  openssl req -new -key "$name.key" -subj "/CN=Troodon test ${subject:-$name}" -out req.csr
  printf '%s\n' "$@" > ext.cnf
  : > index.txt
  printf '[ca]\ndefault_ca=x\n[x]\nnew_certs_dir=.\ndatabase=index.txt\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > ca.cnf
  if [ "$by" = self ]; then signer="-selfsign -keyfile $name.key"; else signer="-cert $by.pem -keyfile $by.key"; fi
  openssl ca -batch -notext -config ca.cnf $signer -in req.csr -out "$name.pem" -startdate "$from" -enddate "$to" -extfile ext.cnf 2>/dev/null
}
FROM=20200101000000Z TO=21200101000000Z
CA="basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign"
LEAF="basicConstraints=critical,CA:FALSE extendedKeyUsage=serverAuth"
HERE=subjectAltName=DNS:localhost,IP:127.0.0.1
sign ca self $FROM $TO $CA
sign other_ca self $FROM $TO $CA
sign server ca $FROM $TO $LEAF $HERE
sign elsewhere ca $FROM $TO $LEAF subjectAltName=DNS:elsewhere.example
sign expired ca 20200101000000Z 20200201000000Z $LEAF $HERE
sign self_signed self $FROM $TO $CA $HERE
# What clients show of themselves, signed by an authority of their own.
SHOWN="basicConstraints=critical,CA:FALSE extendedKeyUsage=clientAuth"
ALICE=subjectAltName=URI:spiffe://example.org/alice,email:alice@example.org
sign client_ca self $FROM $TO $CA
subject=client_ca
sign client_ca_twin self $FROM $TO $CA
subject=
sign client client_ca $FROM $TO $SHOWN $ALICE
sign client_expired client_ca 20200101000000Z 20200201000000Z $SHOWN $ALICE
sign client_early client_ca 21000101000000Z $TO $SHOWN $ALICE
sign client_twin client_ca_twin $FROM $TO $SHOWN $ALICE
sign client_self self $FROM $TO $SHOWN $ALICE
sign client_server client_ca $FROM $TO $LEAF $ALICE
rm -f ca.key other_ca.key client_ca.key client_ca_twin.* index.* ca.cnf ext.cnf req.csr ./[0-9A-F]*.pem
