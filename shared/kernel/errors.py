"""What can go wrong, said without transport. `runtime.problems` maps it to HTTP status codes."""


class DomainError(Exception):
    """A refusal the caller can understand; nothing was changed.

    `code` is stable and becomes the problem's type; `detail` is a helpful sentence without PHI.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Invalid(DomainError):
    """The request makes no sense as written."""


class Unauthenticated(DomainError):
    """Nobody known is calling."""


class Forbidden(DomainError):
    """The caller is known and may not do this."""


class NotFound(DomainError):
    """It does not exist, or it belongs to somebody else: the two are never told apart."""


class Conflict(DomainError):
    """It contradicts something that already is."""


class RuleViolated(DomainError):
    """The request is sound, but a business rule forbids it now."""


class TooMany(DomainError):
    """The caller must slow down; `retry_after` in seconds."""

    def __init__(self, code: str, detail: str, retry_after: int) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after


class VendorError(Exception):
    """A vendor call did not succeed. `vendor` and `reason` carry no PHI."""

    def __init__(self, vendor: str, reason: str) -> None:
        super().__init__(f"{vendor}: {reason}")
        self.vendor = vendor
        self.reason = reason


class VendorUnavailable(VendorError):
    """The vendor did surely nothing (refused, 429, 503 before acceptance); call again later."""


class VendorRefused(VendorError):
    """The vendor understood and said no; calling again is pointless."""


class OutcomeUnknown(VendorError):
    """The request left and no answer came: it may or may not have taken effect."""
