"""Cases of operators that move numbers about."""

from tests.tiles.digital.operators.operator_material import Case, normal, torch, whole

f = torch.nn.functional
AXES = (4, 3, 5)


def one(name, reference, *shapes, draws=None, differentiable=None, **settings):
    extra = {"draws": draws} if draws else {}
    shapes = shapes or (AXES,)
    return Case(name, reference, shapes, settings, differentiable=differentiable, **extra)


def arranged(*sizes):
    return one("arrange", lambda x: x.reshape(-1, *sizes), axes=sizes)


def expanded(taken, sizes):
    return one("expand", lambda x: x.expand(-1, *sizes), taken, axes=sizes)


def taken(axis, places, fill=0.0):
    def reference(x):
        index = torch.tensor(places)
        rows = x.index_select(1 + axis, index.clamp(min=0))
        shape = [-1 if i == 1 + axis else 1 for i in range(x.ndim)]
        return torch.where(index.reshape(shape) < 0, torch.tensor(fill).double(), rows)

    return one("take", reference, axis=axis, places=places, fill=fill)


def sliced(axis, start, stop, step):
    size = AXES[axis]
    places = torch.tensor(list(range(size))[start:stop:step])
    return one(
        "slice",
        lambda x: x.index_select(1 + axis, places),
        axis=axis,
        start=start,
        stop=stop,
        step=step,
    )


def padded(before, after, value=0.0):
    widths = [w for sides in zip(reversed(before), reversed(after), strict=True) for w in sides]
    return one(
        "pad", lambda x: f.pad(x, widths, value=value), before=before, after=after, value=value
    )


def looked_up(axis, table, places):
    size = table[axis]

    def reference(x, where):
        rows = [
            t.index_select(axis, w.long().reshape(-1) % size).reshape(
                *table[:axis], *places, *table[axis + 1 :]
            )
            for t, w in zip(x, where, strict=True)
        ]
        return torch.stack(rows)

    draws = (normal, whole(-size, size))
    return one("lookup", reference, table, places, draws=draws, differentiable=(0,), axis=axis)


def gathered(axis, x, places):
    def reference(x, where):
        return x.gather(1 + axis, where.long() % x.shape[1 + axis])

    draws = (normal, whole(-x[axis], x[axis]))
    return one("gather_elements", reference, x, places, draws=draws, differentiable=(0,), axis=axis)


def different(size):
    """Places that are all different along the last axis."""

    def draw(rng, shape):
        order = rng.random((*shape[:-1], size)).argsort(axis=-1)
        return order[..., : shape[-1]]

    return draw


def scattered(x, places, reduction):
    axis = len(x) - 1

    def reference(x, where, updates):
        where = where.long() % x.shape[-1]
        if reduction == "add":
            return x.scatter_add(1 + axis, where, updates)
        return x.scatter(1 + axis, where, updates)

    draw = whole(-x[-1], x[-1]) if reduction == "add" else different(x[-1])
    return one(
        "scatter_elements",
        reference,
        x,
        places,
        places,
        draws=(normal, draw, normal),
        differentiable=(0, 2),
        axis=axis,
        reduction=reduction,
    )


def hot(axis, taken, depth, low=0, **settings):
    def reference(x):
        on, off = settings.get("on", 1.0), settings.get("off", 0.0)
        hot = f.one_hot(x.long() % depth, depth).movedim(-1, 1 + axis).double()
        return off + (on - off) * hot

    draws = (whole(low, depth),)
    return one("one_hot", reference, taken, draws=draws, axis=axis, depth=depth, **settings)


def joined(axis, *shapes):
    return one("concatenate", lambda *x: torch.cat(x, dim=1 + axis), *shapes, axis=axis)


def held(x, p):
    """The second operand; the first says how many examples there are."""
    return p + 0 * x.sum(tuple(range(1, x.ndim))).reshape(-1, *[1] * (p.ndim - 1))


MOVEMENT = [
    one("held", held, AXES, (2, 3)),
    arranged(60),
    arranged(5, 12),
    arranged(2, 2, 3, 5, 1),
    one("arrange", lambda x: x.reshape(-1), (1,), axes=()),
    expanded((4, 1, 5), (4, 3, 5)),
    expanded((1, 1), (2, 3)),
    expanded((2, 3), (2, 3)),
    taken(0, (3, 1)),
    taken(1, (2, 2, -1, 0, 2), 1.5),
    taken(2, (0, 4, 0, 4, 1)),
    sliced(0, 1, 4, 1),
    sliced(1, -2, 100, 1),
    sliced(2, 4, -100, -2),
    sliced(2, 0, 5, 3),
    padded((1, 0, 2), (0, 3, 1)),
    padded((0, -1, 2), (-2, 0, 1), 2.5),
    looked_up(0, (6, 3), (4,)),
    looked_up(1, (2, 6, 3), (4, 2)),
    looked_up(1, (2, 5), ()),
    gathered(0, (4, 3), (2, 3)),
    gathered(1, (4, 3), (4, 6)),
    gathered(1, (4, 3, 5), (3, 2, 5)),
    scattered((4, 5), (3, 4), "none"),
    scattered((4, 5), (4, 7), "add"),
    hot(0, (3,), 4),
    hot(1, (3, 2), 4, -4, on=2.0, off=-1.0),
    hot(2, (3, 2), 4),
    joined(0, (2, 3), (1, 3), (4, 3)),
    joined(2, (2, 3, 1), (2, 3, 4)),
    joined(0, (3,)),
    one("trilu", torch.triu, (3, 4), upper=True),
    one("trilu", lambda x: torch.triu(x, 1), (2, 4, 3), k=1),
    one("trilu", lambda x: torch.tril(x, -1), (2, 4, 3), upper=False, k=-1),
]
