#!/usr/bin/env bash
# Waits for the Prefect server, then creates the work pools and registers every deployment. May be run again at any time.
# Without PREFECT_API_URL it is the server of the lab in DATALAB_HOME. PREFECT_WAIT_SECONDS: how long to wait (60).
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$root/.venv/bin/python"
[ -x "$python" ] || python="$(command -v python3)" || { echo "python3 was not found" >&2; exit 1; }
exec "$python" "$root/flows/manage_deployments.py" deploy --wait "${PREFECT_WAIT_SECONDS:-60}"
