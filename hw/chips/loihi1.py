"""Loihi (Intel, 2018): the arithmetic of Loihi 2's CUBA neuron, binary spikes only."""

from __future__ import annotations

from dataclasses import replace

from ..chip import CHIPS, Cores, Mesh
from .loihi2 import LOIHI2

_NENGO = "nengo-loihi, nengo_loihi/hardware/validate.py and discretize.py"
_LIMITS = "nengo-loihi, nengo_loihi/hardware/validate.py"
_NXTF = "NxTF (Rueckauer et al., ACM JETC 18(3), 2022), nxsdk_modules_ncl/dnn/src/optimization.py, ExclusionCriteria"

LOIHI1 = CHIPS.register(
    "loihi1",
    replace(
        LOIHI2,
        name="loihi1",
        conv_sum_max=(1 << 15) - 1,
        dense_sum_max=(1 << 15) - 1,
        bias_min=-((1 << 12) - 1),
        payload_bits_max=0,
        sources={
            **LOIHI2.sources,
            "v_th_max": f"{_NENGO}: VTH_MAN_MAX, 17 bits",
            "bias_min": f"{_NENGO}: 12-bit magnitude and sign",
            "bias_max": f"{_NENGO}: 12-bit magnitude and sign",
            "conv_sum_max": f"{_NENGO}: Q_BITS = 21 beside the sign, weights shifted left by 6",
            "dense_sum_max": f"{_NENGO}: Q_BITS = 21 beside the sign, weights shifted left by 6",
            "payload_bits_max": "Davies et al., IEEE Micro 38(1), 2018: spikes carry no payload",
        },
        cores=Cores(
            per_chip=128,
            compartments=1024,
            input_axons=4096,
            output_axons=4096,
            synapse_words=16384,
            words_per_axon=256,
            destination_groups=16,
            mesh=Mesh(columns=8, rows=4, cores_per_tile=4),
            rules=("nxtf", "nengo"),
            sources={
                "per_chip": f"{_NXTF}: maxNumCoresPerChip; Davies et al., IEEE Micro 38(1), 2018",
                "compartments": f"{_LIMITS}: MAX_COMPARTMENTS",
                "input_axons": f"{_LIMITS}: MAX_IN_AXONS",
                "output_axons": f"{_LIMITS}: MAX_OUT_AXONS",
                "synapse_words": f"{_LIMITS}: MAX_SYNAPSE_BITS, 1048576 bits",
                "words_per_axon": f"{_NXTF}: maxNumSynMemWordsPerAxon; a limit of that compiler",
                "destination_groups": f"{_NXTF}: maxNumDestinationGroups; a limit of that compiler",
                "mesh": "inferred: 1 to 32 tiles, Davies et al., IEEE Micro 38(1), 2018; SANA-FE assumes the same",
            },
        ),
    ),
)
