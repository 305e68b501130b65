"""Lets lava-nc 0.10.0 and lava-dl 0.6.0 import on Python 3.11 and later, without torch and without asteval.

Both packages are archived, so these repairs are final. None of them touches arithmetic that our files use.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import sys
from types import ModuleType

DECAY_ONE = 4096


def install() -> None:
    """Prepare this interpreter; call once, before anything from `lava` is imported."""
    _stub("asteval", Interpreter=type("Interpreter", (), {}))
    _stub_slayer()
    _hashable_defaults("lava.magma.compiler.var_model")
    _python_ints_in_conv()
    _search_models_once()


def fast_conv() -> None:
    """Replace Lava's scipy convolution by matrix products in float64, exact for integers below 2^53."""
    from lava.proc.conv import utils

    utils.conv_scipy = _conv_by_matmul


def _stub(name: str, **members: object) -> None:
    """Put an empty module in place of one that is not installed.

    It has a `__file__`, because Lava's search for process models calls `inspect.getfile` on every module of a package.
    """
    module = ModuleType(name)
    module.__file__ = __file__
    module.__dict__.update(members)
    sys.modules[name] = module


def _stub_slayer() -> None:
    """`netx.hdf5` wants one function of slayer, and `netx` imports a module of torch layers; both would need torch."""
    for package in ("lava.lib.dl.slayer", "lava.lib.dl.slayer.neuron"):
        _stub(package, __path__=[])
    _stub("lava.lib.dl.slayer.neuron.rf", neuron_params=_resonator_params)
    _stub("lava.lib.dl.netx.sequential_modules")


def _resonator_params(device_params: dict) -> dict[str, float]:
    """Float parameters of a resonate-and-fire neuron (lava/lib/dl/slayer/neuron/rf.py)."""
    sine, cosine = device_params["sinDecay"] / DECAY_ONE, device_params["cosDecay"] / DECAY_ONE
    return {
        "threshold": device_params["vThMant"] / 64,
        "decay": 1 - math.hypot(sine, cosine),
        "period": 2 * math.pi / math.atan2(sine, cosine),
    }


def _hashable_defaults(module: str) -> None:
    """Import `module` with dataclasses that can be hashed.

    It uses a dataclass instance as a default value, which Python 3.11 refuses unless the instance is hashable.
    """
    original = dataclasses.dataclass

    def hashable(cls: type | None = None, /, **options: bool):
        options.setdefault("unsafe_hash", True)
        return original(cls, **options) if cls is not None else functools.partial(hashable, **options)

    dataclasses.dataclass = hashable
    try:
        importlib.import_module(module)
    finally:
        dataclasses.dataclass = original


def _python_ints_in_conv() -> None:
    """Conv keeps its geometry as int8, and numpy 2 refuses `channels % int8` from 128 channels up."""
    from lava.proc.conv import utils

    stock = utils.conv

    @functools.wraps(stock)
    def conv(input_, weight, kernel_size, stride, padding, dilation, groups):
        pairs = [tuple(int(n) for n in pair) for pair in (kernel_size, stride, padding, dilation)]
        return stock(input_, weight, *pairs, int(groups))

    utils.conv = conv


def _search_models_once() -> None:
    """Lava looks for the models of every process anew, executing every file beside it: a fifth of a small job's time.

    The answer depends on the process's class alone.
    """
    from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs

    search, known = ProcGroupDiGraphs._find_proc_models, {}

    def find(proc):
        if type(proc) not in known:
            known[type(proc)] = search(proc)
        return list(known[type(proc)])

    ProcGroupDiGraphs._find_proc_models = staticmethod(find)


def _conv_by_matmul(input_, weight, kernel_size, stride, padding, dilation, groups):
    """Drop-in for `lava.proc.conv.utils.conv_scipy`. input_: (W, H, C); weight: (O, kW, kH, C / groups), flipped."""
    import numpy as np

    reach = [dilation[axis] * (kernel_size[axis] - 1) + 1 for axis in (0, 1)]
    padded = np.pad(input_.astype(np.float64), [(padding[0],) * 2, (padding[1],) * 2, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(0, 1))
    windows = windows[:: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    kernel = weight[:, ::-1, ::-1, :].astype(np.float64)
    width, height, channels = windows.shape[:3]
    outputs = []
    for group, members in enumerate(np.split(kernel, groups)):
        size = channels // groups
        rows = windows[:, :, group * size : (group + 1) * size].reshape(width * height, -1)
        outputs.append(rows @ members.transpose(0, 3, 1, 2).reshape(len(members), -1).T)
    return np.concatenate(outputs, axis=1).reshape(width, height, -1)
