#!/bin/sh
# A cluster operator: the same training in one process and on three Ray nodes, and how it scales.
# It ends within five minutes with scaling.png. To use your own cluster, put its file in place of local.
set -e

crossmesh train digits --engine local --epochs 3 --quiet --json --run-dir runs/one > one.json
crossmesh launch local digits --epochs 3 --quiet --json --run-dir runs/three > three.json

python - <<'END'
import json

one, three = (json.load(open(f"runs/{name}/summary.json")) for name in ("one", "three"))
assert one["state_digest"] == three["state_digest"], "the same bits, wherever they are computed"
for run in (one, three):
    emulation = run["emulation"]
    print(f"{emulation['nodes']} nodes: {emulation['examples_per_s']:,.0f} examples/s")
END

crossmesh scale synthetic-scaling --actors 1,2 --repeats 2 --examples 64
cp runs/synthetic-scaling-scale/scaling.png .
