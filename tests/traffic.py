"""Traffic as BookSim 2 makes it: packets drawn in every cycle at every node of an 8 x 8 mesh."""

import numpy as np

from crossmesh.interconnect.noc import Packets, simulate

K = 8
NODES = K * K


def packets(kind, flits_per_cycle, length, cycles, seed=1):
    """Packets of ``length`` flits at ``flits_per_cycle`` of every node."""
    draw = np.random.default_rng(seed)
    created, source = np.nonzero(draw.random((cycles, NODES)) < flits_per_cycle / length)
    x, y = source % K, source // K
    uniform = draw.integers(0, NODES, len(source))
    destination = {
        "uniform": uniform,
        "transpose": y + K * x,
        "neighbor_wrap": (x + 1) % K + K * ((y + 1) % K),
        "all_to_node0": np.zeros_like(source),
        "hotspot": np.where(draw.random(len(source)) < 7 / 71, 27, uniform),
    }[kind]
    return Packets(created, source, destination, np.full(len(source), length))


def mean_latency(topology, router, load, *, warm):
    """Mean latency of the packets that are created from cycle ``warm`` on."""
    run = simulate(topology, router, load)
    return run.latency_cycles[load.created >= warm].mean()


def accepted(topology, router, load, start, stop):
    """Flits per node and cycle that arrive between two cycles."""
    arrivals = simulate(topology, router, load).arrival_cycles
    inside = (arrivals >= start) & (arrivals < stop)
    return load.flits[inside].sum() / topology.n_nodes / (stop - start)
