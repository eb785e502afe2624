"""The peer of a cold start: a hello-world function that imports what any of ours needs."""

import functions_framework
import pg8000
import pydantic
import sqlalchemy

NEEDED = (pg8000, pydantic, sqlalchemy)


@functions_framework.http
def hello(_: object) -> str:
    return "hello"
