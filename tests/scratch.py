"""Databases of a test's own on the house's server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import make_url

from tests.conftest import House


@contextmanager
def database(house: House, name: str, like: str = "template1") -> Iterator[str]:
    """The owner's URL of a new database, empty or as the one whose URL is `like`."""
    name = f"{name}_{os.getpid()}"
    template = make_url(like).database if ":" in like else like
    house.rows(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        url = make_url(house.cloud.admin_url).set(database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        house.rows(f"DROP DATABASE {name} WITH (FORCE)")
