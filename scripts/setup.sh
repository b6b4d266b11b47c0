#!/usr/bin/env bash
# Sets the project up in a virtual environment: packages by hash from the lock, then the jars. Idempotent; a second
# run needs no network. Usage: scripts/setup.sh VENV_DIR   (PYTHON names the interpreter, python3 by default)
set -euo pipefail
venv=${1:?usage: scripts/setup.sh VENV_DIR}
python=${PYTHON:-python3}
started=$SECONDS

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
[ -t 2 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '%s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "$python is missing; install Python 3.11, on Debian: apt-get install python3 python3-venv"
"$python" - <<'PY' || fail "$("$python" -V) is not supported; install Python 3.11 and run: make PYTHON=python3.11 …"
import sys
sys.exit(sys.version_info[:2] != (3, 11))
PY
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
command -v "$java" >/dev/null || fail "Java is missing; install Java 17 or 21, on Debian: apt-get install openjdk-17-jre-headless"
free_mib=$(df -Pm . | awk 'NR==2 {print $4}')
[ "$free_mib" -ge 4096 ] || [ -e "$venv/.ready" ] || fail "$free_mib MiB free here, 4096 needed; free some disk space"

say "Setting up (once): packages, then jars"
if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
  "$python" -m venv --clear "$venv" || fail "cannot create $venv; on Debian: apt-get install python3-venv"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
fi
export VIRTUAL_ENV=$PWD/$venv
case $venv in /*) export VIRTUAL_ENV=$venv ;; esac
"$venv/bin/uv" pip sync --require-hashes --compile-bytecode requirements.lock
# The project itself, editable, by the build backend that the lock brought: nothing is fetched here.
"$venv/bin/uv" pip install -q --no-deps --no-build-isolation --offline -e .
"$venv/bin/datalab" fetch
touch "$venv/.ready"
say "Set up in $((SECONDS - started)) s"
