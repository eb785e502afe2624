"""The functions' host with newer code: `python -m tests.reliability.schema_change.newer both ...`.

Today's code knows a customer's `uid`. The code `both` writes `account` as well and reads whichever
is there; the code `final` knows `account` alone. To Postgres, code is the statements it sends: here
they are changed on their way there, so that all else is as it is in the repository.
"""

import re
import sys
from enum import StrEnum
from typing import Any

import sqlalchemy
from sqlalchemy import Engine

from emulators import host

_TABLE = "customers.customers"
_UID = re.compile(r"\buid\b")
_READ = re.compile(rf"{re.escape(_TABLE)}\.uid\b")
_INSERT = re.compile(rf"INSERT INTO {re.escape(_TABLE)} \((.*?)\) VALUES \((.*?)\)", re.DOTALL)
_UPDATE = re.compile(rf"UPDATE {re.escape(_TABLE)} SET (.*?)(?= WHERE )", re.DOTALL)


class Code(StrEnum):
    """Which code runs."""

    TODAY = "today"
    BOTH = "both"
    FINAL = "final"


def sent(code: Code, sql: str, parameters: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """What `code` sends where today's sends `sql`."""
    if code is Code.TODAY or _TABLE not in sql:
        return sql, parameters
    if code is Code.FINAL:
        return _UID.sub("account", sql), parameters
    if found := _INSERT.match(sql):
        names, values = found[1].split(", "), found[2].split(", ")
        place = names.index("uid")
        names, values = [*names, "account"], [*values, values[place]]
        sql = f"INSERT INTO {_TABLE} ({', '.join(names)}) VALUES ({', '.join(values)})"
        return sql + found.string[found.end() :], (*parameters, parameters[place])
    if found := _UPDATE.match(sql):
        sets = found[1].split(", ")
        if place := [number for number, one in enumerate(sets) if one.startswith("uid=")]:
            before, until = (found[1].count("%s", 0, found[1].index("uid=")), found[1].count("%s"))
            sets.append(sets[place[0]].replace("uid=", "account="))
            parameters = (*parameters[:until], parameters[before], *parameters[until:])
        sql = f"UPDATE {_TABLE} SET {', '.join(sets)}{sql[found.end() :]}"
    return _READ.sub(f"coalesce({_TABLE}.account, {_TABLE}.uid)", sql), parameters


def become(code: Code) -> None:
    """Let this process be one that runs `code`."""

    def send(_: Any, __: Any, sql: str, given: Any, ___: Any, many: bool) -> tuple[str, Any]:
        assert not many, "no statement of today's is sent for several rows at once"
        return sent(code, sql, tuple(given))

    sqlalchemy.event.listen(Engine, "before_cursor_execute", send, retval=True)


if __name__ == "__main__":
    become(Code(sys.argv.pop(1)))
    host.main()
