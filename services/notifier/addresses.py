"""Which IP addresses must not be called on behalf of others, and why. Pure; `guard.py` applies it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"),
    )
)
_REFUSED = [
    (ipaddress.ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", "unspecified"),
        ("127.0.0.0/8", "loopback"),
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("169.254.0.0/16", "link-local"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("198.18.0.0/15", "benchmarking"),
        ("192.88.99.0/24", "6to4 relay"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("100::/64", "discard"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("2002::/16", "6to4"),
        ("5f00::/16", "reserved"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
]
_IPV6_IN_USE = ipaddress.ip_network("2000::/3")


def parse(text: str) -> Address:
    """The address, an IPv4 one in IPv6 clothes unwrapped. Raises ValueError."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_metadata(address: Address) -> bool:
    """Whether it is a cloud's metadata service, which hands out credentials: refused whatever is allowed."""
    return address in _METADATA


def refusal(address: Address) -> str | None:
    """None for a public address, else what kind it is."""
    if is_metadata(address):
        return "a cloud metadata address"
    for network, why in _REFUSED:
        if address.version == network.version and address in network:
            return f"a {why} address"
    if address.version == 6 and address not in _IPV6_IN_USE:
        return "a reserved address"
    return None


def first_refusal(addresses: Sequence[Address]) -> str | None:
    """The first reason among several addresses: one bad answer spoils the name, since a client may take any."""
    return next((why for address in addresses if (why := refusal(address))), None)
