# Sourced: certificates for judges. One authority is made for a run, in $AUTHORITY, and dies with the run's directory; `trust` has all
# that is started after it trust that authority and no other, and has our servers show the certificate that it has signed.
certificate_kinds='[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[bearer]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = ${ENV::alternative}'
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

# A root called so: NAME.pem and NAME.key, here.
authority() { # NAME
  alternative='' openssl req -x509 "${new_key[@]}" -days 2 -config <(echo "$certificate_kinds") -extensions authority \
    -subj "/CN=$1" -keyout "$1.key" -out "$1.pem" 2>/dev/null
}

# A certificate by an authority that is here, for servers and clients: NAME.pem and NAME.key.
signed() { # AUTHORITY NAME ALTERNATIVE-NAMES
  alternative=$3 openssl req "${new_key[@]}" -config <(echo "$certificate_kinds") -subj "/CN=$2" -keyout "$2.key" 2>/dev/null |
    alternative=$3 openssl x509 -req -CA "$1.pem" -CAkey "$1.key" -days 2 -extfile <(echo "$certificate_kinds") -extensions bearer \
      -out "$2.pem" 2>/dev/null
}

# A certificate that nobody but its bearer has signed.
self_signed() { # NAME
  openssl req -x509 "${new_key[@]}" -days 2 -subj "/CN=$1" -keyout "$1.key" -out "$1.pem" 2>/dev/null
}

# The authority of a run, and what servers on this machine show.
run_authority() { # DIRECTORY
  export AUTHORITY=$1
  mkdir -p "$AUTHORITY/nothing"
  (cd "$AUTHORITY" && authority ca && signed ca server IP:127.0.0.1,DNS:localhost)
}

# To be called when all is installed, because registries are known by other authorities, and in the judge's own directory: who is run
# alone makes an authority there.
trust() {
  [ -n "${AUTHORITY:-}" ] || run_authority "$PWD/authority"
  # OpenSSL, and so Python; Go; rustls. Node has its own list, unless it is told to take OpenSSL's.
  export SSL_CERT_FILE=$AUTHORITY/ca.pem SSL_CERT_DIR=$AUTHORITY/nothing NODE_OPTIONS=--use-openssl-ca
  unset NODE_EXTRA_CA_CERTS
  export REQUESTS_CA_BUNDLE=$AUTHORITY/ca.pem CURL_CA_BUNDLE=$AUTHORITY/ca.pem
  export BAILIWICK_TLS_CERT=$AUTHORITY/server.pem BAILIWICK_TLS_KEY=$AUTHORITY/server.key
  export BAILIWICK_OUTGOING_AUTHORITIES=$AUTHORITY/ca.pem BAILIWICK_SERVER_CA=$AUTHORITY/ca.pem
}
