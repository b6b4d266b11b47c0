"""Secrets at rest: sealed under the first key, opened with any, and a key file that only its owner reads."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from services.notifier.sealing import Seal, SealError, is_sealed, load_seal
from services.notifier.signing import new_private_key, new_secret, public_key, signed_headers


def key() -> str:
    return Fernet.generate_key().decode()


def test_what_is_sealed_hides_the_secret_and_can_be_opened() -> None:
    seal, secret = Seal([key()]), new_secret()
    kept = seal.seal(secret)
    assert is_sealed(kept)
    assert secret.removeprefix("whsec_") not in kept
    assert seal.open(kept) == secret
    assert seal.open(secret) == secret, "one from before secrets were sealed"


def test_a_new_key_before_the_old_one_opens_both() -> None:
    old, new = key(), key()
    kept = Seal([old]).seal("a")
    both = Seal([new, old])
    assert both.open(kept) == "a"
    assert Seal([new]).open(both.seal("b")) == "b"


def test_another_key_is_refused_with_what_to_do() -> None:
    kept = Seal([key()]).seal("whsec_x")
    with pytest.raises(SealError, match="add the key of before to NOTIFIER_SECRET_KEY") as refused:
        Seal([key()]).open(kept)
    assert kept not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_key_that_is_none_is_not_shown() -> None:
    with pytest.raises(SealError, match="must be 32 bytes") as refused:
        Seal(["planted-wrong-key"])
    assert "planted" not in str(refused.value)


def test_the_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "notifier.key"
    kept = load_seal(None, file).seal("a")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_seal(None, file).open(kept) == "a"
    assert [path.name for path in file.parent.iterdir()] == ["notifier.key"]
    with pytest.raises(SealError):
        load_seal(key(), file).open(kept)


def test_ed25519_and_hmac_stand_side_by_side() -> None:
    private = new_private_key()
    headers = signed_headers("id", datetime.now(UTC), b"{}", [new_secret(), private])
    kinds = [one.partition(",")[0] for one in headers["webhook-signature"].split(" ")]
    assert kinds == ["v1", "v1a"]
    assert public_key(private).startswith("whpk_")
    assert private not in str(headers)
