"""The status mirror in Firestore: ids, enums and versions only, never older over newer."""

from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from shared.kernel.ids import TypedId
from shared.platform.settings import Settings, load


class MirrorSettings(Settings):
    google_cloud_project: str


@cache
def _client() -> Any:
    from google.cloud.firestore import Client

    return Client(project=load(MirrorSettings).google_cloud_project)


def mirror(
    collection: str,
    subject: TypedId,
    status: StrEnum,
    version: int,
    updated_at: datetime,
    **references: TypedId | StrEnum | int,
) -> bool:
    """Write the document of `subject` unless it already has this version or a newer one.

    A document is `{status, version, updated_at}` and `references`, which by their types cannot hold
    PHI. Deleted subjects keep a document with their final status (a tombstone). Answers whether it
    was written; doing it again changes nothing.
    """
    from google.cloud.firestore import transactional

    client = _client()
    reference = client.collection(collection).document(str(subject))
    values = {"status": status.value, "version": version, "updated_at": updated_at}
    for name, value in references.items():
        values[name] = value if isinstance(value, int) else str(value)

    @transactional  # type: ignore[untyped-decorator, unused-ignore]
    def write_if_newer(transaction: Any) -> bool:
        held = reference.get(transaction=transaction)
        if held.exists and (held.get("version") or 0) >= version:
            return False
        transaction.set(reference, values)
        return True

    written: bool = write_if_newer(client.transaction())
    return written
