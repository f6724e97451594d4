#!/bin/sh
# Runs in the build stage: gets what assemble.py gathers, and builds the launcher.
set -eu
. /common/stage.sh

fetch_packages patchelf
install_requirements /recipe/packages
make_launcher /recipe/launcher
assemble /opt/tether
