"""OpenMENA, 8 x 8 memristors, with the firmware of its authors, as a board for crossmesh."""

import sys
import time

import numpy as np
import serial

from crossmesh.kinds import Description, Service, address_of, serve

ZERO_V, PULSE_V, SIEMENS_PER_COUNT = 0.75, 0.16, 1e-7  # the last is assumed: measure a resistor


class OpenMena:
    description = Description(
        name="OpenMENA", rows=8, cols=8, off_siemens=1e-6, on_siemens=1e-4, max_cells=64,
        read_v=0.05, pulse_v=0.36, pulse_s=50e-6, row_read_s=1.05, row_write_s=0.8,
    )  # fmt: skip

    def __init__(self, device):
        self.port = serial.Serial(device, 115200, timeout=30)
        time.sleep(2)  # opening the port restarts the Arduino

    def read(self, rows, cols):
        levels = (2047 + 137 * np.eye(8, dtype=int)[rows]).flat  # 0.75 V, driven: 0.05 V more
        self.port.write(f"INFEREMULTIPLE: {len(rows)} {' '.join(map(str, levels))}\n".encode())
        self.port.read_until(b"ADC Averages:\r\n")
        counts = np.array([self.port.readline().split() for _ in rows], float)
        return SIEMENS_PER_COUNT * counts[:, cols]

    def pulse(self, rows, cols, counts, volts, width_s):
        half, micro = (volts or PULSE_V) / 2, round(1e6 * (width_s or self.description.pulse_s))
        ends = " ".join(f"{ZERO_V + each:.4f}" for each in (half, -half, -half, half))
        for i, j, n in zip(rows, cols, counts.astype(int), strict=True):
            self.port.write(f"WEIGHTMODIF: {i} {j} {np.sign(n)} {abs(n)} {ends} {micro}\n".encode())
            time.sleep(0.1 + 2e-6 * micro * abs(n))  # it is not acknowledged


if __name__ == "__main__":
    serve(Service(OpenMena(sys.argv[1])), address_of(sys.argv[2]))
