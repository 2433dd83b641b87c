#!/bin/bash
# Refuses inputs that cannot work, or that would make links nobody can read, before anything runs.
set -euo pipefail

# GitHub's own form; a newline in a message would end it, and what follows could be a command.
fail() {
    local text=${1//'%'/%25}
    text=${text//$'\r'/%0D}
    printf '::error::prereleasefs: %s\n' "${text//$'\n'/%0A}"
    exit 1
}

for name in bucket region directory images; do
    variable=${name^^}
    [[ -n ${!variable//[[:space:]]/} ]] || fail "input '$name' is empty$(
        [[ $name != bucket && $name != region ]] || echo ": is the variable set (Settings, Secrets and variables, Actions, Variables)?")"
done
[[ $DIRECTORY =~ ^[A-Za-z0-9._+@=/-]+$ && $DIRECTORY != /* && $DIRECTORY != */ && /$DIRECTORY/ != *//* \
    && /$DIRECTORY/ != */./* && /$DIRECTORY/ != */../* && $DIRECTORY != .prereleasefs* ]] \
    || fail "input 'directory' is '$DIRECTORY': it takes names of letters, digits and ._+@=- with / between them, such as BRANCH/SHA"
[[ -n $ROLE || -n $KEY_ID ]] \
    || fail "neither 'role' nor 'aws-access-key-id' is given: give the role that OIDC signs in to, from vars"
if [[ -n $ROLE && -z ${ACTIONS_ID_TOKEN_REQUEST_URL:-} ]]; then
    fail "'role' is given, and the job cannot ask for an OIDC token: add 'id-token: write' to its permissions"
fi

# GitHub replaces secrets by *** wherever they are printed. The bucket, the region and the role are
# part of every link, so as secrets they make summary and log useless. A value does not tell where
# it came from; the workflow does.
workflow() {
    local path=${GITHUB_WORKFLOW_REF%%@*}
    path=${path#*/*/}
    if [[ -f $GITHUB_WORKSPACE/$path ]]; then
        cat "$GITHUB_WORKSPACE/$path"
    else
        # The token goes by standard input: arguments are for every process to see.
        printf 'header = "Authorization: Bearer %s"\n' "$GITHUB_TOKEN" | curl -fsS -K - --max-time 20 \
            -H 'Accept: application/vnd.github.raw+json' \
            "$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/contents/$path?ref=$GITHUB_WORKFLOW_SHA"
    fi
}
if text=$(workflow 2>/dev/null); then
    for name in bucket region role presign-role; do
        if grep -qE "^[[:space:]-]*['\"]?${name}['\"]?[[:space:]]*:.*[^A-Za-z0-9_]secrets[.[]" <<<"$text"; then
            fail "input '$name' comes from secrets: GitHub would mask it in every link. Make it a variable and write vars instead"
        fi
    done
else
    echo "::notice::prereleasefs: the workflow's text cannot be read here (contents: read), so it was not checked that bucket, region and roles come from vars"
fi
