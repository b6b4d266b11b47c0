"""Which addresses the notifier refuses to call, in many spellings."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from services.notifier.addresses import first_refusal, parse, refusal
from services.notifier.guard import Guard, RefusedError, shown

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "100.100.100.200",
    "127.0.0.1", "127.255.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255",
    "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "168.63.129.16",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:53aa:64c:0:0:0:1",
    "2001:db8::1", "2001:10::1", "2001:20::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1",
    "fc00::1", "fd00::1", "fd00:ec2::254", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "4000::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "172.15.255.255", "100.63.255.255", "100.128.0.1",
          "192.167.255.255", "192.169.0.1", "11.0.0.1", "9.255.255.255", "128.0.0.1", "198.17.255.255",
          "198.20.0.1", "223.255.255.255",
          "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8"]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_inside_addresses_are_refused(address: str) -> None:
    assert refusal(parse(address)) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address: str) -> None:
    assert refusal(parse(address)) is None


def test_one_bad_answer_spoils_the_name() -> None:
    assert first_refusal([parse("8.8.8.8"), parse("10.0.0.1")]) == "a private address"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://example.com/", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("gopher://example.com", "only http and https"),
        ("//example.com/x", "only http and https"),
        ("https:///x", "no host"),
        ("https://user:pass@example.com/", "user or password"),
        ("https://user@example.com/", "user or password"),
        ("https://@example.com/", "user or password"),
        ("https://example.com:99999/", "not a URL"),
        ("https://exa mple.com/", "blanks"),
        ("https://example.com/\r\nHost: evil", "blanks"),
        ("https://example.com\\@127.0.0.1/", "backslashes"),
        ("http://example.com/hook", "plain http"),
        ("https://[::1/", "not a URL"),
    ],
)
def test_urls_of_a_wrong_form_are_refused(url: str, complaint: str) -> None:
    with pytest.raises(RefusedError, match=complaint):
        Guard().check_form(url)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    asked: list[str] = []

    async def getaddrinfo(_loop: Any, host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port)) for answer in answers]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


async def test_a_name_that_points_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "93.184.216.34", "169.254.169.254")
    with pytest.raises(RefusedError, match="metadata"):
        await Guard().check("https://rebinding.example/hook")


async def test_a_scoped_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "fe80::1%eth0")
    with pytest.raises(RefusedError, match="link-local"):
        await Guard().check("https://scoped.example/")


async def test_an_allowed_host_may_be_inside_but_never_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard({"hook.internal:8443", "127.0.0.1:8025"})
    resolving(monkeypatch, "10.0.0.1")
    await guard.check("https://hook.internal:8443/x")
    with pytest.raises(RefusedError):
        await guard.check("https://hook.internal/x")
    assert guard.check_form("http://127.0.0.1:8025/slack").port == 8025
    resolving(monkeypatch, "169.254.169.254")
    with pytest.raises(RefusedError, match="metadata"):
        await guard.check("https://hook.internal:8443/x")


@pytest.mark.parametrize("spelling", ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "[::ffff:127.0.0.1]"])
async def test_other_spellings_of_loopback_are_refused(spelling: str) -> None:
    """These resolve without any name server: the system reads them as addresses, or not at all."""
    with pytest.raises((RefusedError, OSError)):
        await Guard().check(f"https://{spelling}/")


@pytest.mark.parametrize(
    ("url", "may_be_seen"),
    [
        ("https://hooks.slack.com/services/T0/B0/secret", "https://hooks.slack.com"),
        ("https://user:pw@host.example:8443/x?token=y", "https://host.example:8443"),
        ("https://[::1", "(not a URL)"),
        ("nonsense", "(not a URL)"),
    ],
)
def test_only_scheme_and_host_are_shown(url: str, may_be_seen: str) -> None:
    assert shown(url) == may_be_seen


@pytest.mark.parametrize("host", ["a..example", "x" * 64 + ".example"])
async def test_a_host_that_is_no_name_is_refused_rather_than_a_fault(host: str) -> None:
    with pytest.raises(RefusedError, match="not a name"):
        await Guard().check(f"https://{host}/hook")
