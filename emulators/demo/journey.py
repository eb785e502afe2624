"""The journey: sign up, live through eight virtual months, and check what must be true then."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dateutil.relativedelta import relativedelta
from httpx import HTTPError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from emulators.agenda import Unsettled
from emulators.cloud import CloudError, Options
from emulators.demo import facts, lives, timeline
from emulators.demo.portal import Person, Portal, PortalError
from emulators.demo.stage import CLINIC_IDS, OPENING, ZONES, Player, Stage, clinic_bodies, plans
from emulators.host_process import HostFailed
from emulators.running import running
from emulators.seed import SeedCustomer
from emulators.seed import customers as seeded

BEGINS = datetime(2026, 1, 5, 9, tzinfo=UTC)
MONTHS = 7
AT_ONCE = 6
ALONE = 10
"""So many sign up one by one at first, to see how long the welcome takes."""


def play(count: int, seed: int) -> bool:
    """Play with `count` customers; True when every fact is as it must be."""
    console = Console()
    try:
        return _played(console, count, seed)
    except (PortalError, CloudError, HostFailed, Unsettled, TimeoutError, HTTPError) as error:
        console.print(f"[red]The journey ended early.[/red] {type(error).__name__}: {error}")
        return False


def _played(console: Console, count: int, seed: int) -> bool:
    began = time.monotonic()
    console.print(
        f"[bold]The life of {count} contracts[/bold], seed {seed}, on a fresh local cloud"
    )
    with (
        tempfile.TemporaryDirectory(prefix="clinicloop-demo-") as folder,
        _progress(console) as show,
        running(_options(Path(folder), seed)) as cloud,
    ):
        stage = Stage(cloud)
        try:
            _perform(stage, seeded(count, seed), show)
            show.stop()
            timeline.show(stage, console)
            right = facts.show(facts.check(stage), console)
        finally:
            stage.close()
    console.print(f"{time.monotonic() - began:.1f} s, of which {stage.marks['speed']}")
    return right


def _options(folder: Path, seed: int) -> Options:
    return Options(folder, seed=seed, throwaway=True, in_memory=True, starts=BEGINS, frozen=True)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[now]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield progress


def _perform(stage: Stage, customers: list[SeedCustomer], show: Progress) -> None:
    open_clinics(stage.portal)
    stage.players = [_player(one) for one in customers]
    first, others = stage.players[:ALONE], stage.players[ALONE:]
    stage.marks["welcome"] = [_welcomed(stage, player) for player in first]
    _each(stage, show, "Customers sign up", others, lambda player: sign_up(stage, player))
    stage.cloud.settle()
    stage.cloud.advance(minutes=5)
    lives.choose_specials(stage)
    started = time.monotonic()
    _live(stage, show)
    took = time.monotonic() - started
    stage.marks["speed"] = f"{took:.1f} s for {MONTHS} virtual months"


def open_clinics(portal: Portal) -> None:
    """The operator names the clinics, their admins say what they sell."""
    operator = Person("operator@example.com", CLINIC_IDS[0])
    portal.appoint(operator, "SUPER_ADMIN")
    for clinic_id, body in clinic_bodies():
        operator.clinic_id = clinic_id
        portal.call(operator, "PUT", "", body)
        admin = Person(admin_of(clinic_id), clinic_id)
        portal.appoint(admin, "CLINIC_ADMIN")
        for code, plan in plans():
            portal.call(admin, "PUT", f"/plans/{code}", plan)


def admin_of(clinic_id: str) -> str:
    """The e-mail address of a clinic's admin."""
    return f"admin-{clinic_id[-1]}@example.com"


def _player(seed: SeedCustomer) -> Player:
    clinic, zone = CLINIC_IDS[seed.clinic], ZONES[seed.clinic]
    day = (BEGINS + timedelta(days=seed.starts_after_days)).astimezone(zone).date()
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return Player(seed, Person(seed.email, clinic), max(midnight, BEGINS + OPENING))


def registration(seed: SeedCustomer) -> dict[str, str]:
    """The body of POST /customers for somebody."""
    return {
        "given_name": seed.given_name,
        "family_name": seed.family_name,
        "email": seed.email,
        "phone": seed.phone,
        "locale": seed.locale,
        "time_zone": seed.zone,
    }


def sign_up(stage: Stage, player: Player) -> None:
    """Account, customer, subscription at Chargebee, contract (A7)."""
    seed, person = player.seed, player.person
    stage.portal.sign_up(person)
    person.id = stage.portal.call(person, "POST", "/customers", registration(seed))["id"]
    if int(seed.id.removeprefix("cust-")) % 5 == 0:
        device = {"push_token": f"device-of-{seed.id}"}
        stage.portal.call(person, "PATCH", "/customers/me", device)
    player.subscription_id = stage.checkout.buy(seed, person.id, person.clinic_id, player.starts_at)
    contract = {
        "plan": seed.item_price_id,
        "subscription_id": player.subscription_id,
        "starts_on": player.starts_on.isoformat(),
    }
    player.contract_id = stage.portal.call(person, "POST", "/contracts", contract)["id"]


def _welcomed(stage: Stage, player: Player) -> float:
    """Sign one customer up alone; real seconds from the inserted contract to the welcome mail."""
    sign_up(stage, player)
    asked = time.perf_counter()
    while not any(sent.to == player.seed.email for sent in stage.sent("sendgrid")):
        if time.perf_counter() - asked > 10:
            raise TimeoutError("no welcome message came within ten seconds")
        time.sleep(0.002)
    return time.perf_counter() - asked


def _live(stage: Stage, show: Progress) -> None:
    """Month by month: what customers decide, and in between what time brings."""
    task = show.add_task("Virtual months pass", total=MONTHS, now="")
    for month in range(1, MONTHS + 1):
        for instant, act in lives.agenda(stage, BEGINS, month):
            stage.cloud.advance(instant)
            show.update(task, now=f"{instant:%Y-%m-%d %H:%M}")
            act()
            stage.cloud.settle()
        stage.cloud.advance(BEGINS + relativedelta(months=month))
        show.update(task, advance=1, now=f"{stage.cloud.now:%Y-%m-%d %H:%M}")
    stage.cloud.advance(hours=20, minutes=30)
    stage.listen()


def _each(
    stage: Stage,
    show: Progress,
    what: str,
    players: Iterable[Player],
    act: Callable[[Player], None],
) -> None:
    """Let several act at a time; the first failure ends the demo."""
    todo = list(players)
    task = show.add_task(what, total=len(todo), now=f"{stage.cloud.now:%Y-%m-%d %H:%M}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(act, todo):
            show.advance(task)
