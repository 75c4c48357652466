"""Client addresses as limits count them."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

#: What one customer of a provider gets at least, and can change its address in at will (RFC 6177).
IPV6_PREFIX = 64


def counted_as(address: str) -> str:
    """Whom a client's address stands for: itself in IPv4, its /64 in IPv6. What is no address stands for itself.

    An IPv4 address that IPv6 carries (``::ffff:192.0.2.1``) is an IPv4 address.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed.packed, IPV6_PREFIX), strict=False))
