#!/usr/bin/env bash
# Waits for the Prefect server, then creates the work pools and registers every deployment. May be run again at any time.
# PREFECT_API_URL says where the server is, PREFECT_WAIT_SECONDS how long to wait for it (default 60).
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$root/.venv/bin/python"
[ -x "$python" ] || python="$(command -v python3)" || { echo "python3 was not found" >&2; exit 1; }
export PREFECT_API_URL="${PREFECT_API_URL:-http://127.0.0.1:4200/api}"
wait_seconds="${PREFECT_WAIT_SECONDS:-60}"

answers() {
    "$python" - "$PREFECT_API_URL/health" 2>/dev/null <<'PY'
import sys, urllib.request
sys.exit(urllib.request.urlopen(sys.argv[1], timeout=2).status != 200)
PY
}

cd "$root"
deadline=$((SECONDS + wait_seconds))
until answers; do
    if [ "$SECONDS" -ge "$deadline" ]; then
        echo "the Prefect server at $PREFECT_API_URL has not answered for $wait_seconds s" >&2
        exit 1
    fi
    echo "waiting for the Prefect server at $PREFECT_API_URL"
    sleep 2
done
exec "$python" flows/manage_deployments.py deploy
