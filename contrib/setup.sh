# Sourced by try, test, check and install: system packages, the virtual environment .venv, and ssecfs in it.
# shellcheck shell=bash
#
# Everything is said before it is done, and nothing is done twice: a second run takes less than a second.
# Environment: PYTHON names the interpreter for the virtual environment; by default the first one that is new enough.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv

# What pyfuse3 needs to be built and ssecfs to run; the programs that tests put to work on a mount; what checks these scripts;
# the real S3 server with SSE-C of contrib/ceph-rgw.
# A virtual environment, because Debian and Ubuntu refuse pip outside of one (PEP 668).
# shellcheck disable=SC2034
RUN_PACKAGES=(fuse3 libfuse3-dev pkg-config gcc python3-dev python3-venv)
# shellcheck disable=SC2034
TEST_PACKAGES=(borgbackup ca-certificates curl git make openssl postgresql rclone restic rsync s3fs sqlite3 strace vim-tiny)
# shellcheck disable=SC2034
CHECK_PACKAGES=(shellcheck)
# shellcheck disable=SC2034
CEPH_PACKAGES=(ceph-common ceph-mon ceph-osd radosgw)

say() {
    if [ -t 2 ]; then printf '\033[1m%s\033[0m\n' "$*" >&2; else printf '%s\n' "$*" >&2; fi
}
fail() { printf '%s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

is_installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need_packages NAME...: install those Debian packages that are missing.
need_packages() {
    local name missing=()
    if ! command -v dpkg-query >/dev/null; then
        say "This is neither Debian nor Ubuntu: make sure that you have what these packages hold: $*"
        return
    fi
    for name in "$@"; do
        is_installed "$name" || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing Debian packages$([ "$(id -u)" = 0 ] || echo ' (with sudo)'): ${missing[*]}"
    if ! has_candidates "${missing[@]}" || ! apt_install "${missing[@]}"; then
        as_root apt-get update --quiet --quiet
        apt_install "${missing[@]}"
    fi
}

has_candidates() {
    local name
    for name in "$@"; do
        apt-cache policy "$name" 2>/dev/null | grep -q '^ *Candidate: [^(]' || return 1
    done
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet --no-install-recommends "$@" </dev/null >/dev/null
}

# find_python [NAME...]: print the first interpreter that is new enough.
find_python() {
    local name
    for name in ${PYTHON:-"$@" python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "ssecfs needs Python 3.11 or newer; name one with: PYTHON=/path/to/python3 $0"
}

# make_venv DIR [PYTHON_NAME...]: a virtual environment that works, with a pip that knows dependency groups (25.1).
make_venv() {
    local folder=$1 python
    shift
    if ! "$folder/bin/python" -c 'import pip' 2>/dev/null; then
        python=$(find_python "$@")
        say "Making the virtual environment $folder with $python"
        rm -rf "$folder"
        "$python" -m venv "$folder"
    fi
    if ! "$folder/bin/python" -m pip install --help | grep -q -e '--group'; then
        run_pip "$folder" install --upgrade 'pip>=25.1'
    fi
}

run_pip() {
    local folder=$1
    shift
    PIP_ROOT_USER_ACTION=ignore "$folder/bin/python" -m pip --quiet --quiet --disable-pip-version-check "$@"
}

# need_ssecfs [GROUP...]: .venv with ssecfs, editable, and the dependency groups of pyproject.toml that are named.
# A stamp tells whether pyproject.toml or the interpreter changed since.
need_ssecfs() {
    local group name stamp want arguments=()
    make_venv "$VENV"
    want=$({ cat "$ROOT/pyproject.toml"; "$VENV/bin/python" --version; } | sha256sum)
    for group in run "$@"; do
        stamp=$VENV/.installed-$group
        [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] || arguments+=("$group")
    done
    [ ${#arguments[@]} -gt 0 ] || return 0
    say "Installing ssecfs and what it needs into $VENV (${arguments[*]}); the first time this takes a minute"
    name=()
    for group in "${arguments[@]}"; do
        [ "$group" = run ] || name+=(--group "$ROOT/pyproject.toml:$group")
    done
    run_pip "$VENV" install --editable "$ROOT" "${name[@]}"
    for group in "${arguments[@]}"; do
        echo "$want" >"$VENV/.installed-$group"
    done
}
