"""Which model times a run: by hops of flits, never by a clock."""

import numpy as np
import pytest

from crossmesh.interconnect.noc import CircuitMesh, Mesh, PointToPoint, Router, choice, models
from crossmesh.interconnect.noc.choice import MOST_HOPS, choose, without_flits
from crossmesh.interconnect.noc.flits.state import MOST_PORTS
from crossmesh.interconnect.noc.flow import Flow, Send, Task
from crossmesh.interconnect.noc.pipeline_timing import steady, time_flow
from crossmesh.interconnect.schedule import ForwardOnly, Phase

ROW, ROUTER = Mesh(width=4, height=1), Router(virtual_channels=4)


def fan(flits):
    """A tile that sends one message to two others and another to a third."""
    tasks = [Task(i, Phase.FORWARD, 10) for i in range(4)]
    sends = [Send(0, 0, flits, {1: (1,), 2: (2,)}), Send(0, 0, flits[:1], {3: (3,)})]
    return Flow(stages=[0, 1, 1, 1], tasks=tasks, sends=sends)


def test_a_run_gets_the_most_exact_model_that_its_hops_allow():
    flit, packet = MOST_HOPS["flit"], MOST_HOPS["packet"]

    assert [choose("auto", hops).model for hops in (0, flit, flit + 1, packet, packet + 1)] == [
        "flit", "flit", "packet", "packet", "analytic",
    ]  # fmt: skip


@pytest.mark.parametrize("model", models.MODELS)
def test_a_model_that_is_set_stays(model):
    assert choose(model, 10**12) == (model, "set by chip.model")


def test_where_there_are_no_flits_there_are_packets():
    for topology, reason in (
        (CircuitMesh(width=2, height=2), "a circuit_mesh has no flits"),
        (PointToPoint(nodes=MOST_PORTS + 1), f"routers of more than {MOST_PORTS} ports"),
    ):
        assert choose("auto", 10, without_flits(topology)) == ("packet", reason)
    assert without_flits(PointToPoint(nodes=MOST_PORTS)) is None


def test_a_pipeline_is_timed_by_the_model_that_it_gets(monkeypatch):
    flow = fan((8, 8, 3))
    hops = 19 * (2 + 2) + 8 * (3 + 1)  # links, and ports of tiles
    n = len(steady(ROW, ROUTER, flow, ForwardOnly(), "analytic").timing.started)
    for limits, model in (((n * hops, n * hops), "flit"), ((n * hops - 1, n * hops), "packet"),
                          ((0, n * hops - 1), "analytic")):  # fmt: skip
        monkeypatch.setattr(choice, "MOST_HOPS", dict(zip(("flit", "packet"), limits, strict=True)))
        found, asked = (steady(ROW, ROUTER, flow, ForwardOnly(), m) for m in ("auto", model))

        assert found.choice.model == model
        assert np.array_equal(found.timing.started, asked.timing.started)


@pytest.mark.parametrize("topology", [ROW, CircuitMesh(width=4, height=1)])
def test_messages_as_a_whole_come_when_their_longest_packet_does(topology):
    whole = time_flow(topology, ROUTER, fan((8, 8, 3)), ForwardOnly(), 2, "analytic")
    longest = time_flow(topology, ROUTER, fan((8,)), ForwardOnly(), 2, "analytic")
    packets = time_flow(topology, ROUTER, fan((8, 8, 3)), ForwardOnly(), 2, "packet")

    assert np.array_equal(whole.arrivals, longest.arrivals)
    assert np.array_equal(whole.link_flits, packets.link_flits)
    assert (whole.started <= packets.started).all()


def test_what_the_analytic_model_costs_does_not_grow_with_the_packets(monkeypatch):
    monkeypatch.setattr(models, "_EVENTS", 50)
    seen = []
    flow = fan((8,) * 10_000)
    time_flow(ROW, ROUTER, flow, ForwardOnly(), 1, "analytic", lambda *share: seen.append(share))

    assert len(seen) == 2  # all events, before and after kernels are compiled
