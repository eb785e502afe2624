"""The filters of a structured query, as predicates over documents.

Rules: google.firestore.v1.StructuredQuery. A comparison holds only between values of one type;
negations hold only where the field exists and is not null.
"""

from collections.abc import Callable, Iterator
from math import prod

from emulators.firestore.documents import Version
from emulators.firestore.messages import Message, StructuredQuery, invalid
from emulators.firestore.names import NAME, FieldPath, field_path
from emulators.firestore.values import ARRAY, NAN_KEY, NULL, NULL_KEY, REFERENCE, Key, key

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


def predicate(condition: Message) -> Predicate:
    """The Filter as a predicate. Raises INVALID_ARGUMENT for a filter that Firestore refuses."""
    _check_combination(condition)
    return _predicate(condition)


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


def _predicate(condition: Message) -> Predicate:
    kind = condition.WhichOneof("filter_type")
    if kind == "composite_filter":
        parts = [_predicate(part) for part in condition.composite_filter.filters]
        if not parts:
            raise invalid("A composite filter must have at least one filter.")
        if condition.composite_filter.op == _Composite.AND:
            return lambda version: all(part(version) for part in parts)
        if condition.composite_filter.op == _Composite.OR:
            return lambda version: any(part(version) for part in parts)
        raise invalid("A composite filter must have an operator.")
    if kind == "field_filter":
        leaf = condition.field_filter
        return _on(field_path(leaf.field.field_path), _field_test(leaf))
    if kind == "unary_filter":
        leaf = condition.unary_filter
        return _on(field_path(leaf.field.field_path), _unary_test(leaf.op))
    raise invalid("A filter must have a type.")


def _on(path: FieldPath, test: Test) -> Predicate:
    def holds(version: Version) -> bool:
        found = version.key(path)
        return found is not None and test(found)

    return holds


def _unary_test(op: int) -> Test:
    if op == _Unary.IS_NULL:
        return lambda found: found == NULL_KEY
    if op == _Unary.IS_NAN:
        return lambda found: found == NAN_KEY
    if op == _Unary.IS_NOT_NULL:
        return lambda found: found != NULL_KEY
    if op == _Unary.IS_NOT_NAN:
        return lambda found: found not in (NAN_KEY, NULL_KEY)
    raise invalid("A unary filter must have an operator.")


def _field_test(leaf: Message) -> Test:
    operand = key(leaf.value)
    if leaf.op in _MEMBERSHIP:
        return _membership_test(leaf, operand)
    if field_path(leaf.field.field_path) == NAME and operand[0] != REFERENCE:
        raise invalid("__key__ filter value must be a Key")
    tests: dict[int, Test] = {
        _Field.EQUAL: lambda found: found == operand,
        _Field.NOT_EQUAL: lambda found: found not in (operand, NULL_KEY),
        _Field.LESS_THAN: lambda found: found[0] == operand[0] and found < operand,
        _Field.LESS_THAN_OR_EQUAL: lambda found: found[0] == operand[0] and found <= operand,
        _Field.GREATER_THAN: lambda found: found[0] == operand[0] and found > operand,
        _Field.GREATER_THAN_OR_EQUAL: lambda found: found[0] == operand[0] and found >= operand,
        _Field.ARRAY_CONTAINS: lambda found: found[0] == ARRAY and operand in found[1],
    }
    if leaf.op not in tests:
        raise invalid("A field filter must have an operator.")
    return tests[leaf.op]


def _membership_test(leaf: Message, operand: Key) -> Test:
    name = _Field.Operator.Name(leaf.op)
    if operand[0] != ARRAY or not operand[1]:
        raise invalid(f"'{name}' requires a non-empty ArrayValue.")
    if field_path(leaf.field.field_path) == NAME and any(k[0] != REFERENCE for k in operand[1]):
        raise invalid("__key__ filter value must be a Key")
    options = frozenset(operand[1])
    if leaf.op == _Field.IN:
        return lambda found: found in options
    if leaf.op == _Field.ARRAY_CONTAINS_ANY:
        return lambda found: found[0] == ARRAY and not options.isdisjoint(found[1])
    if len(operand[1]) > _MOST_NEGATED:
        raise invalid(f"'NOT_IN' supports up to {_MOST_NEGATED} comparison values.")
    return lambda found: found[0] != NULL and NULL_KEY not in options and found not in options


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
    if _Field.NOT_IN in fields and disjunctions > 1:
        raise invalid(
            "'NOT_IN' filters cannot be combined with 'IN', 'ARRAY_CONTAINS_ANY' or 'OR'."
        )
    if disjunctions > _MOST_DISJUNCTIONS:
        raise invalid(f"A query supports up to {_MOST_DISJUNCTIONS} disjunctions.")


def _disjunctions(condition: Message) -> int:
    """How many terms the filter has in disjunctive normal form."""
    if condition.WhichOneof("filter_type") == "composite_filter":
        terms = [_disjunctions(part) for part in condition.composite_filter.filters]
        return prod(terms) if condition.composite_filter.op == _Composite.AND else sum(terms)
    leaf = condition.field_filter
    if leaf.op in (_Field.IN, _Field.ARRAY_CONTAINS_ANY):
        return len(leaf.value.array_value.values)
    return 1
