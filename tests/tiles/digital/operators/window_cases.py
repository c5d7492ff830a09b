"""Cases of pools and convolutions."""

import math

from tests.tiles.digital.operators.operator_material import Case, normal, positive, torch, whole

f = torch.nn.functional
MAX = {1: f.max_pool1d, 2: f.max_pool2d, 3: f.max_pool3d}
AVERAGE = {1: f.avg_pool1d, 2: f.avg_pool2d, 3: f.avg_pool3d}
CONVOLUTION = {1: f.conv1d, 2: f.conv2d, 3: f.conv3d}


def first(x):
    """Channels first."""
    return x.movedim(-1, 1)


def last(x):
    return x.movedim(1, -1)


def padded(x, before, after, value=0.0):
    widths = [w for sides in zip(reversed(before), reversed(after), strict=True) for w in sides]
    return f.pad(x, widths, value=value)


def max_pooling(axes, kernel, stride, padding, dilation=None, ceil=False, draw=normal):
    n = len(kernel)
    dilation = dilation or (1,) * n

    def reference(x):
        return last(MAX[n](first(x), kernel, stride, padding, dilation, ceil))

    settings = {"kernel": kernel, "stride": stride, "before": padding, "after": padding}
    settings |= {"dilation": dilation, "ceil": ceil}
    return Case("max_pooling", reference, (axes,), settings, (draw,))


def average_pooling(axes, kernel, stride, padding, ceil=False, counted=False):
    n = len(kernel)

    def reference(x):
        return last(AVERAGE[n](first(x), kernel, stride, padding, ceil, counted))

    settings = {"kernel": kernel, "stride": stride, "before": padding, "after": padding}
    settings |= {"ceil": ceil, "count_padding": counted}
    return Case("average_pooling", reference, (axes,), settings)


def uneven_average(axes, kernel, before, after):
    def reference(x):
        image = padded(first(x), before, after)
        ones = padded(torch.ones_like(first(x)), before, after)
        shares = [AVERAGE[len(kernel)](part, kernel, 1) for part in (image, ones)]
        return last(shares[0] / shares[1])

    settings = {"kernel": kernel, "before": before, "after": after}
    return Case("average_pooling", reference, (axes,), settings)


def lp_pooling(axes, kernel, stride, before, after, p):
    def reference(x):
        powers = padded(first(x), before, after) ** p
        means = AVERAGE[len(kernel)](powers, kernel, stride)
        return last((means * math.prod(kernel)) ** (1 / p))

    settings = {"kernel": kernel, "stride": stride, "before": before, "after": after, "p": p}
    return Case("lp_pooling", reference, (axes,), settings, (positive,), rtol=5e-6)


def convolve(axes, weight, groups=1, **settings):
    n = len(axes) - 1
    stride, dilation = (settings.get(name, (1,) * n) for name in ("stride", "dilation"))
    before, after = (settings.get(name, (0,) * n) for name in ("before", "after"))

    def reference(x, w):
        images = padded(first(x), before, after)
        weights = w.movedim((-1, -2), (1, 2))
        convolved = [
            CONVOLUTION[n](images[e : e + 1], weights[e], None, stride, 0, dilation, groups)
            for e in range(len(x))
        ]
        return last(torch.cat(convolved))

    return Case("convolve", reference, (axes, weight), {"groups": groups, **settings}, rtol=1e-5)


def patches(axes, kernel, **settings):
    n = len(kernel)
    stride, dilation = (settings.get(name, (1,) * n) for name in ("stride", "dilation"))
    before, after = (settings.get(name, (0,) * n) for name in ("before", "after"))

    def reference(x):
        image = padded(first(x), before, after)
        taken = torch.nn.functional.unfold(image, kernel, dilation, 0, stride)
        channels = axes[-1]
        taken = taken.reshape(len(x), channels, math.prod(kernel), -1).permute(0, 3, 2, 1)
        sizes = [
            (image.shape[2 + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
            for i in range(n)
        ]
        return taken.reshape(len(x), *sizes, -1)

    return Case("patches", reference, (axes,), {"kernel": kernel, **settings})


def fold(rows, sizes, kernel, stride, padding, dilation=(1, 1)):
    channels = rows[-1] // math.prod(kernel)

    def reference(x):
        columns = x.reshape(len(x), -1, math.prod(kernel), channels).permute(0, 3, 2, 1)
        columns = columns.reshape(len(x), channels * math.prod(kernel), -1)
        return last(f.fold(columns, sizes, kernel, dilation, padding, stride))

    settings = {"sizes": sizes, "kernel": kernel, "stride": stride, "dilation": dilation}
    settings |= {"before": padding, "after": padding}
    return Case("fold", reference, (rows,), settings)


def transposed(axes, outputs, kernel, stride):
    """Rows of a transposed convolution are folded in one dimension and in three."""
    n = len(kernel)
    channels = outputs
    sizes = tuple((size - 1) * s + k for size, s, k in zip(axes, stride, kernel, strict=True))
    transpose = {1: f.conv_transpose1d, 3: f.conv_transpose3d}[n]

    def reference(x):
        taps = math.prod(kernel)
        eye = torch.eye(taps * channels, dtype=torch.float64).reshape(-1, *kernel, channels)
        return last(transpose(first(x), eye.movedim(-1, 1), stride=stride))

    rows = (*axes, math.prod(kernel) * channels)
    return Case("fold", reference, (rows,), {"sizes": sizes, "kernel": kernel, "stride": stride})


WINDOW = [
    max_pooling((9, 3), (3,), (2,), (1,)),
    max_pooling((7, 8, 3), (3, 2), (2, 2), (1, 1)),
    max_pooling((7, 8, 3), (3, 2), (2, 3), (1, 0), ceil=True),
    max_pooling((9, 9, 2), (3, 3), (1, 2), (1, 1), dilation=(2, 3)),
    max_pooling((5, 4, 6, 2), (2, 2, 3), (2, 1, 2), (0, 1, 1), ceil=True),
    max_pooling((6, 6, 2), (2, 2), (2, 2), (0, 0), draw=whole(0, 2)),
    average_pooling((9, 3), (3,), (2,), (1,)),
    average_pooling((7, 8, 3), (3, 2), (2, 2), (1, 1), counted=True),
    average_pooling((7, 8, 3), (3, 3), (2, 2), (1, 1), ceil=True),
    average_pooling((6, 7, 3), (3, 3), (2, 2), (1, 1), ceil=True, counted=True),
    average_pooling((5, 4, 6, 2), (2, 2, 3), (2, 1, 2), (0, 1, 1), counted=True),
    average_pooling((7, 7, 5), (7, 7), (1, 1), (0, 0)),
    uneven_average((5, 6, 2), (3, 3), (0, 2), (1, 0)),
    lp_pooling((9, 3), (3,), (2,), (0,), (0,), 2),
    lp_pooling((7, 8, 3), (3, 2), (2, 2), (1, 0), (1, 2), 2),
    lp_pooling((7, 8, 3), (3, 2), (2, 2), (0, 0), (0, 0), 3),
    convolve((9, 4), (3, 4, 5)),
    convolve((7, 8, 3), (3, 2, 3, 5), stride=(2, 1), before=(1, 0), after=(0, 2)),
    convolve((9, 8, 3), (3, 3, 3, 2), dilation=(2, 2), before=(2, 1), after=(2, 1)),
    convolve((5, 4, 3), (1, 1, 3, 6)),
    convolve((5, 4, 3), (1, 1, 3, 6), stride=(2, 2)),
    convolve((4, 5, 6, 2), (2, 3, 2, 2, 3), stride=(1, 2, 2), before=(1, 0, 1), after=(0, 1, 1)),
    convolve((7, 8, 4), (3, 3, 1, 4), 4, before=(1, 1), after=(1, 1)),
    convolve((7, 8, 4), (3, 3, 1, 8), 4, stride=(2, 2)),
    convolve((7, 8, 4), (3, 3, 2, 6), 2, before=(1, 1), after=(1, 1)),
    convolve((9, 4), (3, 1, 4), 4),
    patches((7, 8, 3), (3, 2)),
    patches((7, 8, 3), (3, 2), stride=(2, 2), before=(1, 0), after=(0, 3), dilation=(2, 1)),
    fold((4, 3, 12), (7, 6), (3, 2), (2, 2), (1, 0)),
    fold((3, 4, 8), (6, 7), (2, 2), (1, 2), (0, 1), (3, 2)),
    transposed((5,), 3, (4,), (2,)),
    transposed((3, 2, 4), 2, (2, 3, 1), (2, 1, 2)),
]
