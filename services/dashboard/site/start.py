"""What Streamlit runs for each browser, from top to bottom, whenever something changes."""

from __future__ import annotations

from services.dashboard.navigation import show

show()
