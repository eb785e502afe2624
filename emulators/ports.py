"""TCP ports on 127.0.0.1."""

import socket

ADDRESS = "127.0.0.1"


class PortTaken(Exception):
    """Somebody listens on a port that was asked for; the message names both."""


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def check_free(name: str, port: int) -> None:
    """Raise `PortTaken` when `port`, wanted for `name`, cannot be had; 0 always can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            why = error.strerror or str(error)
            raise PortTaken(f"port {port}, wanted for {name}: {why}") from None
