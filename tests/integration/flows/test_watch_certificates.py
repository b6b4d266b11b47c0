"""Certificates that real TLS servers show: how long they last, whoever signed them; and what shows none."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flows.watch.certificates import look_at_certificates
from tests.support.odd_servers import silent_server
from tests.support.processes import free_port

HOST = "127.0.0.1"


@asynccontextmanager
async def tls_server(folder: Path, until: datetime) -> AsyncIterator[int]:
    """A server with a certificate of its own making, valid until then; its port."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(until - timedelta(days=90)).not_valid_after(until)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    async with await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("days", [60, 3, -2])
async def test_a_certificate_is_read_whoever_signed_it_also_when_it_has_expired(tmp_path: Path, days: int) -> None:
    until = datetime.now(UTC) + timedelta(days=days)
    async with tls_server(tmp_path, until) as port:
        [found] = await look_at_certificates({"lab:443": (HOST, port)}, deadline_s=30)
    assert (found.check.subject, found.check.reason) == (("certificate", "lab:443"), None)
    [left] = found.figures
    assert (left.of, left.name, left.unit) == ("lab:443", "certificate.seconds_left", "s")
    assert left.value == pytest.approx(days * 86_400, abs=30)


async def test_one_that_hangs_one_without_tls_and_one_that_is_not_there_each_say_so_and_hold_up_nobody() -> None:
    plain = await asyncio.start_server(lambda _, writer: writer.write(b"220 mail\r\n"), HOST, 0)
    with silent_server() as silent:
        async with plain:
            places = {"silent:1": silent, "plain:2": plain.sockets[0].getsockname()[1], "none:3": free_port()}
            found = await look_at_certificates({name: (HOST, p) for name, p in places.items()}, deadline_s=3)
    reasons = {health.check.subject.check: health.check.reason or "" for health in found}
    assert reasons["silent:1"] == "shows no certificate within 3 s"
    assert "SSLError" in reasons["plain:2"]
    assert "ConnectionRefusedError" in reasons["none:3"]
    assert not any(health.figures for health in found)
