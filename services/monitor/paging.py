"""Page tokens for lists that are ordered by time and id, newest first. A token is opaque to clients."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import NamedTuple

from datalab.runtime.web import Problem


class Place(NamedTuple):
    """The last entry of a page; the next page goes on after it."""

    at: datetime
    id: str


def to_token(place: Place) -> str:
    """The token for the page after `place`."""
    return base64.urlsafe_b64encode(json.dumps([place.at.isoformat(), place.id]).encode()).decode().rstrip("=")


def from_token(token: str) -> Place:
    """The place in a token; raises Problem 400."""
    try:
        at, id_ = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        place = Place(datetime.fromisoformat(at), str(id_))
    except (ValueError, TypeError, binascii.Error) as error:
        raise Problem(400, "Invalid page token", "page_token: is not one that this service gave out") from error
    if place.at.tzinfo is None:
        raise Problem(400, "Invalid page token", "page_token: is not one that this service gave out")
    return place
