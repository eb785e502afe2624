"""Pages of a listing: sorted by name, the token is the last name seen."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable

from emulators.pubsub.wire import Proto, invalid

MOST_PER_PAGE = 1000


def page(names: Iterable[str], request: Proto) -> tuple[list[str], str]:
    """The page of `names` that `request` asks for, and the token of the next (empty at the end).

    INVALID_ARGUMENT for a negative size or a token that this listing never gave.
    """
    if request.page_size < 0:
        raise invalid("page_size must not be negative.")
    size = min(request.page_size or MOST_PER_PAGE, MOST_PER_PAGE)
    after = ""
    if request.page_token:
        try:
            after = urlsafe_b64decode(request.page_token).decode()
        except ValueError:
            raise invalid("Invalid page_token.") from None
    left = sorted(name for name in names if name > after)
    shown = left[:size]
    more = len(left) > size
    return shown, urlsafe_b64encode(shown[-1].encode()).decode() if more else ""
