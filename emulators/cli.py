"""The command `clinicloop`: the local cloud from a shell.

Heavy imports happen inside the commands, so that `clinicloop --help` is quick.
"""

import json
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emulators import foreground

if TYPE_CHECKING:
    from emulators.cloud import LocalCloud, Options

HOME = Path(".clinicloop")
STATE = "cloud.json"
CONSOLE_PORT = 8079
HOST_PORT = 8080
PROJECT = "clinicloop-local"
USAGE = 2
"""The exit status for what was asked wrongly."""

app = typer.Typer(help="Clinicloop's local cloud.", no_args_is_help=True, add_completion=False)


def _say(text: str, *, error: bool = False) -> None:
    typer.echo(text, err=error)


def _fail(text: str, status: int = 1) -> typer.Exit:
    _say(text, error=True)
    return typer.Exit(status)


# Running a cloud


@app.command()
def up(
    data: Annotated[
        Path, typer.Option("--data", help="The folder that keeps the cloud's state.")
    ] = HOME / "data",
    port: Annotated[
        int, typer.Option(help="The console's port; 0 takes free ports for everything.")
    ] = CONSOLE_PORT,
    host_port: Annotated[int, typer.Option(help="The functions' port.")] = HOST_PORT,
) -> None:
    """Run the whole local cloud until Ctrl-C, and print its address."""
    foreground.stop_cleanly()
    from emulators.cloud import Options

    def state(cloud: "LocalCloud") -> str:
        return json.dumps({"url": cloud.url, "pid": os.getpid(), "env": cloud.environment})

    ports = {"console": port, "host": host_port if port else 0}
    notice = foreground.Notice(HOME / STATE, state)
    _run(Options(data, ports=ports, traced=True), None, notice, "Clinicloop's local cloud")


@app.command()
def cloud(
    env: Annotated[Path, typer.Option(help="The file that gets VARIABLE=value lines.")],
    only: Annotated[
        str, typer.Option(help="Parts to start, with commas between them; default: all services.")
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(help="A folder to keep the state in; default: memory, nothing is left."),
    ] = None,
    port: Annotated[
        list[str] | None, typer.Option(help="PART=PORT, e.g. pubsub=8085; may be repeated.")
    ] = None,
    project: Annotated[str, typer.Option(help="GOOGLE_CLOUD_PROJECT.")] = PROJECT,
    webhooks: Annotated[
        str | None, typer.Option(help="Where vendors post: /chargebee, /twilio ... below this.")
    ] = None,
) -> None:
    """Run services for any project until SIGTERM; the env file appears when they are ready."""
    foreground.stop_cleanly()
    from emulators.cloud import Options

    names, ports = _parts(only), _ports(port or [])
    notice = foreground.Notice(env, foreground.shell_variables)
    try:
        notice.clear_way()
    except foreground.NotOurs as error:
        raise _fail(str(error), USAGE) from None
    with foreground.state_folder(data) as folder:
        options = Options(
            folder,
            ports=ports,
            product="host" in names,
            throwaway=data is None,
            in_memory=data is None,
            webhooks=webhooks,
            project=project,
        )
        _run(options, names, notice, "ready")


def _parts(only: str) -> frozenset[str]:
    """The parts that a list with commas names; all services for none."""
    from emulators.parts import SERVICES, UnknownPart, check_parts

    names = frozenset(name.strip() for name in only.split(",") if name.strip())
    try:
        check_parts(names)
    except UnknownPart as error:
        raise _fail(str(error), USAGE) from None
    return names or frozenset(SERVICES)


def _ports(given: list[str]) -> dict[str, int]:
    """The port of each part from PART=PORT; `console` has one too."""
    from emulators.parts import PARTS

    ports = {}
    for pair in given:
        name, _, number = pair.partition("=")
        known = name in (*PARTS, "console")
        if not known or not number.isdecimal() or int(number) > 65_535:
            raise _fail(f"--port {pair} is not PART=PORT, as in pubsub=8085", USAGE)
        ports[name] = int(number)
    return ports


def _run(
    options: "Options", only: frozenset[str] | None, notice: foreground.Notice, greeting: str
) -> None:
    try:
        foreground.run(options, only, notice, lambda cloud: _say(f"{greeting}: {cloud.url}"))
    except foreground.NotStarted as error:
        raise _fail(f"The local cloud did not start: {error}") from None


# Talking to a running cloud

Cloud = Annotated[
    str | None,
    typer.Option(
        "--cloud", envvar=foreground.MARK, help="The console's address; default: the one of `up`."
    ),
]


@app.command()
def time(
    to: Annotated[str, typer.Argument(help="+6mo, P6M, or an instant.")], cloud: Cloud = None
) -> None:
    """Move virtual time; everything due on the way happens, in order."""
    moved = _ask(cloud, "POST", "/api/time", {"by" if to[:1] in ("+", "P") else "to": to})
    _say(f"{moved['before']} -> {moved['now']}")


@app.command()
def fault(
    target: Annotated[
        str | None, typer.Argument(help="A service, `<vendor>-webhooks`, or `clear`.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Argument(
            help="down, error, 429, slow, hang, drop-connection, fail-after-success; "
            "of deliveries: duplicate, reorder, delay"
        ),
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Argument(help="How late (slow and delay), how long (10m), what part of calls (30%)."),
    ] = None,
    cloud: Cloud = None,
) -> None:
    """Put a fault in force, list those in force, or clear them.

    clinicloop fault pubsub down 10m; clinicloop fault; clinicloop fault clear [TARGET]
    """
    if target is None:
        _show_faults(_ask(cloud, "GET", "/api/faults"))
    elif target == "clear":
        _ask(cloud, "DELETE", f"/api/faults?target={kind}" if kind else "/api/faults")
        _say("cleared")
    elif kind is None:
        raise _fail("Say what is to be wrong, as in `clinicloop fault pubsub down`.", USAGE)
    else:
        _show_faults(_ask(cloud, "POST", "/api/faults", _fault(target, kind, limits or [])))


def _fault(target: str, kind: str, limits: list[str]) -> dict[str, Any]:
    """The fault as the control API takes it; the first step of slow and delay is how late."""
    body: dict[str, Any] = {"target": target, "kind": kind}
    steps = [limit for limit in limits if not limit.endswith("%")]
    for share in (limit for limit in limits if limit.endswith("%")):
        body["share"] = _share(share)
    if steps and kind in ("slow", "delay"):
        body["late"] = steps.pop(0)
    if len(steps) > 1:
        raise _fail(f"One duration is enough: {' '.join(steps)}", USAGE)
    return body | ({"for": steps[0]} if steps else {})


def _show_faults(answer: dict[str, Any]) -> None:
    for each in answer["faults"]:
        late = f" by {each['late']:g} s" if each["late"] else ""
        until = f" until {each['until']}" if each["until"] else ""
        _say(f"{each['target']}: {each['kind']}{late} for {each['share']:.0%} of calls{until}")
    if not answer["faults"]:
        _say("no faults")


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise _fail(f"{text} is no part of the calls: write 20%, or 100% at most", USAGE)
    return share


@app.command()
def state(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    cloud: Cloud = None,
) -> None:
    """Show what the running cloud holds."""
    found = _ask(cloud, "GET", "/api/state")
    if as_json:
        _say(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{_address(cloud)}  virtual time {found['clock']['now'][:19]}Z")
    table.add_column("what")
    table.add_column("how many", justify="right")
    for name, rows in found.items():
        if isinstance(rows, list):
            table.add_row(name.replace("_", " "), str(len(rows)))
    skipped = sum(job["skipped"] for job in found["jobs"])
    table.add_row("runs of jobs skipped, nothing to see", str(skipped))
    Console().print(table)


def _address(cloud: str | None) -> str:
    """Where the running cloud is: as given, or by the state file of `up` under this folder."""
    if cloud:
        return cloud.rstrip("/")
    try:
        return str(json.loads((HOME / STATE).read_text())["url"])
    except FileNotFoundError:
        raise _fail(
            "No local cloud is running here; start one with `clinicloop up`, or name one by "
            f"--cloud or {foreground.MARK}."
        ) from None


def _ask(
    cloud: str | None, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Call the control API; its errors end the command with status 1."""
    request = urllib.request.Request(  # noqa: S310 -- the address is the local cloud's
        _address(cloud) + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=900) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise _fail(_detail(error)) from None
    except urllib.error.URLError as error:
        raise _fail(f"The local cloud does not answer: {error.reason}") from None
    except (OSError, HTTPException, ValueError):
        raise _fail(f"{_address(cloud)} is no local cloud's console.") from None


def _detail(error: urllib.error.HTTPError) -> str:
    """What the control API says of an error; something else may have answered."""
    with error:
        try:
            return str(json.load(error)["detail"])
        except (ValueError, LookupError, TypeError):
            return f"{error.url} is no local cloud's console: {error}"


def _register_demo() -> None:
    """Add the command `demo` where its module is there."""
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec("emulators.demo") is not None:
        import_module("emulators.demo").register(app)


_register_demo()

if __name__ == "__main__":
    app(prog_name="clinicloop")
