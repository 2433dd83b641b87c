#!/bin/bash
# The job's summary, and report.html for an artifact: with links only where they stay among those
# who may have them.
set -euo pipefail

directory=$RUNNER_TEMP/prereleasefs/mnt/$DIRECTORY

# A table without links, which whoever sees the job may see.
[[ ! -e $directory/summary.md ]] || cat "$directory/summary.md" >>"$GITHUB_STEP_SUMMARY"

links=yes
if [[ $VISIBILITY != private && $VISIBILITY != internal && $ALLOW_PUBLIC_LINKS != true ]]; then
    links=
    echo "::notice::prereleasefs: this repository is public, so no link is printed or kept: whoever sees one can download. 'allow-public-links: true' shows them all the same"
elif [[ -z $PRESIGN_ROLE && ! -e $directory/report.html ]]; then
    links=
    echo "::notice::prereleasefs: there is no 'presign-role', so there are no links"
fi

if [[ -n $links ]]; then
    cp "$directory/report.html" "$RUNNER_TEMP/prereleasefs/report.html"
    {
        echo "report=$RUNNER_TEMP/prereleasefs/report.html"
        echo "name=$(tr -c 'A-Za-z0-9._\n-' _ <<<"$DIRECTORY")"    # what an artifact may be called
    } >>"$GITHUB_OUTPUT"
fi
