"""What an operator does about a function's dead letters: look, replay one, replay many.

GET /dead-letters lists what waits; POST /dead-letters/<id> replays one, POST /dead-letters/replay a
batch. Lists and batches are narrowed down by `handler` and by how the `reason` begins, and gone on
with by `after`. Bodies are not shown: nobody knows what is in a message that makes no sense.
"""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Request, Response, json
from pydantic import ConfigDict, Field, ValidationError

from shared.kernel import clock
from shared.kernel.errors import DomainError, NotFound
from shared.kernel.model import Model
from shared.platform import dead_letters
from shared.platform.dead_letters import DeadLetter
from shared.runtime import parking, problems

Redo = Callable[[DeadLetter], list[DeadLetter]]
"""Handles a parked request anew; answers what was parked anew of it, raises what may pass."""
_BATCH = "replay"
_BATCH_SECONDS = 20.0
"""A batch begins no other letter after so many real seconds: callers do not wait for ever."""


class Wanted(Model):
    """Which letters are meant: at most `limit` of those after the one named `after`."""

    model_config = ConfigDict(extra="forbid")

    handler: str | None = None
    reason: str = ""
    limit: int = Field(default=100, ge=1, le=500)
    after: UUID | None = None

    def waiting(self, function: str) -> list[DeadLetter]:
        return dead_letters.waiting(function, self.handler, self.reason, self.after, self.limit)


def serve(function: str, request: Request, rest: str, redo: Redo) -> Response:
    """Answer an operator; `rest` is the path behind `/dead-letters`."""
    if request.method != ("POST" if rest else "GET"):
        raise NotFound("not-found", "There is no such trigger.")
    if rest not in ("", _BATCH):
        return _one(function, rest, redo)
    try:
        wanted = Wanted.model_validate(request.args.to_dict())
    except ValidationError as error:
        return problems.of_validation(error.errors(include_url=False, include_input=False))
    found = wanted.waiting(function)
    if rest:
        return _json(_many(found, wanted, redo))
    after = found[-1].id if len(found) == wanted.limit else None
    return _json({"letters": [_view(one) for one in found], "next": after})


def _one(function: str, letter: str, redo: Redo) -> Response:
    """204: it took effect, now or before. 422: it was parked anew. 503: something is away."""
    found = dead_letters.find(function, _uuid(letter))
    if found is None:
        raise NotFound("not-found", "There is no such dead letter.")
    parked = _replay(found, redo)
    if not parked:
        return Response(status=204)
    reasons = "; ".join(sorted({one.reason for one in parked}))
    return problems.problem(
        422, "parked-again", f"It still fails: {reasons}", letters=[str(one.id) for one in parked]
    )


def _replay(letter: DeadLetter, redo: Redo) -> list[DeadLetter]:
    """What of it stays undone has a letter of its own: only then this one goes on waiting."""
    parked = redo(letter)
    if letter.id not in {one.id for one in parked}:
        dead_letters.mark_replayed(letter.id, clock.now())
    return parked


def _many(letters: list[DeadLetter], wanted: Wanted, redo: Redo) -> dict[str, Any]:
    """Replay each, whatever becomes of the others; `next` is where the next batch begins."""
    until = time.monotonic() + _BATCH_SECONDS
    replayed, failed, after = 0, [], wanted.after
    for letter in letters:
        if time.monotonic() > until:
            break
        try:
            parked = _replay(letter, redo)
        except Exception as error:  # noqa: BLE001 -- said of this letter; the others go on
            failed.append(_view(letter) | {"reason": _why(error)})
        else:
            replayed += not parked
            failed += [_view(one) for one in parked]
        after = letter.id
    done = len(letters) < wanted.limit and (not letters or after == letters[-1].id)
    return {"replayed": replayed, "failed": failed, "next": None if done else after}


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, DomainError) else f"Try again: {parking.reason(error)}"


def _view(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "handler": letter.handler,
        "path": letter.path,
        "type": letter.attributes.get("ce-type"),
        "reason": letter.reason,
        "created_at": letter.created_at.isoformat(),
    }


def _json(view: dict[str, Any]) -> Response:
    return Response(json.dumps(view), content_type="application/json")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("not-found", "There is no such dead letter.") from None
