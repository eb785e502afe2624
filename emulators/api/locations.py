"""The locations of a project, as Google's regional services list them."""

from typing import Any

from google.cloud.location import locations_pb2

from emulators.api.paging import page
from emulators.api.refusals import invalid, not_found
from emulators.api.unary import Methods, handlers

_REGIONS = (
    "asia-east1",
    "asia-northeast1",
    "asia-south1",
    "asia-southeast1",
    "australia-southeast1",
    "europe-central2",
    "europe-north1",
    "europe-west1",
    "europe-west2",
    "europe-west3",
    "europe-west4",
    "europe-west6",
    "northamerica-northeast1",
    "southamerica-east1",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-west1",
    "us-west2",
)
_pb2: Any = locations_pb2


def locations_service() -> Any:
    """A gRPC handler for google.cloud.location.Locations: regions that serve Tasks and Scheduler.

    Resources may be made in any location, listed or not.
    """
    methods: Methods = {
        list_locations: (_pb2.ListLocationsRequest, _pb2.ListLocationsResponse),
        get_location: (_pb2.GetLocationRequest, _pb2.Location),
    }
    return handlers("google.cloud.location.Locations", methods)


def list_locations(request: Any) -> Any:
    project = _project(request.name)
    names = [f"projects/{project}/locations/{region}" for region in _REGIONS]
    cut, token = page(names, request, len(names))
    return _pb2.ListLocationsResponse(
        locations=[_location(name) for name in cut], next_page_token=token
    )


def get_location(request: Any) -> Any:
    parent, separator, region = request.name.rpartition("/locations/")
    _project(parent)
    if not separator or region not in _REGIONS:
        raise not_found(f'Location "{request.name}" was not found.')
    return _location(request.name)


def _project(name: str) -> str:
    kind, _, project = name.partition("/")
    if kind != "projects" or not project or "/" in project:
        raise invalid(f'"{name}" is not of the form projects/PROJECT_ID.')
    return project


def _location(name: str) -> Any:
    region = name.rpartition("/")[2]
    return _pb2.Location(
        name=name, location_id=region, labels={"cloud.googleapis.com/region": region}
    )
