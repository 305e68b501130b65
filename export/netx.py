"""netx (`.net`), the network file of Lava-DL: the border where (C, H, W) becomes (W, H, C) and back.

write(network, "digits.net")
network = read("digits.net")
"""

from __future__ import annotations

from .netx_chain import as_chain
from .netx_read import Transform, read, read_transform
from .netx_survey import ArraySurvey, LayerSurvey, Survey, survey
from .netx_weights import effective_dense_weight, effective_recurrent_weights
from .netx_write import FORMAT_VERSION, write

__all__ = [
    "FORMAT_VERSION",
    "ArraySurvey",
    "LayerSurvey",
    "Survey",
    "Transform",
    "as_chain",
    "effective_dense_weight",
    "effective_recurrent_weights",
    "read",
    "read_transform",
    "survey",
    "write",
]
