#!/bin/sh
# Gets what stages need that install something.
set -eu
. /recipe/archives.sh

open_archives
unpack_packages patchelf python3-pip-whl
# The environment's own pip, for this recipe and for a plugin's set-up. It is unpacked, so that
# Python compiles it once and not at each start.
/opt/tether/bin/python3 -m zipfile -e /usr/share/python-wheels/pip-*.whl /recipe/pip
cat >/usr/local/bin/pip <<'PIP'
#!/bin/sh
exec env PYTHONPATH=/recipe/pip /opt/tether/bin/python3 -m pip "$@"
PIP
chmod +x /usr/local/bin/pip
rm -r /recipe/archives
