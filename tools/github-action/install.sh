#!/bin/bash
# Installs the program: from a package, or built from the sources that this action is part of.
set -euo pipefail

if [[ $PACKAGE == none ]]; then
    prereleasefs -V
    exit 0
fi
as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }
if [[ -z $PACKAGE ]]; then
    source=$(cd "$GITHUB_ACTION_PATH/../.." && pwd)
    "$source/tools/install-deps" build
    meson setup "$RUNNER_TEMP/prereleasefs-build" "$source" --buildtype=release -Dtests=false --prefix=/usr >/dev/null
    ninja -C "$RUNNER_TEMP/prereleasefs-build" --quiet
    as_root meson install -C "$RUNNER_TEMP/prereleasefs-build" --no-rebuild --quiet
else
    as_root apt-get install -q -y --no-install-recommends "$(realpath "$PACKAGE")"
fi
prereleasefs -V
