#!/bin/sh
# Installs the Debian packages that a plugin's set-up needs.
set -eu
. /recipe/archives.sh

install_packages "$@"
trust_host
