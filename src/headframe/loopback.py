"""Traffic that stays on this machine, which no proxy may get."""

import os

HOSTS = ("localhost", "127.0.0.1", "::1")


def bypass_proxies() -> None:
    """Except this machine from the proxies that the environment names, for this process and its children.

    A company's `HTTP_PROXY` would otherwise be asked for the servers of `headframe up`, which it cannot reach. Clients
    read `no_proxy` or `NO_PROXY`, so both are set; what they except already stays excepted.
    """
    given = [host.strip() for name in ("no_proxy", "NO_PROXY") for host in os.environ.get(name, "").split(",")]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys(filter(None, [*given, *HOSTS])))
