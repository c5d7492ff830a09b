"""What a user should know of how the weights on the tiles of a program are trained."""

from collections.abc import Iterator

from crossmesh.tiles.runtime.program import Program


def trained_notice(program: Program) -> Iterator[str]:
    """Memory per weight where there is more than its cell, and why training may fail."""
    seen: set[str] = set()
    for cell in dict.fromkeys(tile.cell for tile in program.tiles):
        lines = list(cell.doubts)
        if cell.words:
            lines.insert(
                0,
                f"a weight takes {cell.cell_bytes:g} bytes of this machine: {cell.n_arrays} arrays "
                f"of devices and {cell.words} digital number{'s' * (cell.words > 1)}",
            )
        for line in lines:
            if line not in seen:
                seen.add(line)
                yield line
