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

apt-get -q update
apt-get -q -y install --no-install-recommends \
  bash-static ca-certificates ncurses-base patchelf python3-pip-whl python3.11 tcc

pip=$(echo /usr/share/python-wheels/pip-*.whl)
if [ -s /host/pip.conf ]; then
  export PIP_CONFIG_FILE=/host/pip.conf
fi
PYTHONPATH=$pip python3.11 -m pip install --disable-pip-version-check --no-cache-dir --no-compile \
  --only-binary=:all: --root-user-action=ignore --quiet --target=/recipe/packages \
  --requirement=/recipe/requirements.txt --constraint=/recipe/constraints.txt

# Of musl only the static library and the headers serve here, not the compiler it depends on.
cd /recipe
apt-get -q -o APT::Sandbox::User=root download musl-dev
dpkg-deb --extract musl-dev_*.deb /recipe/musl
libc=/recipe/musl/usr/lib/$(uname -m)-linux-musl
tcc -Wall -Werror -nostdinc -I"/recipe/musl/usr/include/$(uname -m)-linux-musl" -nostdlib -static \
  -o launcher "$libc/crt1.o" "$libc/crti.o" launcher.c "$libc/libc.a" "$libc/crtn.o"
