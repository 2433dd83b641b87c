#!/bin/bash
# The job's summary, and report.html for an artifact: with links only where they stay among those
# who may have them.
set -euo pipefail

directory=$RUNNER_TEMP/prereleasefs/mnt/$DIRECTORY

# A table without links, of urls.tsv's other columns; names and references are cells, never markup.
table_without_links() {
    echo '| file | size | sha256 | image | platform |'
    echo '|---|--:|---|---|---|'
    tail -n +2 "$directory/urls.tsv" | cut -f 1,4,5,6,8 | sed 's/[^A-Za-z0-9\t._:@/+= -]/?/g' \
        | awk -F '\t' '{ printf "| `%s` | %s | `%s` | `%s` | %s |\n", $1, $2, $3, $4, $5 }'
}

links=yes
if [[ $VISIBILITY != private && $VISIBILITY != internal && $ALLOW_PUBLIC_LINKS != true ]]; then
    links=
    echo "::notice::prereleasefs: this repository is public, so no link is printed or kept: whoever sees one can download. 'allow-public-links: true' shows them all the same"
elif [[ -z $PRESIGN_ROLE && ! -e $directory/report.html ]]; then
    links=
    echo "::notice::prereleasefs: there is no 'presign-role', so there are no links"
fi

if [[ -n $links ]]; then
    if [[ -e $directory/summary.md ]]; then
        cat "$directory/summary.md" >>"$GITHUB_STEP_SUMMARY"
    else
        table_without_links >>"$GITHUB_STEP_SUMMARY"
    fi
    cp "$directory/report.html" "$RUNNER_TEMP/prereleasefs/report.html"
    {
        echo "report=$RUNNER_TEMP/prereleasefs/report.html"
        echo "name=$(tr -c 'A-Za-z0-9._\n-' _ <<<"$DIRECTORY")"    # what an artifact may be called
    } >>"$GITHUB_OUTPUT"
elif [[ -e $directory/urls.tsv ]]; then
    table_without_links >>"$GITHUB_STEP_SUMMARY"
fi
