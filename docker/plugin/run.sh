#!/bin/sh
# Runs in a build stage: makes a plugin's own code (`package`) or what it needs (`needs`).
set -eu
. /recipe/archives.sh

trust_host
[ ! -s /host/pip.conf ] || export PIP_CONFIG_FILE=/host/pip.conf
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
export PIP_PROGRESS_BAR=off PIP_NO_COMPILE=1 PIP_NO_INPUT=1
exec env PYTHONPATH=/recipe:/recipe/pip /opt/tether/bin/python3 -B "/recipe/$1.py"
