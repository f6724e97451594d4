#!/bin/sh
# Runs in the build stage: installs what assemble.py gathers, and builds the launcher.
set -eu

export DEBIAN_FRONTEND=noninteractive

# The machine's own way to the archives, where it has one for this suite.
if [ -s /host/apt.conf ]; then
  cp /host/apt.conf /etc/apt/apt.conf.d/00host
fi
if [ -d /host/sources ]; then
  rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
  cp /host/sources/* /etc/apt/sources.list.d/
fi

# Nothing here is kept, so nothing needs documentation or safe writes.
cat >/etc/dpkg/dpkg.cfg.d/build <<'CONF'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
CONF

apt() {
  apt-get -q -y -o Acquire::Languages=none -o APT::Sandbox::User=root \
    -o Dir::Cache::archives=/recipe/archives "$@"
}

# The packages serve as files: they are unpacked, and none of their set-up scripts runs. Of musl
# only the static library and the headers serve, not the compiler that it depends on.
mkdir -p /recipe/archives/partial
apt update
apt install --no-install-recommends --download-only \
  bash-static ca-certificates ncurses-base patchelf python3-pip-whl python3.11 tcc
(cd /recipe/archives && apt download musl-dev)
dpkg --no-triggers --force-depends --unpack /recipe/archives/*.deb
ldconfig
cat /usr/share/ca-certificates/mozilla/*.crt >/recipe/roots.pem

pip=$(echo /usr/share/python-wheels/pip-*.whl)
if [ -s /host/pip.conf ]; then
  export PIP_CONFIG_FILE=/host/pip.conf
fi
PYTHONPATH=$pip python3.11 -m pip install --disable-pip-version-check --no-cache-dir --no-compile \
  --only-binary=:all: --root-user-action=ignore --quiet --target=/recipe/packages \
  --requirement=/recipe/requirements.txt --constraint=/recipe/constraints.txt

include=/usr/include/$(uname -m)-linux-musl
libc=/usr/lib/$(uname -m)-linux-musl
tcc -Wall -Werror -nostdinc -I"$include" -nostdlib -static -o /recipe/launcher \
  "$libc/crt1.o" "$libc/crti.o" /recipe/launcher.c "$libc/libc.a" "$libc/crtn.o"
