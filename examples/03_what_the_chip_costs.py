"""Time, energy and area of a network's chip, without training, over the width of its links."""

from crossmesh import chip, load_config

for bits in (16, 64, 256):
    report = chip(load_config("digits", [f"chip.flit_bits={bits}"]))
    print(
        f"{bits:>3} bits: an example every {1e9 * report.time.interval_s:,.0f} ns, "
        f"{1e9 * report.energy.per_example_j.value:.1f} nJ, {report.area.chip_mm2:.2f} mm2"
    )

#  16 bits: an example every 707 ns, 1.9 nJ, 0.56 mm2
#  64 bits: an example every 582 ns, 1.9 nJ, 0.80 mm2
# 256 bits: an example every 550 ns, 2.0 nJ, 2.04 mm2
