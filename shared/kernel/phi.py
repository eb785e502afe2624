"""Protected health information, made hard to leak: it must be revealed on purpose."""

from typing import Any, Generic, TypeVar, get_args

from pydantic_core import core_schema

T = TypeVar("T")


class Phi(Generic[T]):
    """A value that is PHI. Printing, logging and formatting show `[phi]`; `reveal()` gives it.

    In pydantic models `Phi[str]` validates like `str`. It cannot be serialised: views and vendor
    requests reveal what they must hand over, field by field.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return "[phi]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Phi) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("PHI cannot be pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        inner = handler(get_args(source)[0])
        return core_schema.no_info_after_validator_function(
            lambda value: value if isinstance(value, Phi) else cls(value),
            core_schema.union_schema([core_schema.is_instance_schema(cls), inner]),
            serialization=core_schema.plain_serializer_function_ser_schema(_refuse),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        return handler(schema["schema"]["choices"][1])


def _refuse(_: Any) -> Any:
    raise TypeError("PHI is not serialised as it is: reveal it on purpose")
