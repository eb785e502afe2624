"""The command `clinicloop`: the local cloud from a shell.

Heavy imports happen inside the commands, so that `clinicloop --help` is quick.
"""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from emulators.cloud import LocalCloud, Options

HOME = Path(".clinicloop")
STATE = "cloud.json"
CONSOLE_PORT = 8079
HOST_PORT = 8080

app = typer.Typer(help="Clinicloop's local cloud.", no_args_is_help=True, add_completion=False)
Data = Annotated[Path, typer.Option("--data", help="The folder that keeps the cloud's state.")]


def _say(text: str, *, error: bool = False) -> None:
    typer.echo(text, err=error)


def _fail(text: str) -> typer.Exit:
    _say(text, error=True)
    return typer.Exit(1)


# Running a cloud


@app.command()
def up(
    data: Data = HOME / "data",
    port: Annotated[
        int, typer.Option(help="The console's port; 0 takes free ports for everything.")
    ] = CONSOLE_PORT,
    host_port: Annotated[int, typer.Option(help="The functions' port.")] = HOST_PORT,
) -> None:
    """Run the whole local cloud until Ctrl-C, and print its address."""
    from emulators.cloud import Options

    options = Options(data, console_port=port, host_port=host_port if port else 0)
    _run(options, None, lambda cloud: _say(f"Clinicloop's local cloud: {cloud.url}"))


@app.command()
def cloud(
    only: Annotated[str, typer.Option(help="Parts to start, with commas between them.")],
    env: Annotated[Path, typer.Option(help="The file that gets VARIABLE=value lines.")],
    data: Data = HOME / "engines",
) -> None:
    """Run only the named parts until SIGTERM; the env file appears when they are ready."""
    from emulators.cloud import Options

    def ready(cloud: "LocalCloud") -> None:
        import shlex

        values = cloud.environment | {"CLINICLOOP_CLOUD": cloud.url}
        if cloud.admin_url:
            values["DATABASE_ADMIN_URL"] = cloud.admin_url
        text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))
        _write(env, text)
        _say(f"ready: {cloud.url}")

    names = frozenset(name.strip() for name in only.split(",") if name.strip())
    _run(Options(data), names, ready)


def _run(options: "Options", only: frozenset[str] | None, ready: Any) -> None:
    """Start, tell where it is, wait for SIGINT or SIGTERM, stop."""
    import asyncio
    import logging

    from emulators.cloud import CloudError
    from emulators.host_process import HostFailed
    from emulators.postgres import PostgresError

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_until_told(options, only, ready))
    except (CloudError, HostFailed, PostgresError, OSError) as error:
        raise _fail(f"The local cloud did not start: {error}") from None


async def _until_told(options: "Options", only: frozenset[str] | None, ready: Any) -> None:
    import asyncio
    import signal

    from emulators.cloud import LocalCloud

    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    cloud = LocalCloud(options)
    start = asyncio.create_task(cloud.start(only))
    stop = asyncio.create_task(told.wait())
    await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
    state = HOME / STATE
    try:
        if told.is_set():
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            return
        await start
        _write(state, json.dumps({"url": cloud.url, "pid": os.getpid(), "env": cloud.environment}))
        ready(cloud)
        await told.wait()
    finally:
        stop.cancel()
        await cloud.stop()
        if state.exists() and json.loads(state.read_text())["pid"] == os.getpid():
            state.unlink()


def _write(file: Path, text: str) -> None:
    """Write a file of credentials, so that it appears whole and for its owner's eyes only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.touch(0o600)
    draft.write_text(text)
    draft.replace(file)


# Talking to a running cloud


@app.command()
def time(to: Annotated[str, typer.Argument(help="+6mo, P6M, or an instant.")]) -> None:
    """Move virtual time; everything due on the way happens, in order."""
    moved = _ask("POST", "/api/time", {"by" if to[:1] in ("+", "P") else "to": to})
    _say(f"{moved['before']} -> {moved['now']}")


@app.command()
def fault(
    target: Annotated[str, typer.Argument(help="An engine or vendor, or `clear`.")],
    kind: Annotated[
        str | None,
        typer.Argument(help="down, error, 429, slow, hang, fail-after-success, duplicate, reorder"),
    ] = None,
    limits: Annotated[
        list[str] | None, typer.Argument(help="How long (10m) and for what part of calls (30%).")
    ] = None,
) -> None:
    """Put a fault in force, or clear them: `clinicloop fault clear [TARGET]`."""
    if target == "clear":
        _ask("DELETE", f"/api/faults?target={kind}" if kind else "/api/faults")
        _say("cleared")
        return
    body: dict[str, Any] = {"target": target, "kind": kind}
    for limit in limits or []:
        if limit.endswith("%"):
            body["share"] = _share(limit)
        else:
            body["for"] = limit
    answer = _ask("POST", "/api/faults", body)
    for each in answer["faults"]:
        until = f" until {each['until']}" if each["until"] else ""
        _say(f"{each['target']}: {each['kind']} for {each['share']:.0%} of calls{until}")


def _share(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / 100
    except ValueError:
        raise typer.BadParameter(f"{text} is no percentage") from None


@app.command()
def state(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Show what the running cloud holds."""
    found = _ask("GET", "/api/state")
    if as_json:
        _say(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{_address()}  virtual time {found['clock']['now'][:19]}Z")
    table.add_column("what")
    table.add_column("how many", justify="right")
    for name, rows in found.items():
        if isinstance(rows, list):
            table.add_row(name.replace("_", " "), str(len(rows)))
    Console().print(table)


def _address() -> str:
    """Where the running cloud is: CLINICLOOP_CLOUD, or the state file under this folder."""
    if url := os.environ.get("CLINICLOOP_CLOUD"):
        return url
    try:
        return str(json.loads((HOME / STATE).read_text())["url"])
    except FileNotFoundError:
        raise _fail("No local cloud is running here; start one with `clinicloop up`.") from None


def _ask(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Call the control API; its errors end the command with status 1."""
    request = urllib.request.Request(  # noqa: S310 -- the address is the local cloud's
        _address() + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=900) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        with error:
            raise _fail(json.load(error).get("detail", str(error))) from None
    except urllib.error.URLError as error:
        raise _fail(f"The local cloud does not answer: {error.reason}") from None


def _register_demo() -> None:
    """Add the command `demo` where its module is there."""
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec("emulators.demo") is not None:
        import_module("emulators.demo").register(app)


_register_demo()

if __name__ == "__main__":
    app()
