"""Cases of operators that combine numbers at the same place."""

from tests.tiles.digital.operators.operator_material import (
    Case,
    normal,
    positive,
    torch,
    whole,
)

SHAPES = (((4, 3, 5), (4, 3, 5)), ((4, 3, 5), (1, 3, 1)), ((4, 1, 1), (1, 3, 5)), ((6,), (1,)))
FEW = whole(-2, 3)


def both(name, reference, draws=(normal,), **settings):
    return [Case(name, reference, shapes, settings, draws) for shapes in SHAPES]


def truth(name, reference, draws=(FEW,)):
    return both(name, lambda *operands: reference(*operands).double(), draws)


ELEMENTWISE = [
    *both("add", torch.add),
    *both("subtract", torch.subtract),
    *both("multiply", torch.multiply),
    *both("divide", torch.divide, (normal, positive)),
    *both(
        "divide",
        lambda a, b: torch.div(a, b, rounding_mode="trunc"),
        (whole(-20, 20), whole(1, 5)),
        whole=True,
    ),
    *both("power", torch.pow, (positive, normal)),
    *both("maximum", torch.maximum, (FEW,)),
    *both("minimum", torch.minimum, (FEW,)),
    *both("modulo", torch.remainder, (normal, positive)),
    *both("modulo", torch.fmod, (normal, positive), fmod=True),
    *both("prelu", lambda x, slope: torch.where(x > 0, x, x * slope)),
    *truth("equal", torch.eq),
    *truth("greater", torch.gt),
    *truth("greater_or_equal", torch.ge),
    *truth("less", torch.lt),
    *truth("less_or_equal", torch.le),
    *truth("logical_and", torch.logical_and),
    *truth("logical_or", torch.logical_or),
    *truth("logical_xor", torch.logical_xor),
    *(
        Case(
            "where",
            lambda condition, x, y: torch.where(condition != 0, x, y),
            shapes,
            draws=(FEW, normal),
        )
        for shapes in (((4, 3), (4, 3), (4, 3)), ((4, 1), (1, 3), (4, 3)), ((4, 3), (1, 1), (1, 3)))
    ),
    Case("power", torch.pow, ((4, 3), (4, 3)), draws=(whole(0, 3), whole(0, 4))),
]
