# Steps that the build stages of the recipes share. A recipe's install.sh reads this file.
#
# /host has this machine's way to package archives, /common what runtime-build adds to every
# recipe, /recipe the recipe's own files. The stage is thrown away.
# shellcheck shell=sh

export DEBIAN_FRONTEND=noninteractive

# Debian packages and those that they need, as files: they are unpacked, and none of their set-up
# scripts runs. /recipe/roots.pem then has the roots of certificates.
fetch_packages() { # package...
  _use_host_archives
  mkdir -p /recipe/archives/partial
  if ! _apt -o APT::Update::Error-Mode=any -o Acquire::Retries=3 update; then
    echo "recipe: Debian's package archive cannot be had; the lines above say why"
    return 1
  fi
  _apt install --no-install-recommends --download-only \
    bash-static ca-certificates ncurses-base python3-pip-whl python3.11 tcc tzdata "$@"
  # Of musl only the static library and the headers serve, not the compiler that it depends on.
  (cd /recipe/archives && _apt download musl-dev)
  dpkg --no-triggers --force-depends --unpack /recipe/archives/*.deb
  ldconfig
  cat /usr/share/ca-certificates/mozilla/*.crt >/recipe/roots.pem
}

# What the client needs, in the pinned versions.
install_requirements() { # target folder, further options of pip...
  [ ! -s /host/pip.conf ] || export PIP_CONFIG_FILE=/host/pip.conf
  target=$1
  shift
  PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python3.11 -m pip install \
    --disable-pip-version-check --no-cache-dir --no-compile --only-binary=:all: \
    --root-user-action=ignore --quiet --target="$target" \
    --requirement=/common/requirements.txt --constraint=/common/constraints.txt "$@"
}

# The static program that starts the client.
make_launcher() { # file
  include=/usr/include/$(uname -m)-linux-musl
  libc=/usr/lib/$(uname -m)-linux-musl
  tcc -Wall -Werror -nostdinc -I"$include" -nostdlib -static -o "$1" \
    "$libc/crt1.o" "$libc/crti.o" /common/launcher.c "$libc/libc.a" "$libc/crtn.o"
}

# Runs the recipe's last step with what the recipes share in reach.
assemble() { # prefix
  PYTHONPATH=/common python3.11 -B /recipe/assemble.py "$1"
}

_use_host_archives() { # the machine's own way to the archives, where it has one for this suite
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
}

_apt() {
  apt-get -q -y -o Acquire::Languages=none -o APT::Sandbox::User=root \
    -o Dir::Cache::archives=/recipe/archives "$@"
}
