"""Compilation: from a network to a program."""

import numpy as np

from crossmesh.emulator.compiler.mapping import Weights, cut, is_bias, node_homes, weight_scale
from crossmesh.emulator.compiler.operations import Compiler
from crossmesh.emulator.compiler.optimizing import NO_RULES, Rules
from crossmesh.emulator.network.graph import Matrix, Network
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.digital import Digital, Loss
from crossmesh.tiles.runtime.program import Program


def compile_program(
    network: Network,
    loss: Loss,
    given: Weights | None = None,
    outputs: int | None = None,
    rules: Rules = NO_RULES,
) -> Program:
    """Map a network to tiles and list what is done for each micro-batch.

    Args:
        network: The network.
        loss: The loss.
        given: Initial weights that are not drawn, by matrix.
        outputs: Outputs of an example that are right or wrong; by default one per position.
        rules: What is changed by more than the rate times the error, by matrix or node.
    """
    blocks = cut(network)
    matrices: list[Matrix | None] = []  # of each block, but for a bias by itself
    of_layer: dict[str, list[Block]] = {}
    for block in blocks:
        matrix = network.matrices.get(block.layer)
        if is_bias(matrix, block):
            matrix = None
        else:
            of_layer.setdefault(block.layer, []).append(block)
        matrices.append(matrix)
    compiler = Compiler(network, of_layer, node_homes(network, blocks), loss)
    return Program(
        n_stages=network.n_stages,
        blocks=blocks,
        holders=tuple(m.holder if m else Digital.PARAMETERS for m in matrices),
        scales=tuple(scale_of(matrix, given or {}) for matrix in matrices),
        vectors=tuple(matrix.vectors if matrix else 1 for matrix in matrices),
        operations=tuple(compiler.operations()),
        functions={node.name: node.function for node in network.nodes if node.function},
        windows={node.name: node.window for node in network.nodes if node.window},
        loss=loss,
        outputs=outputs or network.output.positions,
        rules=rules.by_number(blocks),
    )


def reach_notice(network: Network, program: Program, given: Weights) -> list[str]:
    """What given weights lose to the range of the devices, a line for each layer."""
    return [
        f"{100 * share:.1f} % of the given weights of {layer} exceed the range of its devices; "
        "tile.weight_scale=auto covers the largest, calibrate=true chooses what errs least"
        for layer, share in out_of_reach(network, program, given).items()
    ]


def out_of_reach(network: Network, program: Program, given: Weights) -> dict[str, float]:
    """Share of the given weights of each layer that its devices cannot hold, if there are any."""
    found = {}
    for block in program.crossbars:
        matrix, weights = network.matrices[block.layer], given.get(block.layer)
        if weights is not None and not matrix.tile.cell.holds_anything:
            scales = program.scales[block.tile] * np.array(matrix.tile.line_scales or 1.0)
            largest = scales * matrix.tile.cell.reach
            share = float((abs(weights[: matrix.lines]) > largest).mean())
            if share > 0:
                found[block.layer] = share
    return found


def scale_of(matrix: Matrix | None, given: Weights) -> float:
    """Weight of the network per unit of normalised conductance of a matrix; None: a bias."""
    if matrix is None:
        return 1.0
    known = given.get(matrix.name)
    if known is None:
        return weight_scale(matrix, matrix.bound)
    largest = max(float(abs(known[: matrix.lines]).max()), 1e-6)
    return weight_scale(matrix, largest)
