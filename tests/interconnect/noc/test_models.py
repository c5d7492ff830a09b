"""The interconnect against BookSim 2, its closed forms, and the laws of any network."""

import csv
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crossmesh.interconnect.noc import (
    TOPOLOGIES,
    CircuitMesh,
    FloorPlan,
    Mesh,
    Packets,
    PointToPoint,
    Router,
    Torus,
    Tree,
    simulate,
)
from crossmesh.interconnect.noc.models import MODELS
from tests.traffic import accepted, mean_latency, packets

MESH = Mesh(width=8, height=8)
ROUTERS = {
    "default16vc": Router(),
    "vc1_buf8": Router(virtual_channels=1),
    "vc4_buf8": Router(virtual_channels=4),
    "torus8x8_vc4": Router(virtual_channels=4),
    "vc4_la_spec": Router(virtual_channels=4, routing_cycles=0, speculative=True),
}
SMALL = [
    Mesh(width=4, height=3),
    Torus(width=4, height=3),
    Tree(leaves=7, arity=3),
    PointToPoint(nodes=5),
    CircuitMesh(width=3, height=3),
]
SMALL += [
    kind.on(FloorPlan(width=3, height=2))
    for kind in TOPOLOGIES.values()
    if kind not in map(type, SMALL)
]
PARAMETERS = {  # BookSim's name: ours, and by how much they differ
    "routing_delay": ("routing_cycles", 0),
    "vc_alloc_delay": ("vc_allocation_cycles", 0),
    "sw_alloc_delay": ("switch_allocation_cycles", 0),
    "st_prepare_delay": ("switch_traversal_cycles", 1),
    "st_final_delay": ("switch_traversal_cycles", 0),
    "credit_delay": ("credit_cycles", 0),
    "num_vcs": ("virtual_channels", 0),
    "speculative": ("speculative", False),
}


def rows(shared, name):
    with (shared / "reference" / "noc" / name).open(newline="") as file:
        yield from csv.DictReader(file)


def changed(text):
    """Topology and router of a row of ``zero_load.csv``."""
    named = dict(word.split("=") for word in text.split() if "=" in word)
    link = 1 if named.pop("use_noc_latency", None) == "0" else 2
    is_torus = named.pop("topology", "mesh") == "torus"
    for name in ("routing_function", "output_delay"):
        named.pop(name, None)
    ours = {PARAMETERS[k][0]: int(v) + PARAMETERS[k][1] for k, v in named.items()}
    if "speculative" in ours:
        ours["speculative"] = bool(ours["speculative"])
    topology = Torus(width=8, height=8, link_cycles=link) if is_torus else MESH
    return topology, Router(**ours)


def far(topology, hops):
    """A node so many links from node 0."""
    along_x = min(hops, 4 if isinstance(topology, Torus) else 7)
    end = along_x + 8 * (hops - along_x)
    assert len(topology.route(0, end)) == hops
    return end


@pytest.mark.slow
def test_zero_load_latency_equals_every_row_of_booksim(shared):
    n = 0
    for row in rows(shared, "zero_load.csv"):
        topology, router = changed(row["changed_parameters"])
        hops, flits = int(row["links"]), int(row["flits"])
        for model in MODELS:
            run = simulate(
                topology, router, Packets([0], [0], [far(topology, hops)], [flits]), model
            )
            assert run.cycles == int(row["latency"]), (row, model)
        assert router.zero_load_cycles(hops, flits, topology.link_cycles) == int(row["latency"])
        n += 1
    assert n == 72


routers = st.builds(
    Router,
    virtual_channels=st.integers(1, 5),
    buffer_flits=st.integers(1, 12),
    routing_cycles=st.integers(0, 3),
    vc_allocation_cycles=st.integers(1, 3),
    switch_allocation_cycles=st.integers(1, 3),
    switch_traversal_cycles=st.integers(1, 2),
    credit_cycles=st.integers(0, 2),
    speculative=st.booleans(),
    rotates=st.booleans(),
)


@given(router=routers, hops=st.integers(0, 7), flits=st.integers(1, 20), link=st.integers(1, 3))
@example(
    router=Router(
        virtual_channels=1,
        buffer_flits=3,
        routing_cycles=0,
        switch_traversal_cycles=2,
        speculative=True,
    ),
    hops=1,
    flits=3,
    link=1,
)  # batches that flits miss at every link, found by a search
def test_a_lone_packet_takes_the_closed_form(router, hops, flits, link):
    mesh = Mesh(width=8, height=1, link_cycles=link)
    batches = sorted((router.switch_traversal_cycles, router.switch_allocation_cycles))
    if batches[1] > 1:  # batches in two stages, or batches and missing credits: no formula
        flits = 1 if batches[0] > 1 else min(flits, router.buffer_flits)
    expected = router.zero_load_cycles(hops, flits, link)

    assert simulate(mesh, router, Packets([3], [0], [hops], [flits])).cycles == 3 + expected


@pytest.mark.slow
def test_every_packet_of_the_micro_cases_arrives_in_the_cycle_in_which_booksim_delivers_it(shared):
    cases = defaultdict(list)
    for row in rows(shared, "micro_packets.csv"):
        names = ("pid", "ctime", "src", "dst", "size", "tail_atime")
        cases[row["case"], row["config"]].append([int(row[name]) for name in names])
    n_exact = 0
    for (_, config), case in cases.items():
        _, created, source, end, flits, tail = np.array(sorted(case)).T
        run = simulate(MESH, ROUTERS[config], Packets(created, source, end, flits))
        n_exact += np.count_nonzero(run.arrival_cycles == tail)

    assert n_exact == 2967


@pytest.mark.parametrize("length", [4, 8, 16])
def test_closed_forms_of_contention(length):
    for router, gap in ((Router(), 0), (Router(virtual_channels=1), 2)):

        def makespan(created, source, end, router=router):
            flits = np.full(len(created), length)
            return simulate(MESH, router, Packets(created, source, end, flits)).cycles

        nodes = np.arange(64)
        others = np.delete(nodes, 27)
        assert makespan([0] * 4, [0] * 4, [3] * 4) == 5 * 3 + 6 + 4 * length + 3 * gap
        far_last = nodes[1:]
        assert makespan([0] * 63, [0] * 63, far_last) == 76 + 63 * length + 62 * gap
        gathered = 80 if gap else 11
        assert makespan([0] * 63, others, [27] * 63) == gathered + 63 * length
        assert makespan([0, 5], [0, 1], [2, 2]) == 16 + 2 * length + gap
        inside = nodes[nodes % 8 < 7]
        assert makespan([0] * 56, inside, inside + 1) == 11 + length


def test_a_chain_that_is_fed_too_fast_grows_by_the_same_in_every_period():
    stages = np.arange(7)
    for period, expected in ((8, 811 - 100 + 100), (7, 811), (12, 1200 + 11 + 8 - 12)):
        created = np.repeat(np.arange(100) * period, 7)
        run = simulate(
            MESH,
            Router(),
            Packets(created, np.tile(stages, 100), np.tile(stages + 1, 100), np.full(700, 8)),
        )
        assert run.cycles == expected
        assert run.stable == (period >= 8)


def test_two_packets_on_one_link_share_it_flit_by_flit():
    run = simulate(MESH, Router(), Packets([0, 5], [0, 1], [2, 2], [4, 4]))

    assert run.latency_cycles.tolist() == [23, 19]


@pytest.mark.slow
def test_mean_latency_follows_booksim_up_to_085_of_saturation(shared):
    measured = [*rows(shared, "booksim_sweep.csv"), *rows(shared, "booksim_torus.csv")]
    saturation = {
        (row["config"], row["traffic"], row["packet_flits"]): float(row["accepted_flits"])
        for row in measured
        if row["mode"] == "throughput"
    }
    saturation |= {("default16vc", "transpose", n): 1 / 7 for n in ("1", "4", "16")}
    n = 0
    for row in measured:
        case = row["config"], row["traffic"], row["packet_flits"]
        load, length = float(row["offered_flits"]), int(row["packet_flits"])
        if row["mode"] != "latency" or load > 0.85 * saturation.get(case, 1.0):
            continue
        topology = Torus(width=8, height=8) if "torus" in case[0] else MESH
        had = float(row["accepted_flits"])  # what its random numbers made of the offered load
        cycles = 24_000 if load < 0.1 or length == 16 else 8_000  # few packets: a mean scatters
        if length == 16 and load >= 0.3:
            cycles = 60_000  # and more so close to saturation
        sent = packets(case[1], had, length, cycles)
        found = mean_latency(topology, ROUTERS[case[0]], sent, warm=2_000)
        bound = 0.05 if length == 1 else 0.03
        assert found == pytest.approx(float(row["packet_latency"]), rel=bound), row
        n += 1
    assert n == 44


@pytest.mark.slow
def test_saturation_throughput_equals_that_of_booksim(shared):
    n = 0
    for row in rows(shared, "booksim_sweep.csv"):
        if row["mode"] == "throughput":
            load = packets(row["traffic"], 1.0, int(row["packet_flits"]), 4_000)
            found = accepted(MESH, ROUTERS[row["config"]], load, 2_000, 4_000)
            assert found == pytest.approx(float(row["accepted_flits"]), rel=0.05), row
            n += 1
    assert n == 14


topologies = st.sampled_from(SMALL)


@st.composite
def loads(draw, multicasts):
    """A topology and packets for it; with ``multicasts`` each goes to one node or to several."""
    topology = draw(topologies)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 150))
    ends = [
        rng.permutation(topology.n_nodes)[: rng.integers(1, 4 if multicasts else 2)]
        for _ in range(n)
    ]
    copies = [len(end) for end in ends]
    created = np.repeat(rng.integers(0, draw(st.sampled_from([1, 60, 2_000])), n), copies)
    source = np.repeat(rng.integers(0, topology.n_nodes, n), copies)
    flits = np.repeat(rng.integers(1, 6 if multicasts else 13, n), copies)
    numbers = np.repeat(np.arange(n), copies) if multicasts else None
    return topology, Packets(created, source, np.concatenate(ends), flits, numbers)


@settings(max_examples=150)
@given(load=loads(multicasts=False), router=routers)
def test_all_packets_arrive_over_the_links_of_their_routes(load, router):
    topology, sent = load
    expected = np.zeros(len(topology.links), np.int64)
    for source, end, flits in zip(sent.source, sent.destination, sent.flits, strict=True):
        np.add.at(expected, topology.route(source, end), flits)
    if topology.has_rings and router.virtual_channels == 1:
        with pytest.raises(ValueError, match=r"Router\.virtual_channels must be at least 2"):
            simulate(topology, router, sent)
        return
    runs = {model: simulate(topology, router, sent, model) for model in MODELS}
    for run in runs.values():
        assert (run.link_flits == expected).all()
        assert (run.arrival_cycles > sent.created).all()
    alone = runs["analytic"].latency_cycles
    assert (runs["packet"].latency_cycles >= alone).all()
    if router.switch_traversal_cycles == 1 or (sent.flits == 1).all():
        assert (runs["flit"].latency_cycles >= alone).all()


@settings(max_examples=150)
@given(load=loads(multicasts=True), channels=st.integers(2, 5), speculative=st.booleans())
def test_a_multicast_loads_each_link_of_its_tree_once_and_reaches_all(load, channels, speculative):
    topology, sent = load
    router = Router(virtual_channels=channels, buffer_flits=5, speculative=speculative)
    expected = np.zeros(len(topology.links), np.int64)
    for number in np.unique(sent.multicast):
        copies = np.flatnonzero(sent.multicast == number)
        tree = {
            link for i in copies for link in topology.route(sent.source[i], sent.destination[i])
        }
        np.add.at(expected, sorted(tree), sent.flits[copies[0]])
    for model in MODELS:
        run = simulate(topology, router, sent, model)
        assert (run.link_flits == expected).all()
        assert (run.arrival_cycles > sent.created).all()


@given(load=loads(multicasts=False))
def test_a_multicast_to_one_is_a_unicast(load):
    topology, sent = load
    router = Router(virtual_channels=3, buffer_flits=12)
    numbered = Packets(
        sent.created, sent.source, sent.destination, sent.flits, np.arange(len(sent))
    )
    for model in MODELS:
        one = simulate(topology, router, sent, model).arrival_cycles
        assert (one == simulate(topology, router, numbered, model).arrival_cycles).all()


def test_copies_leave_side_by_side():
    mesh = Mesh(width=3, height=3)
    sent = Packets([0] * 3, [4] * 3, [3, 5, 7], [4] * 3, [0] * 3)

    assert simulate(mesh, Router(), sent).latency_cycles.tolist() == [15, 15, 15]


def test_a_circuit_keeps_others_off_its_whole_way():
    row = CircuitMesh(width=4, height=1)
    run = simulate(row, Router(), Packets([0, 1], [0, 1], [3, 2], [10, 10]), "packet")

    assert run.latency_cycles.tolist() == [14, 25]
    first, second = run.arrival_cycles
    assert second == first + 2 + 1 + 9


def test_the_same_packets_give_the_same_cycles():
    load = packets("uniform", 0.3, 4, 2_000)
    for model in MODELS:
        one, two = (simulate(MESH, ROUTERS["vc4_buf8"], load, model) for _ in range(2))
        assert (one.arrival_cycles == two.arrival_cycles).all()


def test_an_overloaded_network_is_not_stable():
    for kind, rate, stable in (
        ("uniform", 0.3, True), ("uniform", 0.6, False), ("uniform", 0.01, True),
        ("all_to_node0", 0.01, True), ("all_to_node0", 0.05, False),
    ):  # fmt: skip
        load = packets(kind, rate, 4, 6_000)
        assert simulate(MESH, ROUTERS["vc4_buf8"], load).stable is stable


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [0], [0], [0]), r"Packets\.flits must be >= 1, got 0"),
        (([0, 1], [0], [0], [1]), r"Packets\.source must have 2 entries like created, got 1"),
        (([-1], [0], [0], [1]), r"Packets\.created must be >= 0, got -1"),
        (([0.5], [0], [0], [1]), r"Packets\.created must be .* array of integers, got float64"),
        (([0], [0], [64], [1]), r"Packets\.destination must be below the 64 nodes .*, got 64"),
        (([0, 0], [0, 1], [1, 2], [1, 1], [0, 0]), r"Packets\.source must be the same for all"),
        (([0, 0], [0, 0], [1, 1], [1, 1], [0, 0]), r"Packets\.destination must differ between"),
        (([0, 0], [0, 0], [1, 2], [9, 9], [0, 0]), r"Router\.buffer_flits must be at least the 9"),
    ],
)
def test_packets_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate(MESH, Router(), Packets(*arguments))


def test_what_cannot_be_simulated_is_refused():
    one = Packets([0], [0], [1], [1])
    with pytest.raises(ValueError, match="model must be one of analytic, packet, flit, got 'fast'"):
        simulate(MESH, Router(), one, "fast")
    with pytest.raises(ValueError, match="PointToPoint must have at most 62 ports per router"):
        simulate(PointToPoint(nodes=100), Router(), one)
    with pytest.raises(ValueError, match=r"Router\.virtual_channels must be .*, got 0"):
        Router(virtual_channels=0)
    with pytest.raises(ValueError, match=r"Router\.speculative must be true or false, got 1"):
        Router(speculative=1)
