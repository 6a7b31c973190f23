"""What a traced program does and what it uses its weights for, read off its equations.

Products are counted where they stand: `dot_general`, convolutions and ragged products, those in a loop as
often as it turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from jax.extend.core import Literal, jaxprs_in_params

# what moves numbers and makes none, to XLA's count of FLOPs
MOVES = frozenset(
    (
        "reshape transpose broadcast_in_dim squeeze slice dynamic_slice concatenate pad iota copy copy_p "
        "gather dynamic_update_slice rev optimization_barrier stop_gradient split bitcast_convert_type "
        "argmax argmin sort top_k random_bits name"
    ).split()
)
# what XLA counts apart, as transcendental
COSTLY = frozenset(
    "exp exp2 log log1p expm1 tanh logistic rsqrt sqrt sin cos tan pow erf erfc erf_inv cbrt atan2".split()
)
# what runs code that is none of jax's
FOREIGN = frozenset("pure_callback io_callback ffi_call".split())


class Unknown(ValueError):
    """A program whose FLOPs can't be known."""


@dataclass(frozen=True)
class Work:
    """Of a traced program, for one sequence."""

    products: int = 0  # FLOPs: 2 for each multiplication and the addition after it
    single: int = 0  # FLOPs of everything else as XLA counts it: one a number made
    made: int = 0  # numbers made, moved ones left out

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, name) + getattr(other, name) for name in Work.__dataclass_fields__))

    def times(self, n: int) -> "Work":
        return Work(n * self.products, n * self.single, n * self.made)


def size(variable: Any) -> int:
    return prod(variable.aval.shape)


def product(equation: Any, as_compiled: bool) -> int:
    """FLOPs of one equation that is a product, else 0."""
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contract, _), _ = params["dimension_numbers"]
        depth = prod(equation.invars[0].aval.shape[axis] for axis in contract)
        return 2 * size(equation.outvars[0]) * depth
    if name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval.shape, params["dimension_numbers"]
        return 2 * size(equation.outvars[0]) * prod(kernel) // kernel[numbers.rhs_spec[0]]
    if name in ("ragged_dot", "ragged_dot_general"):
        numbers = params["ragged_dot_dimension_numbers"].dot_dimension_numbers[0]
        depth = prod(equation.invars[0].aval.shape[axis] for axis in numbers[0])
        groups = equation.invars[2].aval.shape[-1] if as_compiled else 1  # on CPU each row meets all
        return 2 * size(equation.outvars[0]) * depth * groups
    return 0


def work(jaxpr: Any, as_compiled: bool = False) -> Work:
    """What a program does. `as_compiled` counts what XLA does: the body of a loop once, and ragged
    products as CPUs make them.

    Raises:
      Unknown: a loop whose turns can't be known, or code that is none of jax's.
    """
    total = Work()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner = [work(each, as_compiled) for each in jaxprs_in_params(equation.params)]
        if name == "while" and not as_compiled and any(each.products for each in inner):
            raise Unknown(
                "a while loop with products in it: how often it turns, and so its FLOPs, can't be known; "
                "write it as jax.lax.scan or as fori_loop between fixed bounds"
            )
        if name in FOREIGN:
            raise Unknown(
                f"{name}: FLOPs of code that is not jax's can't be known; write it in jax's own products"
            )
        if name == "cond":
            total += max(inner, key=lambda each: (each.products, each.single))
        elif inner and not name.startswith(("reduce", "scatter", "cum", "argm", "sort")):
            turns = equation.params["length"] if name == "scan" and not as_compiled else 1
            for each in inner:
                total += each.times(turns)
        else:
            total += step(equation, as_compiled)
    return total


def step(equation: Any, as_compiled: bool) -> Work:
    """What one equation that holds no program does."""
    name, out = equation.primitive.name, sum(map(size, equation.outvars))
    if products := product(equation, as_compiled):
        return Work(products, 0, out)
    if name in MOVES:
        return Work()
    if name.startswith("reduce_") and name != "reduce_precision":
        return Work(0, max(0, size(equation.invars[0]) - out), out)
    return Work(0, 0 if name in COSTLY else out, out)


# --- what a weight is for --------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """Of a variable: whether it depends on the tokens, and if not, on which weights (by number)."""

    of_tokens: bool = False
    weights: frozenset[int] = frozenset()

    def __or__(self, other: "Value") -> "Value":
        return Value(self.of_tokens or other.of_tokens, self.weights | other.weights)


@dataclass(frozen=True)
class Uses:
    """How a program uses its weights, by their numbers."""

    multiplied: frozenset[int]  # in a product with something that depends on the tokens
    looked_up: frozenset[int]
    last: frozenset[int]  # those in the last of these products, where that makes logits


def uses(jaxpr: Any, logits: int) -> Uses:
    """Of the program's weights (all inputs but the last, the tokens), with its number of logits."""
    products: list[tuple[frozenset[int], int]] = []
    tables: set[int] = set()
    weights = [Value(False, frozenset([i])) for i in range(len(jaxpr.invars) - 1)]
    follow(jaxpr, [*weights, Value(True)], products, tables)
    multiplied = frozenset().union(*(used for used, _ in products))
    last, made = products[-1] if products else (frozenset(), 0)
    return Uses(multiplied, frozenset(tables), last if made == logits else frozenset())


def follow(jaxpr: Any, inputs: Sequence[Value], products: list, tables: set) -> list[Value]:
    """The outputs' values; what is multiplied and looked up on the way is added to the lists."""
    env = dict(zip(jaxpr.invars, inputs, strict=True))
    read = lambda var: Value() if isinstance(var, Literal) else env.get(var, Value())  # noqa: E731
    for equation in jaxpr.eqns:
        name, given = equation.primitive.name, [read(var) for var in equation.invars]
        merged = Value()
        for value in given:
            merged |= value
        outputs = [Value(True) if merged.of_tokens else merged] * len(equation.outvars)
        inner = list(jaxprs_in_params(equation.params))
        if name == "cond":
            found = [follow(each, given[1:], products, tables) for each in inner]
            outputs = [one | other for one, other in zip(found[0], found[-1], strict=True)]
        elif inner and len(inner[-1].invars) == len(given):
            if name == "scan":  # what a later turn is given may depend on tokens
                first = follow(inner[-1], given, [], set())
                at, n = equation.params["num_consts"], equation.params["num_carry"]
                given[at : at + n] = [old | new for old, new in zip(given[at : at + n], first, strict=False)]
            outputs = follow(inner[-1], given, products, tables)
        elif merged.of_tokens and product(equation, False):
            own = frozenset().union(*(value.weights for value in given if not value.of_tokens))
            products += [(own, size(equation.outvars[0]))] * bool(own)
        elif merged.of_tokens and name == "gather" and not given[0].of_tokens:
            tables |= given[0].weights
        env.update(zip(equation.outvars, outputs, strict=True))
    return [read(var) for var in jaxpr.outvars]
