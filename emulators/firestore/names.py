"""Resource names and field paths, as documented at google.firestore.v1.Document."""

import re
from functools import lru_cache

from emulators.firestore.messages import invalid

FieldPath = tuple[str, ...]
NAME: FieldPath = ("__name__",)

_DATABASE = re.compile(r"projects/[^/]+/databases/[^/]+")
_ROOT = re.compile(r"(projects/[^/]+/databases/[^/]+/documents)(?:/(.+))?", re.DOTALL)
_RESERVED = re.compile(r"__.*__", re.DOTALL)
_NUMERIC = re.compile(r"__id-?\d+__")
_SEGMENT = re.compile(r"`((?:[^`\\]|\\.)*)`|([A-Za-z_][A-Za-z_0-9]*)", re.DOTALL)


def check_database(database: str) -> str:
    """The documents root of `database`. Raises INVALID_ARGUMENT for anything else."""
    if not _DATABASE.fullmatch(database):
        raise invalid(f"Invalid database name: {database!r}")
    return f"{database}/documents"


def segments(name: str) -> list[str]:
    """The segments of `name` below its documents root. Raises INVALID_ARGUMENT."""
    match = _ROOT.fullmatch(name)
    if match is None:
        raise invalid(f'Document name "{name}" has no valid database and documents root.')
    return match[2].split("/") if match[2] else []


def check_document(name: str) -> str:
    """`name` if it can name a document. Raises INVALID_ARGUMENT."""
    parts = segments(name)
    if not parts or len(parts) % 2:
        raise invalid(f'Document name "{name}" does not point to a document.')
    for part in parts:
        _check_id(part, name)
    return name


def check_parent(name: str) -> str:
    """`name` if it is a documents root or a document. Raises INVALID_ARGUMENT."""
    if len(segments(name)) % 2:
        raise invalid(f'Parent name "{name}" is neither the root nor a document.')
    return name


def check_collection_id(collection_id: str) -> str:
    if "/" in collection_id:
        raise invalid(f'Collection id "{collection_id}" is invalid because it contains "/".')
    _check_id(collection_id, collection_id)
    return collection_id


def _check_id(part: str, name: str) -> None:
    if not part or part in (".", "..") or len(part.encode()) > 1500:
        raise invalid(f'Name "{name}" has an invalid id {part!r}.')
    if _RESERVED.fullmatch(part) and not _NUMERIC.fullmatch(part):
        raise invalid(f'Resource id "{part}" is invalid because it is reserved.')


def collection_of(name: str) -> str:
    """The collection path that holds the document `name`."""
    return name.rpartition("/")[0]


def relative(name: str) -> str:
    """`name` without its documents root, as people write it."""
    return name.partition("/documents/")[2]


@lru_cache(4096)
def field_path(text: str) -> FieldPath:
    """The segments of a field path; quoted ones unescaped. Raises INVALID_ARGUMENT."""
    parts: list[str] = []
    position = 0
    while match := _SEGMENT.match(text, position):
        quoted, simple = match.groups()
        parts.append(simple if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        position = match.end()
        if position == len(text):
            return tuple(parts)
        if text[position] != ".":
            break
        position += 1
    raise invalid(f'Property path "{text}" is invalid.')


def is_reserved(field: str) -> bool:
    return bool(_RESERVED.fullmatch(field))
