"""What an imported network computes on exact matrices: its graph, node by node, in NumPy."""

import numpy as np

from crossmesh.emulator.network.assembly import Settings
from crossmesh.emulator.network.building import build_network
from crossmesh.emulator.network.graph import INPUT
from crossmesh.emulator.network.task import LearningTask
from crossmesh.emulator.onnx_io.weights import matrices
from crossmesh.tiles.digital import LOSSES, Call


def graph_of(read):
    """The graph of an imported network, whatever its output."""
    task = LearningTask(
        source="test", shape=read.input_shape, n_outputs=1, loss=LOSSES["mean_squared_error"],
        tokens=read.tokens, layout=read.input_shape, channels_first=read.channels_first,
    )  # fmt: skip
    return build_network(read.layers, task, Settings(), is_checked=False)


def value_of_input(read, x):
    """Examples as they lie in the graph."""
    x = np.asarray(x, np.float32)
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if read.channels_first else x


def outputs(read, x):
    """Output of the file for examples ``(n, *shape)``, as the file has it."""
    graph = graph_of(read)
    values = _values(graph, read, x)
    return read.arrangement.of(values[graph.nodes[-1].name])


def errors(read, x, d):
    """Error at the input, of the shape of ``x``, for one at the output as the file has it."""
    graph = graph_of(read)
    held = matrices(read.layers, read.weights)
    values = _values(graph, read, x)
    n = len(x)
    back = {name: np.zeros(value.shape, np.float64) for name, value in values.items()}
    last = graph.nodes[-1].name
    back[last] += _as_lying(read.arrangement, d).reshape(back[last].shape)
    for node in reversed(graph.nodes[1:]):
        taken = _taken(graph, values, node, n)
        error = back[node.name].astype(np.float32)
        parts = _errors(graph, held, node, taken, values[node.name], error, n)
        for take, part in zip(node.inputs, parts, strict=True):
            whole = back[take.node].reshape(n, -1, graph.by_name[take.node].width)
            span = slice(*(take.positions or (None, None)))
            whole[:, span, take.start : take.stop] += part
    image = back[INPUT]
    if not read.channels_first:
        return image.reshape(x.shape)
    channels, *sizes = x.shape[1:]
    return np.moveaxis(image.reshape(n, *sizes, channels), -1, 1)


def _as_lying(arrangement, d):
    """Errors at an output of the file as they lie in the network."""
    order = arrangement.order
    tensor = d.reshape(len(d), *(arrangement.sizes[axis] for axis in order))
    back = [1 + int(axis) for axis in np.argsort(order)]
    return tensor.transpose(0, *back)


def _errors(graph, held, node, taken, y, d, n):
    """Errors at what a node takes."""
    if node.matrix is not None:
        rows = held[node.matrix].astype(np.float64)[: graph.matrices[node.matrix].inputs]
        error = d @ rows.T
        if node.window is not None:
            error = _from_patches(node.window, error, n, taken[0].shape)
        return [error.reshape(taken[0].shape)]
    if node.function is not None:
        function = node.function
        if not function.passes_errors:
            return [np.zeros(part.shape) for part in taken]
        call = Call(is_training=False, parameters=held.get(node.name, np.zeros((0, 0), np.float32)))
        flat = [np.ascontiguousarray(part).reshape(-1, part.shape[2]) for part in taken]
        given, result = flat if function.needs_inputs else (), y if function.needs_output else None
        return [
            function.backward(d, i, given, result, call).reshape(part.shape)
            for i, part in enumerate(taken)
        ]
    joined = d.reshape(n, node.positions, node.width)
    return [
        joined[:, take.at_position : take.at_position + part.shape[1],
               take.at : take.at + part.shape[2]]
        for take, part in zip(node.inputs, taken, strict=True)
    ]  # fmt: skip


def _values(graph, read, x):
    """Values of all nodes."""
    held = matrices(read.layers, read.weights)
    values = {}
    for node in graph.nodes:
        values[node.name] = _value(graph, held, values, node, read, x, len(x))
    return values


def _taken(graph, values, node, n):
    """What a node takes of others, ``(n, positions, features)`` each."""
    return [
        values[take.node].reshape(n, -1, graph.by_name[take.node].width)[
            :, slice(*(take.positions or (None, None))), take.start : take.stop
        ]
        for take in node.inputs
    ]


def _value(graph, held, values, node, read, x, n):
    if node.name == INPUT:
        return value_of_input(read, x).reshape(n * node.positions, node.width)
    taken = _taken(graph, values, node, n)
    out = np.zeros((n * node.positions, node.width), np.float32)
    if node.matrix is not None:
        matrix = graph.matrices[node.matrix]
        rows = held[node.matrix].astype(np.float64)
        fed = taken[0].reshape(-1, taken[0].shape[2])
        if node.window is not None:
            fed = _patches(node.window, taken[0])
        y = fed @ rows[: matrix.inputs]
        return (y + rows[-1] if matrix.bias else y).astype(np.float32)
    if node.function is not None:
        call = Call(is_training=False, parameters=held.get(node.name, np.zeros((0, 0), np.float32)))
        flat = [np.ascontiguousarray(t).reshape(-1, t.shape[2]) for t in taken]
        node.function.forward(flat, out, call)
        return out
    joined = out.reshape(n, node.positions, node.width)
    for take, part in zip(node.inputs, taken, strict=True):
        first = take.at_position
        joined[:, first : first + part.shape[1], take.at : take.at + part.shape[2]] += part
    return out


def _patches(window, image):
    """Patches ``(n * positions, rows)`` by kernel row, kernel column, channel."""
    n = len(image)
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = (
        window.kernel,
        window.stride,
        window.padding,
        window.dilation,
    )
    grid = image.reshape(n, window.height, window.width, -1)
    grid = np.pad(grid, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    rows = [
        grid[:, i * dh : i * dh + (window.out_height - 1) * sh + 1 : sh,
             j * dw : j * dw + (window.out_width - 1) * sw + 1 : sw]
        for i in range(kh) for j in range(kw)
    ]  # fmt: skip
    return np.concatenate(rows, -1).reshape(n * window.positions, -1)


def _from_patches(window, patches, n, shape):
    """Errors at an image, of those at its patches."""
    (kh, kw), (sh, sw), (ph, pw) = window.kernel, window.stride, window.padding
    dh, dw = window.dilation
    grid = np.zeros((n, window.height + 2 * ph, window.width + 2 * pw, shape[2]))
    rows = patches.reshape(n, window.out_height, window.out_width, kh * kw, shape[2])
    for tap in range(kh * kw):
        i, j = tap // kw * dh, tap % kw * dw
        down = slice(i, i + (window.out_height - 1) * sh + 1, sh)
        along = slice(j, j + (window.out_width - 1) * sw + 1, sw)
        grid[:, down, along] += rows[:, :, :, tap]
    return grid[:, ph : ph + window.height, pw : pw + window.width].reshape(n, -1, shape[2])
