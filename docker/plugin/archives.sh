# Debian's packages for the build stage of a plugin.
# shellcheck shell=sh
. /common/stage.sh

open_archives() {
  _use_host_archives
  mkdir -p /recipe/archives/partial
  if ! _apt -o APT::Update::Error-Mode=any -o Acquire::Retries=3 update; then
    echo "recipe: Debian's package archive cannot be had; the lines above say why"
    return 1
  fi
}

# Tools of this recipe: without what they depend on, which the stage has, and without set-up.
unpack_packages() { # package...
  (cd /recipe/archives && _apt download "$@")
  for package in /recipe/archives/*.deb; do
    dpkg-deb --extract "$package" /
  done
}

# What a plugin's set-up needs is installed as on any Debian.
install_packages() { # package...
  mkdir -p /recipe/archives/partial
  _apt -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
}

# What this machine trusts is trusted in the stage, whatever looks for it there.
trust_host() {
  bundle=/etc/ssl/certs/ca-certificates.crt
  mkdir -p /etc/ssl/certs
  [ -s "$bundle" ] || cat /opt/tether/etc/ssl/cert.pem >"$bundle"
  [ ! -s /host/ca.crt ] || cat /host/ca.crt >>"$bundle"
  export SSL_CERT_FILE=$bundle CURL_CA_BUNDLE=$bundle REQUESTS_CA_BUNDLE=$bundle
  export NODE_EXTRA_CA_CERTS=$bundle
}
