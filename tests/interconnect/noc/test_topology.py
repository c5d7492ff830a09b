import numpy as np
import pytest

from crossmesh.interconnect.noc import (
    TOPOLOGIES,
    CircuitMesh,
    FloorPlan,
    Mesh,
    PointToPoint,
    Torus,
    Tree,
)
from crossmesh.interconnect.noc.routes import build_routes
from crossmesh.testing import TopologyTests

EXAMPLES = [
    Mesh(width=5, height=3),
    Mesh(width=1, height=1),
    Torus(width=4, height=5),
    Torus(width=2, height=1),
    Tree(leaves=13, arity=3),
    Tree(leaves=1),
    PointToPoint(nodes=6),
    PointToPoint(nodes=1),
    CircuitMesh(width=3, height=4),
]
EXAMPLES += [
    kind.on(FloorPlan(width=4, height=3))
    for kind in TOPOLOGIES.values()
    if kind not in map(type, EXAMPLES)
]
every = pytest.mark.parametrize("topology", EXAMPLES, ids=repr)


class TestTopologies(TopologyTests):
    @pytest.fixture(autouse=True, params=EXAMPLES, ids=repr)
    def example(self, request):
        self.topology = request.param


@every
def test_the_diameter_is_the_longest_route(topology):
    nodes = range(topology.n_nodes)
    longest = max(len(topology.route(a, b)) for a in nodes for b in nodes)

    # A tree whose last level is not full may have a root that no route needs.
    assert topology.diameter == longest or isinstance(topology, Tree)
    assert topology.diameter >= longest


@every
def test_trees_reach_each_destination_once_over_the_links_of_its_route(topology):
    draw = np.random.default_rng(0)
    n = topology.n_nodes
    for source in range(n):
        destinations = draw.permutation(n)[: draw.integers(1, n + 1)]
        routes = build_routes(topology, [source], np.array([0, len(destinations)]), destinations)
        inner = routes.next >= 0
        node_of = np.repeat(np.arange(len(routes.router)), np.diff(routes.first))
        at = routes.router[node_of]
        found = set(topology.link_numbers[at[inner], routes.port[inner]].tolist())

        assert sorted(routes.leaf[~inner]) == list(range(len(destinations)))
        assert (destinations[routes.leaf[~inner]] == at[~inner]).all()
        assert found == {link for end in destinations for link in topology.route(source, end)}
        assert len(found) == np.count_nonzero(inner)
        depths = [len(topology.route(source, router)) for router in routes.router]
        assert routes.depth.tolist() == depths


def test_hops_of_a_mesh_are_manhattan_and_those_of_a_torus_the_shorter_way_round():
    mesh, torus = Mesh(width=8, height=8), Torus(width=8, height=8)
    for end in range(64):
        x, y = end % 8, end // 8
        assert len(mesh.route(0, end)) == x + y
        assert len(torus.route(0, end)) == min(x, 8 - x) + min(y, 8 - y)


def test_no_route_of_a_torus_in_the_lower_half_of_the_channels_closes_a_ring():
    torus = Torus(width=6, height=1)
    used = {False: set(), True: set()}
    for source in range(6):
        for end in range(6):
            for link in torus.route(source, end):
                at, to = torus.links[link]
                port = int(np.flatnonzero(torus.neighbors[at] == to)[0])
                crosses = torus.crosses(np.array(source), np.array(end), np.array(port))
                used[bool(crosses)].add((at, to))
    ring = {(i, (i + 1) % 6) for i in range(6)}
    for links in used.values():
        assert not ring <= links
        assert not {(b, a) for a, b in ring} <= links


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mesh(width=0, height=1), r"Mesh\.width must be a whole number .*, got 0"),
        (lambda: Mesh(width=2.0, height=1), r"Mesh\.width must be a whole number .*, got 2\.0"),
        (lambda: Mesh(width=2048, height=2048), "Mesh must have at most 1048576 routers"),
        (lambda: Torus(width=2, height=2, link_cycles=0), r"Torus\.link_cycles must be .*, got 0"),
        (lambda: Tree(leaves=4, arity=1), r"Tree\.arity must be a whole number in \[2, 32\]"),
        (lambda: PointToPoint(nodes=2000), r"PointToPoint\.nodes must be .*1024\], got 2000"),
    ],
)
def test_impossible_topologies_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
