"""The filters of a structured query, as predicates over documents.

Rules: google.firestore.v1.StructuredQuery. A comparison holds only between values of one type;
negations hold only where the field exists and is not null. Null and NaN are found by the unary
filters alone.
"""

from collections.abc import Callable, Iterator
from math import prod

from emulators.api.refusals import invalid
from emulators.firestore.documents import Version
from emulators.firestore.messages import Message, StructuredQuery
from emulators.firestore.names import NAME, FieldPath, check_within, field_path
from emulators.firestore.values import ARRAY, NAN_KEY, NULL, NULL_KEY, Key, key

Predicate = Callable[[Version], bool]
Test = Callable[[Key], bool]

_Field = StructuredQuery.FieldFilter
_Unary = StructuredQuery.UnaryFilter
_Composite = StructuredQuery.CompositeFilter
_ORDERED = {_Field.LESS_THAN, _Field.LESS_THAN_OR_EQUAL} | {
    _Field.GREATER_THAN,
    _Field.GREATER_THAN_OR_EQUAL,
}
_MEMBERSHIP = {_Field.IN, _Field.ARRAY_CONTAINS_ANY, _Field.NOT_IN}
_MOST_DISJUNCTIONS = 30
_MOST_NEGATED = 10
_NOT_A_KEY = "__key__ filter value must be a Key"


def predicate(condition: Message, root: str) -> Predicate:
    """The Filter of a query below `root` as a predicate.

    Raises INVALID_ARGUMENT for a filter that Firestore refuses.
    """
    holds = _predicate(condition, root)
    _check_combination(condition)
    return holds


def inequality_fields(condition: Message) -> list[FieldPath]:
    """The fields under inequality filters, sorted; queries are ordered by them implicitly."""
    found = set()
    for leaf in _leaves(condition):
        if isinstance(leaf, _Field):
            if leaf.op in _ORDERED or leaf.op in (_Field.NOT_EQUAL, _Field.NOT_IN):
                found.add(field_path(leaf.field.field_path))
        elif leaf.op in (_Unary.IS_NOT_NAN, _Unary.IS_NOT_NULL):
            found.add(field_path(leaf.field.field_path))
    return sorted(found)


def equality_fields(condition: Message) -> list[FieldPath]:
    """The other filtered fields, in the order of their filters."""
    fields = dict.fromkeys(field_path(leaf.field.field_path) for leaf in _leaves(condition))
    unequal = inequality_fields(condition)
    return [path for path in fields if path not in unequal]


def _predicate(condition: Message, root: str) -> Predicate:
    kind = condition.WhichOneof("filter_type")
    if kind == "composite_filter":
        parts = [_predicate(part, root) for part in condition.composite_filter.filters]
        if not parts:
            raise invalid("Composite filter must have at least one sub-filter.")
        if condition.composite_filter.op == _Composite.AND:
            return lambda version: all(part(version) for part in parts)
        if condition.composite_filter.op == _Composite.OR:
            return lambda version: any(part(version) for part in parts)
        raise invalid("Unsupported CompositeFilter operator.")
    if kind == "field_filter":
        leaf = condition.field_filter
        return _on(field_path(leaf.field.field_path), _field_test(leaf, root))
    if kind == "unary_filter":
        leaf = condition.unary_filter
        return _on(field_path(leaf.field.field_path), _unary_test(leaf))
    raise invalid("Unknown Filter type.")


def _on(path: FieldPath, test: Test) -> Predicate:
    def holds(version: Version) -> bool:
        found = version.key(path)
        return found is not None and test(found)

    return holds


def _unary_test(leaf: Message) -> Test:
    if leaf.op not in _UNARY_TESTS:
        raise invalid("Unknown UnaryFilter operator.")
    if field_path(leaf.field.field_path) == NAME:
        raise invalid(_NOT_A_KEY)
    return _UNARY_TESTS[leaf.op]


_UNARY_TESTS: dict[int, Test] = {
    _Unary.IS_NULL: lambda found: found == NULL_KEY,
    _Unary.IS_NAN: lambda found: found == NAN_KEY,
    _Unary.IS_NOT_NULL: lambda found: found != NULL_KEY,
    _Unary.IS_NOT_NAN: lambda found: found not in (NAN_KEY, NULL_KEY),
}


def _field_test(leaf: Message, root: str) -> Test:
    operand = key(leaf.value)
    if field_path(leaf.field.field_path) == NAME:
        _check_names(leaf, root)
    if leaf.op in _MEMBERSHIP:
        return _membership_test(leaf, operand)
    tests: dict[int, Test] = {
        _Field.EQUAL: lambda found: found == operand,
        _Field.NOT_EQUAL: lambda found: found not in (operand, NULL_KEY),
        _Field.LESS_THAN: lambda found: _comparable(found, operand) and found < operand,
        _Field.LESS_THAN_OR_EQUAL: lambda found: _comparable(found, operand) and found <= operand,
        _Field.GREATER_THAN: lambda found: _comparable(found, operand) and found > operand,
        _Field.GREATER_THAN_OR_EQUAL: lambda found: (
            _comparable(found, operand) and found >= operand
        ),
        _Field.ARRAY_CONTAINS: lambda found: found[0] == ARRAY and operand in found[1],
    }
    if leaf.op not in tests:
        raise invalid("Unknown FieldFilter operator.")
    if operand == NULL_KEY or (operand == NAN_KEY and leaf.op != _Field.NOT_EQUAL):
        return _never  # that is what the unary filters are for
    if operand == NAN_KEY:
        return lambda found: found != NULL_KEY
    return tests[leaf.op]


def _never(_: Key) -> bool:
    return False


def _comparable(found: Key, operand: Key) -> bool:
    return bool(found[0] == operand[0]) and found != NAN_KEY


def _check_names(leaf: Message, root: str) -> None:
    """Names are compared with names of documents in the same database."""
    if leaf.op in (_Field.ARRAY_CONTAINS, _Field.ARRAY_CONTAINS_ANY):
        raise invalid("the name __key__ is reserved")
    values = leaf.value.array_value.values if leaf.op in _MEMBERSHIP else [leaf.value]
    for value in values:
        if value.WhichOneof("value_type") != "reference_value":
            raise invalid(_NOT_A_KEY)
        check_within(value.reference_value, root)


def _membership_test(leaf: Message, operand: Key) -> Test:
    name = _Field.Operator.Name(leaf.op)
    if operand[0] != ARRAY:
        raise invalid(f"'{name}' requires an ArrayValue.")
    if not operand[1]:
        raise invalid(f"'{name}' requires an non-empty ArrayValue.")
    most = _MOST_NEGATED if leaf.op == _Field.NOT_IN else _MOST_DISJUNCTIONS
    if len(operand[1]) > most:
        raise invalid(f"'{name}' supports up to {most} comparison values.")
    options = frozenset(operand[1]) - {NULL_KEY, NAN_KEY}  # these equal nothing, not themselves
    if leaf.op == _Field.IN:
        return lambda found: found in options
    if leaf.op == _Field.ARRAY_CONTAINS_ANY:
        return lambda found: found[0] == ARRAY and not options.isdisjoint(found[1])
    if NULL_KEY in operand[1]:
        return _never
    return lambda found: found[0] != NULL and found not in options


def _leaves(condition: Message) -> Iterator[Message]:
    if condition.WhichOneof("filter_type") == "composite_filter":
        for part in condition.composite_filter.filters:
            yield from _leaves(part)
    elif condition.WhichOneof("filter_type"):
        yield getattr(condition, condition.WhichOneof("filter_type"))


def _check_combination(condition: Message) -> None:
    """Refuse combinations that Firestore refuses, as the operators' documentation lists them."""
    leaves = list(_leaves(condition))
    fields = [leaf.op for leaf in leaves if isinstance(leaf, _Field)]
    unary = [leaf.op for leaf in leaves if isinstance(leaf, _Unary)]
    negations = sum(op in (_Field.NOT_EQUAL, _Field.NOT_IN) for op in fields)
    negations += sum(op in (_Unary.IS_NOT_NAN, _Unary.IS_NOT_NULL) for op in unary)
    if negations > 1:
        raise invalid(
            "Only a single 'NOT_EQUAL', 'NOT_IN', 'IS_NOT_NAN', or 'IS_NOT_NULL' filter"
            " allowed per query."
        )
    disjunctions = _disjunctions(condition)
    alternatives = {_Field.IN, _Field.ARRAY_CONTAINS_ANY}.intersection(fields)
    if _Field.NOT_IN in fields and (disjunctions > 1 or alternatives):
        raise invalid(
            "'NOT_IN' cannot be used in the same query with 'IN', 'ARRAY_CONTAINS_ANY' or 'OR'."
        )
    if disjunctions > _MOST_DISJUNCTIONS:
        raise invalid(
            f"Too many disjunctions after normalization. Result had {disjunctions} disjunctions"
            f" which is more than the maximum of {_MOST_DISJUNCTIONS}"
        )
    if _contained(condition) > 1:
        raise invalid("A maximum of 1 'ARRAY_CONTAINS' filter is allowed per disjunction.")


def _contained(condition: Message) -> int:
    """The most filters on an array's content in one term of the disjunctive normal form."""
    if condition.WhichOneof("filter_type") == "composite_filter":
        terms = [_contained(part) for part in condition.composite_filter.filters]
        together = condition.composite_filter.op == _Composite.AND
        return sum(terms) if together else max(terms, default=0)
    return int(condition.field_filter.op in (_Field.ARRAY_CONTAINS, _Field.ARRAY_CONTAINS_ANY))


def _disjunctions(condition: Message) -> int:
    """How many terms the filter has in disjunctive normal form."""
    if condition.WhichOneof("filter_type") == "composite_filter":
        terms = [_disjunctions(part) for part in condition.composite_filter.filters]
        return prod(terms) if condition.composite_filter.op == _Composite.AND else sum(terms)
    leaf = condition.field_filter
    if leaf.op in (_Field.IN, _Field.ARRAY_CONTAINS_ANY):
        return len(leaf.value.array_value.values)
    return 1
