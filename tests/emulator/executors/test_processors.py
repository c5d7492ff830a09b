"""Nodes that differ in processor or BLAS are named before a run, since bits are of one type."""

from crossmesh.emulator.executors.instance import different_arithmetic
from crossmesh.tiles.runtime import processor
from crossmesh.tiles.runtime.actor import Spot
from crossmesh.tiles.runtime.processor import arithmetic


def spot(ip, what):
    return Spot("node", ip, 1, "1", b"", what)


def test_nodes_of_one_type_raise_no_remark():
    assert different_arithmetic([spot("10.0.0.1", "a"), spot("10.0.0.2", "a"), None]) == ""


def test_nodes_that_differ_are_named_with_what_they_have():
    spots = [spot("10.0.0.2", "Xeon"), spot("10.0.0.1", "EPYC"), spot("10.0.0.3", "EPYC")]

    assert different_arithmetic(spots) == (
        "nodes differ in processor or BLAS, so the last bits of results may depend on which node "
        "holds which tile: EPYC on 10.0.0.1, 10.0.0.3; Xeon on 10.0.0.2"
    )


def test_a_process_knows_its_processor_and_its_blas(monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: AMD EPYC 9R14\n")
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    arithmetic.cache_clear()
    model, *libraries = arithmetic().split(", ")

    assert model == "AMD EPYC 9R14"
    assert libraries  # NumPy has one
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "none")
    arithmetic.cache_clear()
    assert arithmetic().split(", ")[1:] == libraries
    arithmetic.cache_clear()
