#!/bin/bash
# Publishes the list of images, all or none, and shows how far it is.
set -euo pipefail

directory=$RUNNER_TEMP/prereleasefs/mnt/$DIRECTORY
mkdir -p "$directory"
printf '%s\n' "$IMAGES" >"$RUNNER_TEMP/prereleasefs/images.ref"
# Of what is printed nothing may be taken for a command of GitHub's.
stop=$(head -c 16 /proc/sys/kernel/random/uuid | tr -d -)
echo "::stop-commands::$stop"
status=0
prereleasefs-progress "$directory" cp "$RUNNER_TEMP/prereleasefs/images.ref" "$directory/" || status=$?
echo "::$stop::"
[[ $status == 0 ]] || echo "::error::prereleasefs: nothing was published; the lines above say why"
exit "$status"
