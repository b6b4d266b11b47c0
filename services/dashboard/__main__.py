"""`python -m services.dashboard`: serve the dashboard until SIGTERM."""

from __future__ import annotations

from services.dashboard.app import main

if __name__ == "__main__":
    main()
