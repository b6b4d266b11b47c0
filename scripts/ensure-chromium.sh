#!/usr/bin/env bash
# Makes sure that a Chromium is there for the tests that look at pages. Finds one, else installs Debian's, which needs
# root and apt-get. Prints its path on stdout and what it does on stderr. Usage: scripts/ensure-chromium.sh
set -euo pipefail
say() { printf '%s\n' "$*" >&2; }
fail() { printf 'chromium: %s\n' "$*" >&2; exit 1; }
find_one() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    [ -n "$name" ] && command -v "$name" && return 0
  done
  return 1
}

if [ -n "${CHROMIUM:-}" ] && ! command -v "$CHROMIUM" >/dev/null; then
  fail "CHROMIUM names $CHROMIUM, which cannot be run; correct or unset it"
fi
find_one && exit 0
how="install it, on Debian: apt-get install chromium; or set CHROMIUM to the path of a Chromium or Chrome"
[ "$(id -u)" = 0 ] || fail "none was found, and only root may install one; $how"
command -v apt-get >/dev/null || fail "none was found, and there is no apt-get to install one; $how"
say "Installing Chromium for the tests of the dashboard (once, some 300 MB)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends chromium; } >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  fail "apt-get could not install it; $how"
fi
find_one || fail "apt-get installed it, and still none is on PATH; set CHROMIUM to its path"
