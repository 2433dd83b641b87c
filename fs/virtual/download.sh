#!/bin/sh
# download.sh - downloads a build's files, verifies them and, if asked, loads its images.
#
#     sh download.sh [OPTION]... [NAME]...
#
# Files are saved in the current directory, all or those that are named. Run again, it goes on where
# it stopped. It ends with status 0 only when every file is there, verified and (--load) loaded.
#
#     --load              load the images with docker or, where there is none, podman
#     --load=docker       load them with docker
#     --load=podman       load them with podman
#     --allow-unverified  also take files whose SHA-256 is not known
#     --list              show the files and when their links expire, and do nothing
#     --help
#
# It needs a POSIX shell, curl or wget, and sha256sum, shasum or openssl. A proxy is taken from
# https_proxy. Treat this script as confidential: until its links expire, whoever holds it can
# download the files.

# Words that look like expansions are other people's, and are not to be expanded:
# shellcheck disable=SC2016
set -u
LC_ALL=C
export LC_ALL

# What is told of, where it lies, and whom to ask.
title='' build='' host='' whom=''
#@ facts

# Calls `entry` for each file:
#     entry NAME SIZE SHA256 MARK KIND EXPIRES EXPIRES-IN-SECONDS-SINCE-1970 LINK
# SHA256 is - where it is not known. MARK tells the versions of a file apart. KIND is image, chart or
# other.
files() {
    :
    #@ files
}

say() {
    printf '%s\n' "$*"
}

complain() {
    printf 'download.sh: %s\n' "$*" >&2
}

# What is wrong with one file: the others go on, and the end is not 0.
fault() {
    complain "$@"
    outcome=1
    return 1
}

give_up() {
    complain "$@"
    exit 1
}

usage() {
    cat <<'END'
usage: sh download.sh [--load[=docker|podman]] [--allow-unverified] [--list] [NAME]...

Downloads into the current directory, verifies each file's SHA-256 and, with --load, loads the
images. Run again, it goes on where it stopped. Status 0 only when everything is there, verified
and loaded.
END
}

in_words() {    # in_words BYTES
    if [ "$1" -lt 1000000 ]; then
        printf '%s kB' "$((($1 + 999) / 1000))"
    elif [ "$1" -lt 10000000000 ]; then
        printf '%s MB' "$(($1 / 1000000))"
    else
        printf '%s GB' "$(($1 / 1000000000))"
    fi
}

# ---- each file, in steps -------------------------------------------------------------------------

entry() {
    case " $chosen " in
    '  ' | *" $1 "*) ;;
    *) return 0 ;;
    esac
    name=$1 size=$2 sha256=$3 kind=$5 expires=$6 expires_s=$7 link=$8
    # No file can be called so: names hold no "~". Long ones are cut, the mark is enough.
    part=$(printf '%.200s' "$name").$4.part~
    "$step" || :
}

count_file() {
    files_chosen=$((files_chosen + 1))
    [ "$sha256" != - ] || not_verified=$((not_verified + 1))
    found="$found $name"
    [ -e "$name" ] || bytes_missing=$((bytes_missing + size - $(size_of "$part")))
}

list_file() {
    say "$name"
    say "    $size bytes ($(in_words "$size")), SHA-256 $sha256"
    say "    link expires $expires"
}

take_file() {
    if [ "$sha256" = - ] && [ "$unverified" = refuse ]; then
        fault "$name: its SHA-256 is not known, so it cannot be verified, and it is left out; --allow-unverified takes it as it comes"
    elif [ -e "$name" ] || [ -L "$name" ]; then
        keep_present && load_file
    else
        download_file && accept_file && load_file
    fi
}

size_of() {     # size_of FILE: its bytes, 0 where there is none
    if [ -f "$1" ]; then
        printf '%s' "$(($(wc -c <"$1")))"
    else
        printf 0
    fi
}

sha256_of() {   # sha256_of FILE
    case $hasher in
    sha256sum) sum=$(sha256sum <"$1") || return 1 ;;
    shasum) sum=$(shasum -a 256 <"$1") || return 1 ;;
    openssl)
        sum=$(openssl dgst -sha256 <"$1") || return 1
        sum=${sum##* }
        ;;
    esac
    printf '%s' "${sum%% *}"
}

# Whether FILE is what it has to be; says what is wrong.
is_right() {    # is_right FILE
    if [ "$(size_of "$1")" != "$size" ]; then
        complain "$name: has $(size_of "$1") bytes, and should have $size"
        return 1
    fi
    [ "$sha256" != - ] || return 0
    sum_found=$(sha256_of "$1") || {
        complain "$name: $hasher could not read it"
        return 1
    }
    [ "$sum_found" != "$sha256" ] || return 0
    complain "$name: its SHA-256 is $sum_found, and should be $sha256"
    return 1
}

keep_present() {
    if [ -L "$name" ] || [ ! -f "$name" ]; then
        fault "$name: there is something here that is no file; move it away, or download elsewhere"
    elif ! is_right "$name"; then
        fault "$name: another file of this name is here already, and it is not replaced; move it away and run this again"
    else
        say "$name: is here already, $(how_sure)"
    fi
}

how_sure() {
    if [ "$sha256" = - ]; then
        printf 'NOT VERIFIED: its SHA-256 is not known'
    else
        printf 'verified'
    fi
}

# Nothing stands under a file's own name before it is verified.
accept_file() {
    if ! is_right "$part"; then
        rm -f "$part"
        fault "$name: what arrived was thrown away; run this again to download it anew, and if that does not help ask $whom"
    elif ! mv "$part" "$name"; then
        fault "$name: could not be given its name; it is in $part"
    else
        say "$name: downloaded, $(how_sure)"
    fi
}

load_file() {
    [ "$kind" != chart ] || say "$name: to install it: helm install RELEASE ./$name"
    [ -n "$engine" ] && [ "$kind" = image ] || return 0
    "$engine" load --input "$name" ||
        fault "$name: is here, $(how_sure), but $engine could not load it; its own message says why"
}

# ---- downloading ---------------------------------------------------------------------------------

# Every attempt that gets further is followed by another; TRIES that do not, in a row, are enough.
TRIES=6

download_file() {
    stuck=0
    anew=0
    if [ -L "$part" ] || { [ -e "$part" ] && [ ! -f "$part" ]; }; then
        fault "$name: $part is no file; move it away"
        return
    fi
    [ "$size" -gt 0 ] || : >"$part"
    [ -f "$part" ] || say "$name: downloading $(in_words "$size")"
    while
        have=$(size_of "$part")
        [ "$have" -lt "$size" ] || [ ! -f "$part" ]
    do
        has_room "$((size - have))" || return
        status=000
        "fetch_with_$fetcher"
        code=$?
        judge_answer || return
        if [ "$(size_of "$part")" -gt "$have" ]; then
            stuck=0
        else
            stuck=$((stuck + 1))
            if [ "$stuck" -ge "$TRIES" ]; then
                fault "$name: no further byte came in $TRIES attempts ($fetcher ended with $code, HTTP status $status); what has come is kept in $part: run this again to go on"
                return
            fi
            sleep "$((stuck * stuck))"
        fi
    done
}

# What the answer's status says, beyond "try again".
judge_answer() {
    case $status in
    400 | 401 | 403) refused ;;
    404) fault "$name: is no longer where the link leads (HTTP status 404); ask $whom" ;;
    407) give_up "the proxy asks for a name and password (HTTP status 407): set https_proxy=http://NAME:PASSWORD@HOST:PORT" ;;
    416 | ignored) start_anew ;;
    3??) give_up "$host answers with a redirect (HTTP status $status), which it never does by itself: a proxy or filter in between wants something first" ;;
    *) return 0 ;;
    esac
}

# What is here cannot be gone on from. Once is an old part; twice is a proxy that answers by itself.
start_anew() {
    rm -f "$part"
    have=0
    anew=$((anew + 1))
    [ "$anew" -le 1 ] ||
        fault "$name: what comes is not this file; it was replaced (ask $whom for a fresh page), or a proxy or filter in between answers instead of $host or does not let downloads be resumed"
}

refused() {
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    now_s=$(date -u +%s)
    if [ "${now_s:-0}" -ge "$expires_s" ]; then
        complain "the link has expired: it was good until $expires, and it is $now now (HTTP status $status)"
        complain "Ask $whom for a fresh page or download.sh of $build. The files and their sums are the same, and what has been downloaded stays: run the fresh one in this directory to go on."
    else
        complain "$host refuses the link (HTTP status $status), though it is good until $expires and this computer's clock says $now"
        complain "Either that clock is wrong, or the links were withdrawn, or a proxy or filter in between refuses. Ask $whom for a fresh page of $build if in doubt."
    fi
    exit 1
}

# A file system that does not say how much it has is believed.
has_room() {    # has_room BYTES
    # What stands before "42%": names of file systems may hold blanks.
    room_kb=$(df -P -k . 2>/dev/null | awk 'NR == 2 {
        for (i = 5; i <= NF; i++)
            if ($i ~ /^[0-9]+%$/ && $(i - 3) > 0) { print $(i - 1); exit }
    }')
    case $room_kb in
    '' | *[!0-9]*) return 0 ;;
    esac
    [ "$(($1 / 1024))" -ge "$room_kb" ] || return 0
    fault "$name: there is no room: $(in_words "$1") are still to come, and $(in_words "$((room_kb * 1024))") are free here; what has come is kept, make room and run this again"
}

# The link goes in by standard input, so that nobody finds it in the list of processes.
fetch_with_curl() {
    answer=$(printf 'url = "%s"\n%s\n' "$link" "$curl_look" |
        curl --globoff --fail --continue-at - --connect-timeout 30 --speed-limit 1 \
            --speed-time 60 --output "$part" --write-out '%{http_code} %{http_connect}' \
            --config -)
    curl_code=$?
    status=${answer%% *}
    # What a proxy says of the tunnel.
    [ "$status" != 000 ] || [ "${answer##* }" != 407 ] || status=407
    range_was_ignored
    # 33: asked for the rest of the file, and something else came.
    [ "$curl_code" != 33 ] || status=ignored
    # A page that says something else, in place of the file.
    case $status in
    3??) [ "$have" -gt 0 ] || rm -f "$part" ;;
    esac
    return "$curl_code"
}

# GNU's.
fetch_with_wget() {
    printf '%s\n' "$link" |
        wget -q "$wget_look" --continue --tries=1 --timeout=60 --max-redirect=0 \
            --output-document="$part" --input-file=-
    wget_code=$?
    [ "$wget_code" = 0 ] || status=$(printf '%s\n' "$link" |
        { wget --server-response --tries=1 --timeout=60 --max-redirect=0 \
            --header='Range: bytes=0-0' --output-document=- --input-file=- 2>&3 |
            dd bs=1 count=1 >/dev/null 2>&1; } 3>&1 | last_status)
    range_was_ignored
    return "$wget_code"
}

# Some are built without -T, and fall over it.
fetch_with_busybox_wget() {
    set --
    ! wget --help 2>&1 | grep -q -e '-T SEC' || set -- -T 60
    wget "$@" -c -O "$part" "$link" 2>/dev/null
    wget_code=$?
    [ "$wget_code" = 0 ] || status=$({ wget "$@" -S --header='Range: bytes=0-0' -O - "$link" 2>&3 |
        dd bs=1 count=1 >/dev/null 2>&1; } 3>&1 | last_status)
    range_was_ignored
    return "$wget_code"
}

# Asked for a part of the file, and all of it came, or something else.
range_was_ignored() {
    [ "$status" != 200 ] || [ "$have" = 0 ] || status=ignored
}

last_status() {
    last=$(sed -n 's|.*HTTP/[0-9.]* \([0-9][0-9][0-9]\).*|\1|p' | tail -n 1)
    printf '%s' "${last:-000}"
}

# ---- the whole -----------------------------------------------------------------------------------

has() {
    command -v "$1" >/dev/null 2>&1
}

find_programs() {
    if has curl; then
        fetcher=curl
    elif has wget && wget --version 2>/dev/null | grep -q GNU; then
        fetcher=wget
    elif has wget; then
        fetcher=busybox_wget
    else
        give_up "neither curl nor wget is here"
    fi
    curl_look='silent
show-error'
    wget_look=-q
    if [ -t 2 ]; then
        curl_look=progress-bar
        ! wget --help 2>/dev/null | grep -q -e --show-progress || wget_look=--show-progress
    fi
    hasher=''
    for program in sha256sum shasum openssl; do
        ! has "$program" || [ -n "$hasher" ] || hasher=$program
    done
    [ -n "$hasher" ] || give_up "none of sha256sum, shasum and openssl is here, so nothing can be verified"
    if [ "$engine" = any ]; then
        engine=docker
        has docker || engine=podman
        has "$engine" || give_up "--load: neither docker nor podman is here"
    fi
    [ -z "$engine" ] || has "$engine" || give_up "--load: there is no $engine here"
}

read_arguments() {
    engine='' unverified=refuse action=take_file chosen=''
    while [ $# -gt 0 ]; do
        case $1 in
        --load) engine=any ;;
        --load=docker | --load=podman) engine=${1#--load=} ;;
        --allow-unverified) unverified=take ;;
        --list) action=list_file ;;
        -h | --help) usage && exit 0 ;;
        '' | -* | *[!A-Za-z0-9._+-]*)
            complain "$1 is no option and no file's name (--list shows them)"
            usage >&2
            exit 2
            ;;
        *) chosen="$chosen${chosen:+ }$1" ;;
        esac
        shift
    done
}

main() {
    read_arguments "$@"
    trap 'complain "stopped; run it again to go on"; exit 130' INT TERM HUP
    find_programs
    outcome=0 found='' files_chosen=0 not_verified=0 bytes_missing=0
    step=count_file
    files
    for each in $chosen; do
        case "$found " in
        *" $each "*) ;;
        *) complain "there is no file $each in this build (--list shows them)" && exit 2 ;;
        esac
    done
    say "$title"
    step=$action
    if [ "$action" = take_file ] && [ "$bytes_missing" -gt 0 ]; then
        [ -w . ] || give_up "you may not save anything in $(pwd): run this in a directory of your own"
        say "$files_chosen to save in $(pwd), $(in_words "$bytes_missing") to download"
        name="all together"
        has_room "$bytes_missing" || exit 1
    fi
    files
    [ "$action" = take_file ] || exit 0
    [ "$outcome" = 0 ] || give_up "not everything is here and verified: see above"
    if [ "$not_verified" = 0 ]; then
        say "All is here and verified: $files_chosen of $files_chosen."
    else
        say "All is here: $files_chosen of $files_chosen, of which $not_verified NOT VERIFIED."
    fi
}

main "$@"
