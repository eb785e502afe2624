"""Encryption keys of locations: stored and shown, never used."""

from typing import Any

from google.cloud import tasks_v2

from emulators.api.refusals import invalid
from emulators.api.unary import Methods
from emulators.journal import Journal
from emulators.tasks import rules

CmekConfig: Any = tasks_v2.CmekConfig.pb()


class Encryption:
    """The CmekConfig of each location; journaled as `cmek/<name>`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._configs = {
            key.removeprefix("cmek/"): CmekConfig.FromString(value)
            for key, value in journal.items("cmek/")
        }

    def methods(self) -> Methods:
        return {
            self.get_cmek_config: (tasks_v2.GetCmekConfigRequest, tasks_v2.CmekConfig),
            self.update_cmek_config: (tasks_v2.UpdateCmekConfigRequest, tasks_v2.CmekConfig),
        }

    def get_cmek_config(self, request: Any) -> Any:
        _check_config_name(request.name)
        return self._configs.get(request.name, CmekConfig(name=request.name))

    def update_cmek_config(self, request: Any) -> Any:
        """Set the key of a location, none for an empty one."""
        name = request.cmek_config.name
        _check_config_name(name)
        paths = list(request.update_mask.paths) or ["kms_key"]
        if not set(paths) <= {"kms_key", "name", "*"}:
            raise invalid("The update mask names unknown fields.")
        config = CmekConfig(name=name, kms_key=request.cmek_config.kms_key)
        self._journal.put(f"cmek/{name}", config.SerializeToString())
        self._configs[name] = config
        return config


def _check_config_name(name: str) -> None:
    location, _, kind = name.rpartition("/")
    rules.check_location(location)
    if kind.lower() != "cmekconfig":
        raise invalid(f'"{name}" does not end in "cmekConfig".')
