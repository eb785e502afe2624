"""Resource names and field paths, as documented at google.firestore.v1.Document."""

import re
from functools import lru_cache

from emulators.api.refusals import invalid

FieldPath = tuple[str, ...]
NAME: FieldPath = ("__name__",)

_DATABASE = re.compile(r"projects/[^/]+/databases/[^/]+")
_ROOT = re.compile(r"(projects/[^/]+/databases/[^/]+/documents)(?:/(.*))?", re.DOTALL)
_RESERVED = re.compile(r"__.*__", re.DOTALL)
_NUMERIC = re.compile(r"__id-?\d+__")
_SEGMENT = re.compile(r"`((?:[^`\\]|\\.)+)`|([A-Za-z_][A-Za-z_0-9]*)", re.DOTALL)
# https://cloud.google.com/firestore/quotas
LONGEST_ID = 1500
_LONGEST_NAME = 6 * 1024
_DEEPEST = 100


def check_database(database: str) -> str:
    """The documents root of `database`. Raises INVALID_ARGUMENT for anything else."""
    if not _DATABASE.fullmatch(database):
        raise invalid(f'Database name "{database}" is invalid.')
    return f"{database}/documents"


def root_of(name: str) -> str:
    """The documents root that `name`, a checked one, lies in."""
    return "/".join(name.split("/", 5)[:5])


def segments(name: str) -> list[str]:
    """The segments of `name` below its documents root. Raises INVALID_ARGUMENT."""
    match = _ROOT.fullmatch(name)
    if match is None:
        raise invalid(f'Document name "{name}" has no valid database and documents root.')
    parts: list[str] = [] if match[2] is None else match[2].split("/")
    for number, part in enumerate(parts):
        if not part:
            kind = "resource" if number % 2 else "collection"
            raise invalid(f'Document name "{name}" lacks a {kind} id.')
        _check_id(part, "Resource" if number % 2 else "Collection")
    if len(parts) > 2 * _DEEPEST:
        raise invalid(f"Key path is too long. Cannot exceed {_DEEPEST} elements.")
    if len(name) * 4 > _LONGEST_NAME and len(name.encode()) > _LONGEST_NAME:
        raise invalid(f"The document name is longer than {_LONGEST_NAME} bytes.")
    return parts


def check_document(name: str) -> str:
    """`name` if it can name a document. Raises INVALID_ARGUMENT."""
    parts = segments(name)
    if not parts or len(parts) % 2:
        raise invalid(f'Document name "{name}" does not point to a document.')
    return name


def check_within(name: str, root: str) -> str:
    """`name` if it can name a document in the database of `root`. Raises INVALID_ARGUMENT."""
    if not check_document(name).startswith(f"{root}/"):
        raise invalid(f'Document "{name}" is not in the database of the request.')
    return name


def check_parent(name: str) -> str:
    """`name` if it is a documents root or a document. Raises INVALID_ARGUMENT."""
    if len(segments(name)) % 2:
        raise invalid(f'Document parent name "{name}" is neither the root nor a document.')
    return name


def check_collection_id(collection_id: str) -> str:
    if not collection_id:
        raise invalid("collectionId is the empty string.")
    if "/" in collection_id:
        raise invalid(f'Collection id "{collection_id}" is invalid because it contains "/".')
    _check_id(collection_id, "Collection")
    return collection_id


def check_document_id(document_id: str) -> str:
    if "/" in document_id:
        raise invalid(f'Resource id "{document_id}" is invalid because it contains "/".')
    _check_id(document_id, "Resource")
    return document_id


def _check_id(part: str, kind: str) -> None:
    reserved = _RESERVED.fullmatch(part) and not (kind == "Resource" and _NUMERIC.fullmatch(part))
    if part in (".", "..") or reserved:
        raise invalid(f'{kind} id "{part}" is invalid because it is reserved.')
    if len(part) * 4 > LONGEST_ID and len(part.encode()) > LONGEST_ID:
        raise invalid(f"The key path element name is longer than {LONGEST_ID} bytes.")


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
    if not text:
        raise invalid("Invalid empty property path string.")
    raise invalid(f'Invalid property path "{text}": quote what is not a simple name with `.')


def is_reserved(field: str) -> bool:
    return bool(_RESERVED.fullmatch(field))
