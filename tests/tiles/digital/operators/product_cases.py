"""Cases of products."""

from tests.tiles.digital.operators.operator_material import Case, torch


def matmul(a, b):
    def reference(x, y):
        n = max(len(a), len(b))
        x = x.reshape(len(x), *(1,) * (n - len(a)), *a)
        return x @ y.reshape(len(y), *(1,) * (n - len(b)), *b)

    return Case("matmul", reference, (a, b), rtol=3e-6)


def einsum(equation, *shapes):
    taken, result = equation.split("->")
    by_example = ",".join("Z" + letters.strip() for letters in taken.split(","))
    return Case(
        "einsum",
        lambda *x: torch.einsum(f"{by_example}->Z{result.strip()}", *x),
        shapes,
        {"equation": equation},
        rtol=3e-6,
    )


PRODUCT = [
    matmul((3, 4), (4, 5)),
    matmul((1, 40), (40, 30)),
    matmul((2, 3, 4), (2, 4, 5)),
    matmul((2, 1, 3, 4), (1, 6, 4, 5)),
    matmul((2, 3, 4), (4, 5)),
    matmul((3, 4), (2, 4, 1)),
    einsum("ij,jk->ik", (3, 4), (4, 5)),
    einsum("bhqd, bhkd -> bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    einsum("ij->ji", (3, 4)),
    einsum("ij->i", (3, 4)),
    einsum("ij,k->ik", (3, 4), (5,)),
    einsum("i,i->", (6,), (6,)),
    einsum("ij,jk,kl->il", (3, 4), (4, 5), (5, 2)),
]
