"""Suites for topologies and schedules."""

import copy
from collections import Counter
from typing import ClassVar

import numpy as np

from crossmesh.interconnect.noc import Packets, Router, simulate
from crossmesh.interconnect.noc.models import Model
from crossmesh.interconnect.noc.topology import Topology
from crossmesh.interconnect.schedule import Phase, Schedule


class TopologyTests:
    """Rules of topologies.

    Needs ``topology``; routes between all its nodes are walked, so a small one.

    Attributes:
        topology: A small one.
    """

    topology: ClassVar[Topology]

    def test_it_can_be_a_part_of_a_config(self) -> None:
        """It has a hash, so nothing in it can change."""
        same = copy.deepcopy(self.topology)
        assert hash(self.topology) == hash(same), "a topology must be a frozen value"

    def test_links_are_paired_and_enter_where_they_say(self) -> None:
        """A port leads to a router whose own port leads back."""
        topology = self.topology
        routers, ports = np.nonzero(topology.neighbors >= 0)
        there, entry = topology.neighbors[routers, ports], topology.entries[routers, ports]
        lengths = topology.link_lengths(topology.n_nodes)

        np.testing.assert_array_equal(
            topology.neighbors[there, entry], routers, "neighbors[there, entry] must lead back"
        )
        np.testing.assert_array_equal(
            topology.entries[there, entry], ports, "entries must name the port that leads back"
        )
        np.testing.assert_array_equal(
            topology.links, np.stack([routers, there], axis=1), "links must be all ports that lead"
        )
        assert lengths.shape == (len(topology.links),), "link_lengths must have one for each link"
        assert (lengths >= 0).all(), "link_lengths must be at least 0"

    def test_every_route_is_made_of_links_from_source_to_destination(self) -> None:
        """No route visits a router twice; none is longer than the diameter."""
        topology, nodes = self.topology, range(self.topology.n_nodes)
        for source in nodes:
            for destination in nodes:
                route = topology.links[topology.route(source, destination)].reshape(-1, 2)
                ends = [source, *route[:, 1].tolist()]
                name = f"the route from {source} to {destination}"
                assert ends == [*route[:, 0].tolist(), destination], f"{name} must be connected"
                assert len(set(ends)) == len(ends), f"{name} must visit no router twice"
                assert len(route) <= topology.diameter, f"{name} must be within the diameter"

    def test_messages_arrive_at_every_level_of_detail(self) -> None:
        """Flits and packets that wait for each other never arrive before those that do not."""
        last = self.topology.n_nodes - 1
        packets = Packets(created=[0, 0], source=[0, last], destination=[last, 0], flits=[4, 4])
        router = Router(virtual_channels=max(4, self.topology.least_virtual_channels))
        models: tuple[Model, ...] = ("analytic", "packet", "flit")
        free, *others = (
            simulate(self.topology, router, packets, model=model).latency_cycles for model in models
        )
        assert (free > 0).all() or last == 0, "a message to another node must take a cycle or more"
        for model, latency in zip(models[1:], others, strict=True):
            assert (latency >= free).all(), f"{model} must not be faster than without contention"


class ScheduleTests:
    """Rules of schedules.

    Needs ``schedule``; runs of up to 6 stages and 12 micro-batches are written out.

    Attributes:
        schedule: The schedule, for batches of some number of micro-batches.
    """

    schedule: ClassVar[Schedule]
    _runs: ClassVar = [(stages, n) for stages in range(1, 7) for n in range(1, 13)]

    def test_every_stage_does_every_phase_of_every_micro_batch_once_in_order(self) -> None:
        """The loss belongs to the last stage."""
        for stages, n in self._runs:
            slots = list(self.schedule.slots(stages, n))
            done = Counter((s.phase, s.stage, s.micro_batch) for s in slots)
            wanted = Counter(
                (phase, stage, m)
                for phase in Phase
                for stage in range(stages)
                for m in range(n)
                if phase is not Phase.LOSS or stage == stages - 1
            )
            assert slots == sorted(slots), f"slots({stages}, {n}) must be in order"
            assert done == wanted, f"slots({stages}, {n}) must have every phase once"

    def test_needs_are_met_before_they_are_used(self) -> None:
        """Forward goes up the stages, the error comes down, and an update needs the error."""
        for stages, n in self._runs:
            at = {s[1:]: i for i, s in enumerate(self.schedule.slots(stages, n))}
            last = stages - 1
            for m in range(n):
                order = [(Phase.FORWARD, stage, m) for stage in range(stages)]
                order += [(Phase.LOSS, last, m)]
                order += [(Phase.BACKWARD, stage, m) for stage in range(last, -1, -1)]
                times = [at[step] for step in order]
                assert times == sorted(times), f"micro-batch {m} of {stages} stages must be in turn"
                for stage in range(stages):
                    assert at[Phase.UPDATE, stage, m] > at[Phase.BACKWARD, stage, m], (
                        f"stage {stage} must be updated after the error of micro-batch {m}"
                    )

    def test_its_figures_are_those_of_its_slots(self) -> None:
        """Ticks reach from the first slot to the end of the last; a round drains all stages."""
        for stages, n in self._runs:
            slots = list(self.schedule.slots(stages, n))
            ticks = slots[-1].tick + 1 - slots[0].tick
            assert self.schedule.ticks(stages, n) == ticks, f"ticks({stages}, {n}) must be {ticks}"
            each = self.schedule.round
            if each is None:
                continue
            rounds = [slot.micro_batch // each for slot in slots]
            assert rounds == sorted(rounds), f"every {each} micro-batches all stages must be done"
