"""Where a cognitive server listens and is asked: tcp://HOST:PORT or ipc://PATH.

Knows how addresses are written and which of them are of this machine; opens none. ZeroMQ refuses
some that cannot be, and waits for ever at others: both are told here, before anybody plays.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re

PORT = 5555  # of who is asked without one
MOST_PATH = 107  # bytes of a path: what the kernel has for the name of a socket
_IPC = "ipc://"
_TCP = re.compile(r"tcp://(\*|[^\W_][\w.%-]*|\[[\w.:%]+\])(?::(\d{1,5}|\*))?\Z", re.ASCII)
_WANTED = "wanted tcp://HOST:PORT or ipc://PATH"


def fault(address: str, *, listens: bool = False) -> str:
    """What is wrong with an address, and what is wanted; empty for one that can be.

    listens: it is for a server, which may take any host or port (`*`) and says its port.
    """
    if address.startswith(_IPC):
        return _fault_of_path(address.removeprefix(_IPC))
    found = _TCP.match(address)
    if not found or (found[1].startswith("[") and not _is_ipv6(found[1])):
        return f"not an address; {_WANTED}"
    host, port = found[1], found[2]
    if listens:
        wrong = port is None or (port != "*" and int(port) > 65_535)
        return f"not an address, its port is 0 to 65535 or *; {_WANTED}" if wrong else ""
    if host == "*" or port == "*":
        return f"not an address of one server; {_WANTED}"
    if port is not None and not 1 <= int(port) <= 65_535:
        return f"port {port} is none, there are 1 to 65535; {_WANTED}"
    return ""


def is_here(address: str) -> bool:
    """Whether an address without a fault is of this machine only."""
    found = _TCP.match(address)
    return is_loopback(found[1]) if found else address.startswith(_IPC)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine only; names other than localhost are not trusted."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def with_port(address: str) -> str:
    """The address of a server as ZeroMQ wants it: with `PORT` where it says none."""
    found = _TCP.match(address)
    return f"{address}:{PORT}" if found and found[2] is None else address


def to_bind(address: str) -> str:
    """An address as ZeroMQ listens at it: by number, or a device's name, and no other."""
    return address.replace("tcp://localhost:", "tcp://127.0.0.1:", 1)


def _fault_of_path(path: str) -> str:
    if path in ("", "@") or not path.isprintable():
        return f"not an address; {_WANTED}"
    count = len(path.encode())
    if count > MOST_PATH:
        return f"{count} bytes of path; wanted at most {MOST_PATH}: take a shorter one"
    return ""


def _is_ipv6(host: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.IPv6Address(host.strip("[]"))
        return True
    return False
