"""Why an operation of a foreign network has no spiking counterpart, and what to use instead.

Kinds are compared without case and underscores, so that one table serves ONNX, torch modules and torch functions.
"""

from __future__ import annotations

_CURVED = (
    "it saturates along a curve, and a firing rate only follows a straight line up to a ceiling",
    "use ReLU, or ReLU6 / Clip(0, c), and train again",
)
_NEGATIVE = (
    "it gives negative values for negative inputs, and a firing rate cannot be negative",
    "use ReLU and train again",
)
_STATISTICS = (
    "it normalises by statistics of the sample at hand, which no fixed weights can hold",
    "use batch norm, which folds into the weights, and train again",
)
_SOFTMAX = (
    "it divides by a sum over all channels; synapses only add",
    "leave it out: at the output the largest value stays the largest",
)
_PRODUCT = ("it multiplies two activations; synapses only add them", "use Add, or a constant factor")
_JOIN = (
    "it joins several layers' channels into one tensor",
    "add the layers instead, or read each by a layer of its own",
)
_PART = ("it takes a part of a layer", "read the whole layer, with weights of zero for the rest")
_AXES = ("it reorders axes, and layers here are (C, H, W)", "export the network with channels first")
_GROW = (
    "it makes a layer's map larger, which no chip connection does",
    "keep the resolution, or classify at the lower one",
)
_MEMORY = ("it has a memory of its own", "bring recurrent spiking neurons through NIR instead")
_FLOW = ("the graph depends on the data", "export one path, with the loop unrolled")
_QUANTIZED = ("it is quantized already, in another arithmetic", "export the float network")

_REASONS = {
    _CURVED: "sigmoid tanh softplus softsign hardsigmoid hardtanh erf logsigmoid exp log sqrt pow sin cos",
    _NEGATIVE: "leakyrelu prelu elu selu celu gelu silu swish mish hardswish rrelu softshrink "
    "hardshrink thresholdedrelu",
    _STATISTICS: "layernorm layernormalization groupnorm groupnormalization instancenorm instancenorm2d lrn "
    "instancenormalization rmsnorm rmsnormalization localresponsenorm lpnormalization normalize",
    _SOFTMAX: "softmax logsoftmax softmin hardmax",
    _PRODUCT: "mul matmul bmm einsum multiheadattention attention scaleddotproductattention multiheadattentionforward",
    _JOIN: "concat cat stack concatfromsequence",
    _PART: "slice split chunk gather getitem narrow select splittosequence",
    _AXES: "transpose permute swapaxes movedim depthtospace spacetodepth pixelshuffle channelshuffle einops",
    _GROW: "resize upsample interpolate convtranspose convtranspose2d convtranspose1d convtranspose3d unfold",
    _MEMORY: "lstm gru rnn lstmcell grucell rnncell",
    _FLOW: "if loop scan where nonzero",
    _QUANTIZED: "quantizelinear dequantizelinear qlinearconv qlinearmatmul convinteger matmulinteger fakequantize "
    "dynamicquantizelinear",
}
_BY_KIND = {kind: reason for reason, kinds in _REASONS.items() for kind in kinds.split()}


def plain_kind(kind: str) -> str:
    """A kind's name without case and underscores."""
    return kind.lower().replace("_", "")


def why_not(kind: str) -> tuple[str, str]:
    """The reason why there is no rule for an operation, and the way out."""
    general = (
        f"there is no rule for {kind}",
        "build it from convolutions, linear layers, batch norm, ReLU, additions and pools, or leave it out",
    )
    return _BY_KIND.get(plain_kind(kind), general)
