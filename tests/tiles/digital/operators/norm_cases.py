"""Cases of norms and of resampling."""

from tests.tiles.digital.operators.operator_material import Case, normal, torch

f = torch.nn.functional
AXES = (4, 3, 6)


def normalised(axes, over, epsilon=1e-5, centred=True):
    dim = tuple(1 + axis for axis in over)

    def reference(x):
        if centred:
            x = x - x.mean(dim, keepdim=True)
        return x * (x.square().mean(dim, keepdim=True) + epsilon).rsqrt()

    settings = {"over": over, "epsilon": epsilon, "centred": centred}
    return Case("normalise", reference, (axes,), settings, rtol=5e-6)


def lp(axis, p):
    return Case(
        "lp_normalise",
        lambda x: f.normalize(x, p, dim=1 + axis),
        (AXES,),
        {"axis": axis, "p": p},
        rtol=3e-6,
    )


def local(axis, size, **settings):
    names = ("alpha", "beta", "bias")
    alpha, beta, bias = (settings[name] for name in names)

    def reference(x):
        turned = x.movedim(1 + axis, 1)
        return f.local_response_norm(turned, size, alpha, beta, bias).movedim(1, 1 + axis)

    return Case("local_response", reference, (AXES,), {"axis": axis, "size": size, **settings})


def resampled(axis, size, reference, axes=AXES, **settings):
    """Against PyTorch's function of (examples, channels, places)."""

    def along(x):
        turned = x.movedim(1 + axis, -1)
        flat = turned.reshape(len(x), -1, turned.shape[-1])
        result = reference(flat, size)
        return result.reshape(*turned.shape[:-1], size).movedim(-1, 1 + axis)

    return Case("resample", along, (axes,), {"axis": axis, "size": size, **settings}, rtol=5e-6)


def interpolated(mode, **options):
    def reference(x, size):
        if mode in ("bicubic", "bilinear"):  # of two axes, one of which stays as it is
            return f.interpolate(x.unsqueeze(2), size=(1, size), mode=mode, **options).squeeze(2)
        return f.interpolate(x, size=size, mode=mode, **options)

    return reference


def picked(*places):
    return lambda x, size: x[..., list(places)]


LINEAR = interpolated("linear", align_corners=False)
CORNERS = interpolated("linear", align_corners=True)
CUBIC = interpolated("bicubic", align_corners=False)
SMOOTH = interpolated("bilinear", align_corners=False, antialias=True)
SMOOTH_CUBIC = interpolated("bicubic", align_corners=False, antialias=True)
SMOOTHED = {"antialias": True, "exclude_outside": True}

NORM = [
    *(normalised(AXES, over) for over in ((2,), (0, 1), (1, 2), (0, 2), (0, 1, 2))),
    normalised((50,), (0,), 1e-3),
    normalised(AXES, (2,), centred=False),
    normalised(AXES, (0,), 1e-6, centred=False),
    *(lp(axis, p) for axis in range(3) for p in (1, 2)),
    local(2, 3, alpha=0.5, beta=0.75, bias=1.0),
    local(0, 5, alpha=0.1, beta=0.5, bias=2.0),
    resampled(0, 8, interpolated("nearest"), coordinates="asymmetric", rounding="floor"),
    resampled(2, 4, interpolated("nearest"), coordinates="asymmetric", rounding="floor"),
    resampled(2, 9, interpolated("nearest-exact"), rounding="round_prefer_ceil"),
    resampled(2, 12, picked(*[i // 2 for i in range(12)])),
    resampled(2, 3, picked(0, 2, 4), coordinates="asymmetric", rounding="ceil"),
    resampled(2, 3, picked(0, 1, 3), coordinates="asymmetric", rounding="floor", scale=0.6),
    *(resampled(axis, 7, LINEAR, mode="linear") for axis in range(3)),
    resampled(2, 4, LINEAR, mode="linear"),
    resampled(2, 1, LINEAR, mode="linear"),
    resampled(2, 11, LINEAR, mode="linear", coordinates="half_pixel_symmetric"),
    resampled(2, 11, LINEAR, mode="linear", coordinates="pytorch_half_pixel"),
    resampled(2, 11, CORNERS, mode="linear", coordinates="align_corners"),
    resampled(2, 1, picked(0), mode="linear", coordinates="align_corners"),
    resampled(2, 1, picked(0), mode="linear", coordinates="pytorch_half_pixel"),
    resampled(2, 12, CUBIC, mode="cubic"),
    resampled(1, 2, CUBIC, mode="cubic"),
    resampled(2, 4, SMOOTH, mode="linear", **SMOOTHED),
    resampled(2, 3, SMOOTH_CUBIC, mode="cubic", cubic_a=-0.5, **SMOOTHED),
    Case(
        "lp_normalise",
        lambda x: x * 0,
        settings={"axis": 1},
        draws=(lambda r, s: 0 * normal(r, s),),
    ),
]
