"""One measurement in the layouts of laboratories and instruments."""

import numpy as np

from crossmesh.emulator.characterisation.tables import PulseMeasurement

N = 24  # pulses each way
VOLTS = 0.1


def clean(n_devices=3, cycles=1, seed=5):
    """Soft-bounds devices in microsiemens, rounded as instruments do."""
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.08, 0.12, (n_devices, 1, 1))
    noise = 0.15 * rng.normal(size=(2, n_devices, cycles, N))
    up = 10 + 60 * (1 - (1 - rate) ** np.arange(1, N + 1))
    top = up[:, :, -1:] - 10
    down = 10 + top * (1 - rate) ** np.arange(1, N + 1)
    up, down = (np.round(way + more, 3) for way, more in zip((up, down), noise, strict=True))
    return PulseMeasurement([f"D{k + 1}" for k in range(n_devices)], up, down, "µS")


def stacked(m, k, cycle=0):
    """Readings of a device, up and then down."""
    return [*m.up[k, cycle], *m.down[k, cycle]]


def table(head, rows, between=",", decimal="."):
    """A text of lines."""
    lines = [[*head], *rows] if head else rows
    return "".join(between.join(_cell(cell, decimal) for cell in row) + "\n" for row in lines)


def _cell(cell, decimal):
    text = f"{cell:.8g}" if isinstance(cell, float) else str(cell)
    return text.replace(".", decimal) if isinstance(cell, float) else text


def wide(m, head="{} G (uS)", scale=1.0, first="Pulse number"):
    rows = [[n + 1, *(float(scale * stacked(m, k)[n]) for k in range(len(m.names)))]
            for n in range(2 * N)]  # fmt: skip
    return [first, *(head.format(name) for name in m.names)], rows


def long(m, words=("up", "down"), counted=True):
    head = ["Device", "Cycle", "Direction", "Pulse", "Conductance (uS)"]
    rows = [[name, c + 1, word, n + 1, float(readings[k, c, n])]
            for k, name in enumerate(m.names) for c in range(m.up.shape[1])
            for word, readings in zip(words, (m.up, m.down), strict=True)
            for n in range(N)]  # fmt: skip
    return (head, rows) if counted else (
        [head[0], *head[2:3], head[4]], [[row[0], row[2], row[4]] for row in rows])  # fmt: skip


def currents(m, volts=VOLTS):
    """Currents in amperes, as an analyser writes them, with the voltage of pulses."""
    return [[name, c + 1, way * N + n + 1, (1.2, -1.3)[way], volts,
             float(1e-6 * volts * r[k, c, n])]
            for k, name in enumerate(m.names) for c in range(m.up.shape[1])
            for way, r in enumerate((m.up, m.down)) for n in range(N)]  # fmt: skip


ANALYSER = ["Device", "Cycle", "Pulse", "Vpulse (V)", "Vread (V)", "Iread (A)"]


def easyexpert(m):
    """Keysight B1500A, EasyEXPERT: names behind DataName, readings behind DataValue."""
    head = ("SetupTitle,ReRAM potentiation\nPrimitiveTest,I/V-t Sampling\n"
            "TestParameter,Channel.UnitType,SMU,SMU\nTestParameter,Measurement.Vread,0.1\n"
            "AnalysisSetup,Analysis.Setup.Vector.Graph.YAxis.Name,Iread\n"
            f"Dimension1,{2 * N},{2 * N}\n"
            "Dimension2,1,1\nDataName, Index, Vpulse, Iread, Time\n")  # fmt: skip
    rows = [["DataValue", row[2], row[3], row[5], 0.01 * n] for n, row in enumerate(currents(m))]
    return head + table([], rows, ", ")


def clarius(m):
    """Keithley 4200A-SCS, Clarius: a column for each channel, time and settings beside."""
    rows = [[0.002 * n, row[3], row[4], row[5], 25.0] for n, row in enumerate(currents(m))]
    return table(["Time", "VPulse", "VRead", "AnodeI", "Temperature"], rows, "\t")


def arc_one(m):
    """ArC ONE: session and date, then resistances of every crosspoint, with readings between."""
    head = "Local session\nThu Nov 26 10:12:13 2026\n"
    names = ["Wordline", "Bitline", "Resistance", "Amplitude (V)", "Pulse width (s)", "Tag",
             "ReadTag", "ReadVoltage"]  # fmt: skip
    rows = []
    for k in range(len(m.names)):
        rows.append([1, k + 1, 1e6 / 9.0, 0.5, 0.0, "S R2 V=0.5", "R2", 0.5])
        for way, readings in enumerate((m.up, m.down)):
            rows += [[1, k + 1, float(1e6 / g), (1.2, -1.3)[way], 1e-6, "P", "R2", 0.5]
                     for g in readings[k, 0]]  # fmt: skip
    return head + table(names, rows)


def agilent(m):
    """Agilent 4155C: quoted text, a line of units below the names."""
    rows = [[n + 1, row[3], row[5]] for n, row in enumerate(currents(m))]
    return '"ReRAM LTP LTD"\n"Vread=",0.1,"V"\n"NO.","Vpulse","Iread"\n"","V","A"\n' + table(
        [], rows
    )


def voltage_log(m):
    """Pulses and readings in one log: 1.2 V, 0.1 V, 1.2 V, 0.1 V, ..."""
    rows = []
    for n, row in enumerate(currents(m)):
        rows += [[0.02 * n, row[3], 1e-4], [0.02 * n + 0.01, row[4], row[5]]]
    return table(["Time (s)", "Voltage (V)", "Current (A)"], rows)


def one(m):
    """The first device alone, under the name of a file that tells none."""
    return m._replace(names=["1"], up=m.up[:1], down=m.down[:1])
