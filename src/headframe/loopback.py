"""Traffic that stays on this machine, which no proxy may get, and no page of another server."""

import os
import re
from collections.abc import Collection

HOSTS = ("localhost", "127.0.0.1", "::1")


def why_foreign(host: str, origin: str | None, hosts: Collection[str]) -> str | None:
    """Return why a request may come from a page of another server; None where it does not.

    A browser sends the name that the page used, even where that name leads to this machine (DNS rebinding), and as
    origin the server that the page came from.

    Args:
        host: the request's header.
        origin: the request's header, if any.
        hosts: the names of this server; one without a port stands for any port, since ports may be forwarded.
    """
    if host not in hosts and re.sub(r":\d*$", "", host) not in hosts:
        return f"this server has another name than {host[:100]!r}"
    if origin is not None and origin.partition("://")[2] != host:
        return "pages of other servers may send nothing here"
    return None


def bypass_proxies() -> None:
    """Except this machine from the proxies that the environment names, for this process and its children.

    A company's `HTTP_PROXY` would otherwise be asked for the servers of `headframe up`, which it cannot reach. Clients
    read `no_proxy` or `NO_PROXY`, so both are set; what they except already stays excepted.
    """
    given = [host.strip() for name in ("no_proxy", "NO_PROXY") for host in os.environ.get(name, "").split(",")]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys(filter(None, [*given, *HOSTS])))
