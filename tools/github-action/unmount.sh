#!/bin/bash
# Ends the mount, whatever came before.
set -euo pipefail

mountpoint=$RUNNER_TEMP/prereleasefs/mnt
mountpoint -q "$mountpoint" || exit 0
fusermount3 -u "$mountpoint" || { sleep 2; fusermount3 -u "$mountpoint"; }
