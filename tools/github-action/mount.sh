#!/bin/bash
# Mounts the bucket; returns when the mount answers, or fails with the program's one line.
set -euo pipefail

mountpoint=$RUNNER_TEMP/prereleasefs/mnt
mkdir -p "$mountpoint"
options=${OPTIONS:-}
[[ -z ${PRESIGN_ROLE:-} ]] || options=presign_role=$PRESIGN_ROLE${options:+,$options}
# What is empty was not given, and must not count as a wrong value.
for variable in AWS_ROLE_ARN AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY; do
    [[ -n ${!variable:-} ]] || unset "$variable"
done
# Keys win over a role wherever AWS's clients look; whoever gave both means the role.
[[ -z ${AWS_ROLE_ARN:-} ]] || unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
if ! said=$(prereleasefs ${options:+-o "$options"} "$BUCKET" "$mountpoint" 2>&1); then
    said=${said//'%'/%25}
    printf '::error::%s\n' "${said//$'\n'/%0A}"
    exit 1
fi
