#!/usr/bin/env bash
# Create .venv from the lock; needs only Python 3.11.
#
#   bash infra/install.sh         install; quiet if there is nothing to do
#   bash infra/install.sh lock    rewrite constraints.txt
#
# PYTHON  the interpreter for .venv (default python3.11)
# TORCH   cpu, cu126, ...: take torch from its own index for that hardware
# UV_FIND_LINKS  folders or pages with wheels; default: what pip itself is configured with, so that a
#                machine with a CPU build of torch uses it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly UV_VERSION=0.13.8
readonly BIN=.venv/bin
readonly MARK=.venv/.headframe-install

die() {
    printf 'install: %s\n' "$1" >&2
    exit 1
}

# A setting of pip, from its files or from PIP_FIND_LINKS: `pip config list` shows both, the latter as `:env:`.
pip_setting() {
    "$BIN/python" -m pip config list 2>/dev/null |
        sed -n "s/^\(global\|install\|:env:\)\.$1='\(.*\)'\$/\2/p" | sed 's/\\n/ /g' | tr -s ' ' '\n' | awk 'NF && !seen[$0]++'
}

make_environment() {
    local python=${PYTHON:-python3.11}
    if [[ ! -x $BIN/python ]]; then
        command -v "$python" >/dev/null || die "$python is not on PATH; install Python 3.11, or name another with PYTHON=..."
        "$python" -m venv .venv
    fi
    "$BIN/python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' ||
        die ".venv has a Python older than 3.11; delete it and start again"
    if [[ $("$BIN/uv" --version 2>/dev/null) != "uv $UV_VERSION"* ]]; then
        "$BIN/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    fi
}

# uv reads none of pip's settings, but must look where pip would.
follow_pip() {
    local links index cert
    if [[ -z ${UV_FIND_LINKS:-} ]]; then
        links=$(pip_setting find-links | paste -sd, -)
        if [[ -n $links ]]; then export UV_FIND_LINKS=$links; fi
    fi
    if [[ -z ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} ]]; then
        index=$(pip_setting index-url | tail -n 1)
        if [[ -n $index ]]; then export UV_DEFAULT_INDEX=$index; fi
    fi
    if [[ -z ${SSL_CERT_FILE:-} ]]; then
        cert=$(pip_setting cert | tail -n 1)
        if [[ -n $cert ]]; then export SSL_CERT_FILE=$cert; fi
    fi
}

# What decides the result; an environment created from the same is left alone.
state() {
    cat pyproject.toml constraints.txt infra/install.sh
    printf '%s\n' "${TORCH:-}" "${UV_FIND_LINKS:-}" "${PIP_FIND_LINKS:-}"
    pwd
}

install() {
    local wanted options=()
    wanted=$(state | sha256sum)
    if [[ -x $BIN/python && -f $MARK && $(<"$MARK") == "$wanted" ]]; then
        return
    fi
    make_environment
    follow_pip
    if [[ -n ${TORCH:-} ]]; then options+=(--torch-backend "$TORCH"); fi
    # Byte code once, here: without it each process would compile mlflow, great_expectations and torch again.
    "$BIN/uv" pip install --quiet --python "$BIN/python" --compile-bytecode -c constraints.txt -e . --group dev "${options[@]}"
    "$BIN/python" -m compileall -q src flows
    printf '%s\n' "$wanted" >"$MARK"
    printf 'install: .venv is ready\n'
}

lock() {
    make_environment
    follow_pip
    "$BIN/uv" pip compile --quiet --universal --python-version 3.11 --all-extras --group dev \
        --no-emit-index-url --no-emit-find-links -o constraints.txt pyproject.toml
}

case ${1:-install} in
    install) install ;;
    lock) lock ;;
    *) die "unknown command '$1'; expected nothing or 'lock'" ;;
esac
