"""Einsum: sums of products by the letters of axes."""

import string
from collections.abc import Sequence
from dataclasses import replace

from crossmesh.emulator.onnx_io.matrices import linear
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Constant,
    Refusal,
    Use,
    Value,
    View,
)


def einsum(sketch: Sketch, use: Use) -> list[Value]:
    """Sums of products by the letters of axes."""
    tensors = [use.tensor(i) for i in range(len(use.inputs))]
    terms, result = _terms(use.word("equation", ""), [len(tensor.shape) for tensor in tensors])
    pairs = list(zip(tensors, terms, strict=True))
    batch = {_letter(one, term) for one, term in pairs if isinstance(one, View)}
    if len(batch) != 1 or (letter := batch.pop()) not in result:
        raise Refusal("examples along different axes")
    made = _as_linear(sketch, tensors, terms, result)
    if made is not None:
        return [made]
    if letter and any(isinstance(one, Constant) and letter in term for one, term in pairs):
        raise Refusal("a constant that differs between examples")
    sizes = {name: n for one, term in pairs for name, n in zip(term, one.shape, strict=True)}
    order = letter + result.replace(letter, "")
    inner = [term.replace(letter, "") for term in terms]
    settings = {"equation": f"{','.join(inner)}->{order[len(letter) :]}"}
    fed = [_with_first(one, term, letter) for one, term in pairs]
    shape = [sizes[one] for one in order]
    whole = operate(sketch, "einsum", fed, shape, settings=settings, is_shared=True)
    return [whole.permuted([order.index(one) for one in result])]


def _terms(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of every tensor's axes, and those of the result's."""
    text = _without_ellipsis(equation.replace(" ", ""), ranks)
    terms, arrow, result = text.partition("->")
    if not arrow:
        both = terms.replace(",", "")
        result = "".join(sorted(letter for letter in set(both) if both.count(letter) == 1))
    return terms.split(","), result


def _letter(view: View, term: str) -> str:
    """The letter of the examples."""
    return "" if view.batch is None else term[view.batch]


def _with_first(tensor: Constant | View, term: str, letter: str) -> Constant | View:
    """A view with the examples first."""
    if isinstance(tensor, Constant) or not letter:
        return tensor
    at = term.index(letter)
    return tensor.permuted([at, *(i for i in range(tensor.rank) if i != at)])


def _without_ellipsis(text: str, ranks: Sequence[int]) -> str:
    """An equation whose ellipses are letters."""
    if "..." not in text:
        return text
    terms, arrow, result = text.partition("->")
    parts = terms.split(",")
    counts = [rank - len(part.replace("...", "")) for part, rank in zip(parts, ranks, strict=True)]
    unused = [letter for letter in string.ascii_letters if letter not in text]
    letters = "".join(unused[: max(counts)])
    written = [
        part.replace("...", letters[len(letters) - n :])
        for part, n in zip(parts, counts, strict=True)
    ]
    if not arrow:
        own = sorted(
            letter for letter in set(terms) if terms.count(letter) == 1 and letter not in ".,"
        )
        result = "..." + "".join(own)
    return f"{','.join(written)}->{result.replace('...', letters)}"


def _as_linear(
    sketch: Sketch, tensors: Sequence[Constant | View], letters: Sequence[str], result: str
) -> View | None:
    """A product of vectors with one constant matrix; None: it is something else."""
    if len(tensors) != 2:
        return None
    (view, weight), (own, term) = tensors, letters
    if isinstance(view, Constant) or isinstance(weight, View):
        return None
    summed = [one for one in term if one in own and one not in result]
    new = [one for one in term if one not in own and one in result]
    if len(term) != 2 or len(summed) != 1 or len(new) != 1 or len(set(own)) != len(own):
        return None
    if set(own) - set(summed) - set(result):  # summed too, without a weight
        return None
    matrix = weight.array if term[0] == new[0] else weight.array.T
    made = linear(sketch, view, own.index(summed[0]), replace(weight, array=matrix), None, "")
    order = own.replace(summed[0], new[0])
    return made.permuted([order.index(one) for one in result])
