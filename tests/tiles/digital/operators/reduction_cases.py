"""Cases of operators that make one number of many, or relate numbers along an axis."""

from tests.tiles.digital.operators.operator_material import (
    Case,
    normal,
    positive,
    torch,
    whole,
)

f = torch.nn.functional
AXES = (4, 3, 5)
OVERS = ((0,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))


def over(name, reference, draw=normal, rtol=2e-6):
    def case(axes, keep):
        dim = tuple(1 + axis for axis in axes)
        settings = {"over": axes, "keep": keep}
        return Case(name, lambda x: reference(x, dim, keep), (AXES,), settings, (draw,), rtol=rtol)

    return [case(axes, keep) for axes in OVERS for keep in (False, True)]


def product(x, dim, keep):
    for axis in reversed(dim):
        x = x.prod(axis, keepdim=keep)
    return x


def by_value(name, reference, draw=normal, **settings):
    def case(axis):
        return Case(
            name, lambda x: reference(x, 1 + axis), (AXES,), {"axis": axis, **settings}, (draw,)
        )

    return [case(axis) for axis in range(3)]


def wide(rng, shape):
    return rng.normal(size=shape) * 30


def hardmax(x, dim):
    return f.one_hot(x.argmax(dim), x.shape[dim]).movedim(-1, dim).double()


def last(x, dim):
    return x.shape[dim] - 1 - x.flip(dim).argmax(dim)


def exclusive(x, dim):
    return x.cumsum(dim) - x


def backward(x, dim):
    return x.flip(dim).cumsum(dim).flip(dim)


def top(largest, part):
    def reference(x, dim):
        values, places = x.sort(dim=dim, descending=largest, stable=True)
        return (values if part == "values" else places).narrow(dim, 0, 3)

    draw = normal if part == "values" else whole(-2, 3)
    return by_value("top", reference, draw, k=3, largest=largest, part=part)


REDUCTION = [
    *over("sum", torch.sum),
    *over("mean", torch.mean),
    *over("max", torch.amax, whole(-2, 3)),
    *over("min", torch.amin, whole(-2, 3)),
    *over("product", product, whole(-1, 3)),
    *over("product", product, positive, rtol=1e-5),
    *over("l1", lambda x, dim, keep: x.abs().sum(dim, keep)),
    *over("l2", lambda x, dim, keep: torch.linalg.vector_norm(x, 2, dim, keep)),
    *over("l2", lambda x, dim, keep: torch.linalg.vector_norm(x, 2, dim, keep), whole(0, 2)),
    *over("sum_square", lambda x, dim, keep: x.square().sum(dim, keep)),
    *over("log_sum", lambda x, dim, keep: x.sum(dim, keep).log(), positive),
    *over("log_sum_exp", torch.logsumexp, wide, rtol=1e-5),
    Case("sum", lambda x: x * 1, (AXES,), {"over": ()}),
    *by_value("softmax", torch.softmax),
    *by_value("softmax", torch.softmax, wide),
    *by_value("log_softmax", torch.log_softmax),
    *by_value("hardmax", hardmax, whole(-2, 3)),
    *by_value("argmax", torch.argmax, whole(-2, 3)),
    *by_value("argmax", lambda x, dim: x.argmax(dim, keepdim=True), whole(-2, 3), keep=True),
    *by_value("argmax", last, whole(-2, 3), last=True),
    *by_value("argmin", torch.argmin, whole(-2, 3)),
    *by_value("argmin", lambda x, dim: last(-x, dim), whole(-2, 3), last=True),
    *by_value("cumulative_sum", torch.cumsum),
    *by_value("cumulative_sum", exclusive, exclusive=True),
    *by_value("cumulative_sum", backward, reverse=True),
    *by_value("cumulative_sum", lambda x, dim: backward(x, dim) - x, exclusive=True, reverse=True),
    *top(True, "values"),
    *top(False, "values"),
    *top(True, "places"),
    *top(False, "places"),
]
