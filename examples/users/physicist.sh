#!/bin/sh
# A device physicist: from a table of pulses to the accuracy that the device gives, as a figure.
# It ends within two minutes with response.png (measured and fitted) and accuracy.png.
set -e

# Stands for a table from your lab: conductance in microsiemens after each pulse, up and down.
[ -f mine.csv ] || awk 'BEGIN {
  srand(1); print "up,down"
  for (i = 0; i < 80; i++)
    printf "%.3f,%.3f\n", 2 + 18 * (1 - exp(-i / 40)) + 0.3 * rand(), 2 + 18 * exp(-i / 15) + 0.3 * rand()
}' > mine.csv

crossmesh devices fit mine.csv --unit uS --plot response.png   # writes mine.yaml

cat > device.yaml <<'END'
# My device under two training algorithms, beside a nearly ideal one
name: device
seeds: [0]
baseline: true
set: {training.epochs: 5}
runs:
  - {config: digits, title: "mine, SGD", set: {tile.cell: {extends: mine.yaml}}}
  - config: digits
    title: mine, mixed precision
    set: {tile.cell: {extends: mine.yaml}, training.algorithm.kind: mixed_precision}
  - {config: digits, title: constant steps}
END

crossmesh study device.yaml --quiet
cp studies/device/accuracy.png .
