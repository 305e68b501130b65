"""The borders: networks to and from files, and real Lava to check them against.

`netx` and `nir_write` hold integer networks, `nir_read` and `onnx_read` read other people's float networks, `lowering`
makes a chain of a graph, `lava` and `lava_graph` run files and graphs in real Lava, `traces` keeps what neurons did.
`onnx_read` is imported on its own, because onnx is slow to import.
"""

from . import lava, lava_graph, lowering, netx, nir_read, nir_write, traces

__all__ = ["lava", "lava_graph", "lowering", "netx", "nir_read", "nir_write", "traces"]
