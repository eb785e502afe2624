"""TCP ports on 127.0.0.1."""

import asyncio
import socket
import time

ADDRESS = "127.0.0.1"


class PortTaken(Exception):
    """Somebody listens on a port that was asked for; the message names both."""


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


async def check_free(name: str, port: int, patience: float = 0) -> None:
    """Raise `PortTaken` when `port`, wanted for `name`, is not to be had within `patience` seconds.

    Port 0 always is.
    """
    deadline = time.monotonic() + patience
    while (why := _taken(port)) is not None:
        if time.monotonic() > deadline:
            raise PortTaken(f"port {port}, wanted for {name}: {why}")
        await asyncio.sleep(0.05)


def _taken(port: int) -> str | None:
    """Why a port cannot be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            return error.strerror or str(error)
    return None
