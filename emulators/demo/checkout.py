"""The checkout's side of the journey: what the clinic's shop does at Chargebee, by its API v2."""

from datetime import datetime

import httpx

from emulators.seed import SeedCustomer


class Checkout:
    """The shop's connection to the local Chargebee site."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._http = httpx.Client(
            base_url=f"{environment['CHARGEBEE_URL']}/api/v2",
            auth=(environment["CHARGEBEE_API_KEY"], ""),
            timeout=30,
        )

    def buy(self, customer: SeedCustomer, customer_id: str, clinic_id: str, at: datetime) -> str:
        """Create the customer and a subscription that begins at `at`; answers its id."""
        person = customer.as_chargebee() | {"id": customer_id, "cf_clinic_id": clinic_id}
        self._post("/customers", person)
        items = {
            "subscription_items[item_price_id][0]": customer.item_price_id,
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
