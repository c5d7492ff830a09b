#!/bin/sh
# An architect: from a network to the tile sizes and converters that are worth building, as a figure.
# It ends within two minutes, without training, with front.png.
set -e

cat > network.yaml <<'END'
name: network
data: {source: synthetic, inputs: 784, classes: 10}   # shapes are enough
network:
  - {kind: linear, outputs: 512, activation: relu}
  - {kind: linear, outputs: 256, activation: relu}
  - {kind: linear, outputs: 10, activation: softmax}
training: {batch: 32, micro_batch: 8, schedule: synchronous}
tile: {cell: {kind: constant_step}}
END

crossmesh chip network.yaml --plot overview.png   # time, energy, area, and what bounds them

crossmesh study network.yaml --chip-only --quiet \
  --vary tile.rows=tile.cols=[128,256] --vary chip.phases.lines_per_adc=[4,16]

crossmesh pareto studies/network --by interval_s,area_mm2   # points that no other betters
cp studies/network/pareto-interval_s-area_mm2.png front.png
