"""The checkout's side of the journey: what the clinic's shop does at Chargebee, by its API v2."""

from datetime import datetime

import httpx

from emulators.seed import SeedCustomer


class Checkout:
    """The shop's connection to the local Chargebee site."""

    def __init__(self, environment: dict[str, str], timeout: float = 30) -> None:
        self._http = httpx.Client(
            base_url=f"{environment['CHARGEBEE_URL']}/api/v2",
            auth=(environment["CHARGEBEE_API_KEY"], ""),
            timeout=timeout,
        )

    def buy(self, customer: SeedCustomer, customer_id: str, clinic_id: str, at: datetime) -> str:
        """Create the customer and a subscription that begins at `at`; answers its id."""
        self.introduce(customer, customer_id, clinic_id)
        return self.subscribe(customer_id, clinic_id, customer.item_price_id, at)

    def introduce(self, customer: SeedCustomer, customer_id: str, clinic_id: str) -> None:
        """Create the customer under the id that the product gave them."""
        person = customer.as_chargebee() | {"id": customer_id, "cf_clinic_id": clinic_id}
        self._post("/customers", person)

    def subscribe(self, customer_id: str, clinic_id: str, price: str, at: datetime) -> str:
        """A subscription of a known customer, which begins at `at`; answers its id."""
        items = {
            "subscription_items[item_price_id][0]": price,
            "subscription_items[quantity][0]": "1",
            "start_date": str(int(at.timestamp())),
            "cf_clinic_id": clinic_id,
        }
        path = f"/customers/{customer_id}/subscription_for_items"
        subscription_id: str = self._post(path, items)["subscription"]["id"]
        return subscription_id

    def _post(self, path: str, form: dict[str, str]) -> dict[str, dict[str, str]]:
        answer = self._http.post(path, data=form)
        answer.raise_for_status()
        found: dict[str, dict[str, str]] = answer.json()
        return found

    def close(self) -> None:
        self._http.close()
