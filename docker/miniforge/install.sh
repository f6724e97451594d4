#!/bin/sh
# Runs in the build stage: gets the installer, lets it make an environment at its final place, and
# adds what the client needs.
set -eu
. /common/stage.sh

prefix=/opt/tether

# Packages for the oldest glibc that images may have, whatever this stage has.
create_environment() {
  set --
  for channel in $CONDA_CHANNEL; do
    set -- "$@" --channel "$channel"
  done
  roots=/recipe/roots.pem
  [ ! -s /host/ca.crt ] || roots=/host/ca.crt
  CONDA_SSL_VERIFY=$roots SSL_CERT_FILE=$roots HOME=/recipe CONDA_OVERRIDE_GLIBC=$GLIBC CONDA_NUMBER_CHANNEL_NOTICES=0 \
    /recipe/miniforge/bin/conda create --yes --quiet --prefix "$prefix" --override-channels "$@" \
    "python=$CONDA_PYTHON"
}

# The options that let pip choose for the environment's Python and the oldest glibc.
install_packages() {
  python=$("$prefix/bin/python3" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  packages=$("$prefix/bin/python3" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  set --
  for minor in $(seq "${GLIBC#*.}" -1 17); do
    set -- "$@" --platform "manylinux_2_${minor}_$(uname -m)"
  done
  install_requirements "$packages" --implementation cp --python-version "$python" \
    "$@" --platform "manylinux2014_$(uname -m)"
}

fetch_packages
python3.11 -I /recipe/download.py "$MINIFORGE_URL" "$MINIFORGE_SHA256" /recipe/miniforge.sh
bash /recipe/miniforge.sh -b -p /recipe/miniforge
create_environment
install_packages
make_launcher /recipe/launcher
assemble "$prefix"
