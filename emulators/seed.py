"""Seeded input that looks real: what both clinics sell, and customers with a life ahead.

Nobody is meant: names are combined at random, e-mail goes to example.com and example.org
(RFC 2606), telephone numbers come from ranges that national regulators keep free for fiction.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

CLINICS = ("Clinicloop Berlin", "Clinicloop Boston")


@dataclass(frozen=True)
class Treatment:
    """Prices in euro cents. `six_months` is paid upfront, None where that is no option."""

    id: str
    name: str
    monthly: int
    six_months: int | None

    @property
    def monthly_price_id(self) -> str:
        return f"{self.id}-monthly-EUR"

    @property
    def quarterly_price_id(self) -> str:
        return f"{self.id}-quarterly-EUR"

    @property
    def upfront_price_id(self) -> str | None:
        return None if self.six_months is None else f"{self.id}-6month-EUR"


TREATMENTS = (
    Treatment("hair-loss", "Hair loss treatment", 3900, 19_900),
    Treatment("weight-management", "Weight management programme", 14_900, 79_900),
    Treatment("skin-care", "Skin care treatment", 2900, None),
)


def _prices() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for treatment in TREATMENTS:
        common: dict[str, Any] = {
            "item_id": treatment.id,
            "pricing_model": "flat_fee",
            "currency_code": "EUR",
            "period_unit": "month",
        }
        monthly = {"id": treatment.monthly_price_id, "name": f"{treatment.name}, monthly"}
        rows.append(common | monthly | {"price": treatment.monthly, "period": 1})
        quarterly = {"id": treatment.quarterly_price_id, "name": f"{treatment.name}, quarterly"}
        rows.append(common | quarterly | {"price": treatment.monthly * 3, "period": 3})
        if treatment.six_months is not None:
            upfront = {"id": treatment.upfront_price_id, "name": f"{treatment.name}, six months"}
            rows.append(common | upfront | {"price": treatment.six_months, "period": 6})
    return rows


CATALOG: dict[str, list[dict[str, Any]]] = {
    "item_family": [{"id": "treatments", "name": "Treatments"}],
    "item": [
        {"id": one.id, "name": one.name, "type": "plan", "item_family_id": "treatments"}
        for one in TREATMENTS
    ],
    "item_price": _prices(),
}
"""Chargebee objects by kind, in the order in which they can be created."""


@dataclass(frozen=True)
class SeedCustomer:
    """A person and what they will do. Months count from the start of the first contract, from 1.

    `card` is a payment behaviour of the Chargebee fake. `phone` is E.164, `locale` BCP 47, `zone`
    an IANA name. `resumes_month` is None for a pause without an end or for no pause at all.
    """

    id: str
    given_name: str
    family_name: str
    email: str
    phone: str
    locale: str
    zone: str
    clinic: int
    treatment: str
    item_price_id: str
    upfront: bool
    starts_after_days: int
    card: str
    renews: bool
    cancels_month: int | None = None
    pauses_month: int | None = None
    resumes_month: int | None = None
    changes_plan_month: int | None = None
    changes_plan_to: str | None = None
    changes_phone_month: int | None = None
    new_phone: str | None = None

    def as_chargebee(self) -> dict[str, str]:
        """The parameters with which Chargebee creates this customer."""
        return {
            "id": self.id,
            "first_name": self.given_name,
            "last_name": self.family_name,
            "email": self.email,
            "phone": self.phone,
            "locale": self.locale,
            "cf_test_card": self.card,
        }


@dataclass(frozen=True)
class _People:
    """Where a share of the customers comes from. `region` names their range of phone numbers."""

    weight: int
    clinic: int
    locale: str
    region: str
    zones: tuple[str, ...]
    given: str
    family: str


_PEOPLE = (
    _People(24, 0, "de-DE", "DE", ("Europe/Berlin",),
        "Anna Ben Clara Emil Frieda Greta Hannes Ida Jonas Karla Lukas Marie Nils Theo Wiebke",
        "Albrecht Bauer Dietrich Engel Fischer Günther Hartmann Jäger Köhler Möller Schröder "
        "Vogt Weiß Ziegler"),
    _People(8, 0, "ar", "DE", ("Europe/Berlin",),
        "أحمد ليلى يوسف فاطمة عمر نور خالد مريم سامي هدى طارق رنا",
        "الخطيب حداد منصور النجار سليمان العلي درويش قاسم الشامي"),
    _People(7, 0, "tr-TR", "DE", ("Europe/Berlin", "Europe/Istanbul"),
        "Ayşe Mehmet Elif Emre Zeynep Can Defne Burak Selin Kerem",
        "Kaya Demir Şahin Çelik Öztürk Arslan Güneş Bulut"),
    _People(10, 0, "fr-FR", "FR", ("Europe/Paris",),
        "Camille Léo Chloé Hugo Inès Jules Manon Noé Zoé Gaspard Élodie Rémi",
        "Bernard Dubois Fournier Girard Lefèvre Mercier Noël Petit Rousseau Faure"),
    _People(10, 0, "en-GB", "GB", ("Europe/London",),
        "Oliver Amelia Harry Isla Jack Poppy Rhys Siobhan Callum Niamh Tariq Precious",
        "Abbott Clarke Davies Evans Hughes MacLeod O'Neill Patel Okafor Whitfield"),
    _People(6, 0, "es-ES", "FR", ("Europe/Madrid", "Atlantic/Canary"),
        "Lucía Mateo Sofía Martín Carmen Hugo Íñigo Nuria Álvaro Begoña",
        "García Fernández Muñoz Ibáñez Serrano Núñez Romero Peña"),
    _People(5, 0, "en-IN", "GB", ("Asia/Kolkata",),
        "Aarav Ananya Rohan Priya Vikram Meera Arjun Kavya",
        "Iyer Sharma Banerjee Reddy Nair Kulkarni Chatterjee"),
    _People(18, 1, "en-US", "US", ("America/New_York", "America/Chicago", "America/Los_Angeles"),
        "Aaliyah Brandon Chloe Diego Ethan Grace Hunter Jasmine Kevin Lena Marcus Naomi Owen Tyler",
        "Anderson Brooks Carter Diaz Ellis Foster Graham Hayes Jackson Kim Lopez Nguyen Turner"),
    _People(7, 1, "es-US", "US", ("America/Chicago", "America/Phoenix", "America/Puerto_Rico"),
        "Alejandra Carlos Daniela Esteban Guadalupe Javier Marisol Ramón Ximena",
        "Castillo Delgado Espinoza Herrera Mendoza Ortiz Ríos Zúñiga"),
    _People(4, 1, "en-CA", "CA", ("America/St_Johns", "America/Halifax"),
        "Liam Charlotte Ewan Maeve Declan Saoirse Gordon Bridget",
        "Power Walsh Penney Tremblay Fitzgerald Roche"),
    _People(4, 1, "en-AU", "AU", ("Australia/Adelaide", "Australia/Darwin"),
        "Lachlan Matilda Cooper Ruby Angus Kirra Jarrah Sienna",
        "Thompson Nguyen Campbell Papadopoulos Mitchell Wright"),
    _People(3, 1, "zh-Hans", "US", ("America/Los_Angeles",),
        "伟 芳 娜 敏 静 磊 洋 艳", "王 李 张 刘 陈 杨 赵 黄"),
)  # fmt: skip

_US_AREAS = (
    202,
    206,
    212,
    213,
    214,
    303,
    305,
    312,
    404,
    415,
    503,
    512,
    602,
    617,
    702,
    713,
    808,
    857,
)
_CARDS = (
    (80, "ok"),
    (5, "soft_decline_twice"),
    (6, "ok*2,insufficient_funds*2,ok"),
    (4, "ok*3,expired_card"),
    (3, "hard_decline"),
    (2, "always_declined"),
)


def _phone(region: str, number: int) -> str:
    """The `number`-th phone number that `region` keeps free for fiction.

    Bundesnetzagentur (DE: two hundred mobile ones, then Berlin's), ARCEP (FR), Ofcom (GB), ACMA
    (AU), 555-01XX of the NANP (US, CA). Only ranges which the phonenumbers library calls valid.
    """
    if region == "DE":
        mobile = ("+49171392{:04d}", "+49176040690{:02d}")
        if number < 200:
            return mobile[number // 100].format(number % 100)
        return f"+493023125{number % 1000:03d}"
    if region == "FR":
        return f"+3319900{number % 10_000:04d}"
    if region == "GB":
        return f"+442079460{number % 1000:03d}"
    if region == "AU":
        return f"+6187010{number % 10_000:04d}"
    areas = (709, 902) if region == "CA" else _US_AREAS
    area, line = areas[number // 100 % len(areas)], number % 100
    return f"+1{area}55501{line:02d}"


class _Numbers:
    """Hands numbers out, region by region, none twice before a range is used up."""

    def __init__(self, random: Random) -> None:
        self._used: dict[str, int] = {}
        self._start = random.randrange(50)

    def take(self, region: str) -> str:
        number = self._used.get(region, self._start)
        self._used[region] = number + 1
        return _phone(region, number)


def customers(count: int, seed: int) -> list[SeedCustomer]:
    """`count` customers, the same for the same seed; a larger count begins with a smaller one's."""
    random = Random(f"customers {seed}")  # noqa: S311 -- reproducible, guards nothing
    numbers = _Numbers(random)
    own = (Random(random.getrandbits(64)) for _ in range(count))  # noqa: S311
    return [_customer(index, source, numbers) for index, source in enumerate(own)]


def _customer(index: int, random: Random, numbers: _Numbers) -> SeedCustomer:
    people = random.choices(_PEOPLE, [group.weight for group in _PEOPLE])[0]
    given, family = random.choice(people.given.split()), random.choice(people.family.split())
    treatment = random.choices(TREATMENTS, (5, 3, 2))[0]
    upfront = treatment.upfront_price_id is not None and random.random() < 0.4
    often = treatment.monthly_price_id if random.random() < 0.3 else treatment.quarterly_price_id
    price_id = treatment.upfront_price_id if upfront else often
    ascii_name = f"{given}.{family}".lower()
    local = ascii_name if ascii_name.replace(".", "").isascii() else f"customer.{people.locale}"
    local = "".join(letter for letter in local.lower() if letter.isalnum() or letter in ".-")
    life = _life(random, treatment, upfront, people.region, numbers)
    return SeedCustomer(
        id=f"cust-{index + 1:05d}",
        given_name=given,
        family_name=family,
        email=f"{local}.{index + 1}@example.{random.choice(('com', 'org'))}",
        phone=numbers.take(people.region),
        locale=people.locale,
        zone=random.choice(people.zones),
        clinic=people.clinic,
        treatment=treatment.id,
        item_price_id=str(price_id),
        upfront=upfront,
        starts_after_days=random.choice((0, 0, 1, 1, 2, 3, 5, 7, 10, 14)),
        card=random.choices([card for _, card in _CARDS], [share for share, _ in _CARDS])[0],
        **life,
    )


def _life(
    random: Random, treatment: Treatment, upfront: bool, region: str, numbers: _Numbers
) -> dict[str, Any]:
    """What the customer does later. Of ten, about seven just renew."""
    lot = random.random()
    life: dict[str, Any] = {"renews": True}
    if lot < 0.13:
        life.update(renews=False, cancels_month=random.randint(1, 6))
    elif lot < 0.21 and not upfront:
        pauses = random.randint(2, 4)
        life["pauses_month"] = pauses
        life["resumes_month"] = random.choice((pauses + 1, pauses + 2, None))
        life["renews"] = life["resumes_month"] is not None
    elif lot < 0.29 and not upfront:
        others = [one for one in TREATMENTS if one is not treatment]
        life["changes_plan_month"] = random.randint(2, 5)
        life["changes_plan_to"] = random.choice(others).monthly_price_id
    if random.random() < 0.06:
        life["changes_phone_month"] = random.randint(1, 6)
        life["new_phone"] = numbers.take(region)
    return life
