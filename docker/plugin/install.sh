#!/bin/sh
# Runs in a build stage. `MAKES` says what is made there: the plugin's own `code`, which is all
# here; that of its `package`, which is got and unpacked by pip; or what it `needs`.
set -eu
. /recipe/archives.sh

open_tools() { # package...
  open_archives
  unpack_packages "$@"
  trust_host
  # The environment's own pip, for this recipe and for a plugin's set-up. It is unpacked, so that
  # Python compiles it once and not at each start.
  /opt/tether/bin/python3 -m zipfile -e /usr/share/python-wheels/pip-*.whl /recipe/pip
  cat >/usr/local/bin/pip <<'PIP'
#!/bin/sh
exec env PYTHONPATH=/recipe/pip /opt/tether/bin/python3 -m pip "$@"
PIP
  chmod +x /usr/local/bin/pip
  [ ! -s /host/pip.conf ] || export PIP_CONFIG_FILE=/host/pip.conf
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
  export PIP_PROGRESS_BAR=off PIP_NO_COMPILE=1 PIP_NO_INPUT=1
}

case $MAKES in
  code) program=package ;;
  package) open_tools python3-pip-whl; program=package ;;
  needs) open_tools patchelf python3-pip-whl; program=needs ;;
esac
mkdir -p /recipe/told /opt/tether/plugins
exec env PYTHONPATH=/recipe:/recipe/pip /opt/tether/bin/python3 -B "/recipe/$program.py"
