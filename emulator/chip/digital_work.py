"""What digital units compute, by the names that reports have for it."""

from crossmesh.tiles.runtime.program import Kind, Operation, Program

CYCLES = frozenset({Kind.READ, Kind.READ_BACK, Kind.PULSE})
# Operations of functions, and what their work is called in reports.
COMPUTED = {Kind.COMPUTE: "", Kind.DERIVE: ", errors", Kind.LEARN: ", parameters"}
TITLES: dict[str, str] = {
    Kind.SUM: "partial sums and biases",
    Kind.JOIN: "sums and joins",
    Kind.GATHER: "sums of errors",
    Kind.LEARN: "biases, parameters",
}


def title_of(operation: Operation, program: Program) -> str:
    """What a digital unit computes in an operation."""
    function = program.functions.get(operation.node)
    if operation.kind in CYCLES:
        return "products in digital memory"
    if function is None or operation.kind not in COMPUTED:
        return TITLES.get(operation.kind, operation.kind.value)
    return f"{function.title}{COMPUTED[operation.kind]}"
