set -eu
# Run in an empty folder with OpenSSL 3.
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1.key"; }
sign() { # name, who signs ("self" = itself), begin, end, extensions...
  name=$1 by=$2 from=$3 to=$4; shift 4
  key "$name"
  openssl req -new -key "$name.key" -subj "/CN=Troodon test $name" -out req.csr
  printf '%s\n' "$@" > ext.cnf
  : > index.txt
  printf '[ca]\ndefault_ca=x\n[x]\nnew_certs_dir=.\ndatabase=index.txt\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > ca.cnf
  if [ "$by" = self ]; then signer="-selfsign -keyfile $name.key"; else signer="-cert $by.pem -keyfile $by.key"; fi
  openssl ca -batch -notext -config ca.cnf $signer -in req.csr -out "$name.pem" -startdate "$from" -enddate "$to" -extfile ext.cnf 2>/dev/null
}
CA="basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign"
LEAF="basicConstraints=critical,CA:FALSE extendedKeyUsage=serverAuth"
sign ca self 20200101000000Z 21200101000000Z $CA
sign other_ca self 20200101000000Z 21200101000000Z $CA
sign server ca 20200101000000Z 21200101000000Z $LEAF subjectAltName=DNS:localhost,IP:127.0.0.1
sign elsewhere ca 20200101000000Z 21200101000000Z $LEAF subjectAltName=DNS:elsewhere.example
sign expired ca 20200101000000Z 20200201000000Z $LEAF subjectAltName=DNS:localhost,IP:127.0.0.1
sign self_signed self 20200101000000Z 21200101000000Z $CA subjectAltName=DNS:localhost,IP:127.0.0.1
rm -f ca.key other_ca.key index.* ca.cnf ext.cnf req.csr ./[0-9A-F]*.pem
