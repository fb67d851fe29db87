#!/bin/sh
# The certificates of the test of `llm` over HTTPS: an authority of its own, whose key is thrown
# away, and a server for 127.0.0.1 that it vouches for. Good for a hundred years.
set -e
new="openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
$new -x509 -days 36500 -subj "/CN=noisesearch test authority" -keyout authority.key \
    -addext "keyUsage=critical,keyCertSign" -out authority.pem
$new -subj "/CN=noisesearch test server" -keyout server.key -out server.csr
printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n' >server.ext
openssl x509 -req -days 36500 -in server.csr -CA authority.pem -CAkey authority.key \
    -CAcreateserial -extfile server.ext -out server.pem
rm -f authority.key authority.srl server.csr server.ext
