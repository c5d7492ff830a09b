"""Machines of one's own that are reached over ssh."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

import typer
from pydantic import model_validator

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.config import Word
from crossmesh.cluster.launch.launched import Launched
from crossmesh.cluster.launch.machines.checks import check_ready, misses
from crossmesh.cluster.launch.machines.cluster import LaunchedCluster, sources
from crossmesh.cluster.launch.machines.run import Machinery
from crossmesh.cluster.launch.machines.site import LaunchSite
from crossmesh.cluster.launch.machines.ssh import SshMachine, everywhere
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import RunError
from crossmesh.common.frozen import Many

_END_S = 180  # longest wait until a machine has ended what we started


class OnPremisesCluster(LaunchedCluster):
    """Machines that are there already and are reached over ssh.

    Attributes:
        head: Address of the machine that starts the training.
        workers: Addresses of the others.
    """

    kind: Literal["on-premises"] = "on-premises"
    head: Word
    workers: Many[Word] = ()

    @property
    def nodes(self) -> int:
        """Number of machines."""
        return 1 + len(self.workers)

    @model_validator(mode="after")
    def _machines_differ(self) -> Self:
        machines = [self.head, *self.workers]
        if named := next((name for name in machines if "@" in name), None):
            raise ValueError(f"head and workers must be addresses (user is in ssh), got {named}")
        twice = next((name for name in machines if machines.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"workers must be other machines than the head's, got {twice} twice")
        return self

    def machinery(self, launched: Launched) -> Machinery:
        """Ray is started on each machine by ssh from here, and ended so."""
        return _Premises(self, launched.folder)

    def preflight(self, order: Order, folder: Path) -> Iterator[str]:
        """What the machines lack."""
        yield from (here := list(super().preflight(order, folder)))
        if here:
            return
        with self.site(order.name, folder) as site:
            yield from misses(self, site, machines(self, site))


class _Premises(Machinery):
    def __init__(self, cluster: OnPremisesCluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder

    def started(self, site: LaunchSite) -> SshMachine:
        """The head, when Ray runs on all machines."""
        cluster = self._cluster
        head, *workers = everyone = machines(cluster, site)
        typer.echo(f"setting up {', '.join(map(str, everyone))}", err=True)
        everywhere(everyone, SshMachine.connect)
        archive = site.packed(sources(cluster, self._folder))
        everywhere(everyone, lambda machine: site.copy(machine, archive))
        if cluster.image is not None:
            everywhere(everyone, site.begin_container)
        everywhere(everyone, site.set_up)
        if not cluster.is_prepared:
            check_ready(cluster, site, everyone)
        typer.echo(f"starting Ray on {len(everyone)} machines", err=True)
        address = site.start_ray(head, f"head {scripts.quoted([head.address])}")
        everywhere(workers, lambda machine: site.start_ray(machine, f"worker {address}"))
        return head

    def head(self, site: LaunchSite) -> SshMachine:
        """The head, if it is reached."""
        head = machines(self._cluster, site)[0]
        head.connect(heed=False)
        return head

    def given_back(self, site: LaunchSite) -> bool:
        """End our processes on all machines, and remove our files."""

        def end(machine: SshMachine) -> str:
            try:
                machine.connect(heed=False)
                answer = machine.run(_ending(site), heed=False, within_s=_END_S)
            except RunError as error:
                return str(error)
            return f"{machine}: {answer.last_words}" if answer.code else ""

        failures = list(filter(None, everywhere(machines(self._cluster, site), end)))
        for failure in failures:
            what = f"crossmesh cancel {site.name} tries again to end what is left there"
            typer.echo(f"warning: {failure}; {what}", err=True)
        return not failures


def machines(cluster: OnPremisesCluster, site: LaunchSite) -> list[SshMachine]:
    """All machines, the head first."""
    workers = [site.machine(address, "workers") for address in cluster.workers]
    return [site.machine(cluster.head, "head"), *workers]


def _ending(site: LaunchSite) -> str:
    """Ends what runs on a machine, and removes our folder and those above that are empty then."""
    there = scripts.path(site.there)
    return "; ".join(
        [
            f"if [ -e {there}/ray.sh ]; then {site.inside(f'bash {site.there}/ray.sh end')}; fi",
            f"if [ -e {there}/container.sh ]; then bash {there}/container.sh down; fi",
            f"rm -rf {there}",
            f"rmdir {scripts.path('~/.crossmesh')} 2> /dev/null || true",
        ]
    )
