"""Loihi 2 (Intel, 2021), as far as its number ranges are public."""

from __future__ import annotations

from ..chip import CHIPS, Chip, Cores

_LIF = "lava-nc 0.10.0, lava/proc/lif/models.py, declared precision of"
_WEIGHTS = "lava-nc 0.10.0, lava/utils/weightutils.py"
_BRIEF = "Intel, Taking Neuromorphic Computing to the Next Level with Loihi 2, technology brief, 2021"
_PILOTNET = "lava-dl, tutorials/lava/lib/dl/netx/pilotnet_snn/benchmark.ipynb, printed by Intel's compiler"
_CONV = "lava-dl 0.6.0, lava/lib/dl/netx/blocks (int8 fields of lava/proc/conv)"

LOIHI2 = CHIPS.register(
    "loihi2",
    Chip(
        name="loihi2",
        weight_min=-256,
        weight_max=254,
        weight_step=2,
        one_sided_max=255,
        v_th_max=(1 << 17) - 1,
        bias_min=-(1 << 12),
        bias_max=(1 << 12) - 1,
        conv_sum_max=(1 << 17) - 1,
        dense_sum_max=(1 << 15) - 1,
        payload_bits_max=16,
        bias_exp_max=7,
        delay_max=62,
        kernel_max=127,
        groups_max=127,
        sources={
            "weight_min": f"{_WEIGHTS}: 8-bit mixed-sign mantissas lose one bit",
            "weight_max": f"{_WEIGHTS}: 8-bit mixed-sign mantissas lose one bit",
            "weight_step": f"{_WEIGHTS}: 8-bit mixed-sign mantissas lose one bit",
            "one_sided_max": f"{_WEIGHTS}: 8-bit mantissas of one sign",
            "v_th_max": f"{_LIF} vth: 17 bits",
            "bias_min": f"{_LIF} bias_mant: 13 bits signed",
            "bias_max": f"{_LIF} bias_mant: 13 bits signed",
            "conv_sum_max": f"{_LIF} u: 24 bits signed after the shift by 6",
            "dense_sum_max": f"{_LIF} a_in: 16 bits signed",
            "payload_bits_max": "lava-nc 0.10.0, message bits of graded spikes used in its tutorials",
            "bias_exp_max": f"{_LIF} bias_exp: 3 bits",
            "delay_max": "lava-dl 0.6.0, netx: delays are clamped to 62",
            "kernel_max": _CONV,
            "groups_max": _CONV,
        },
        cores=Cores(
            per_chip=128,
            compartments=8192,
            input_axons=None,
            output_axons=None,
            synapse_words=12000,
            words_per_axon=None,
            destination_groups=None,
            mesh=None,
            rules=("loihi2",),
            sources={
                "per_chip": f"{_BRIEF}: 128 cores per chip",
                "compartments": f"{_BRIEF}: up to 1 million neurons per chip, 8192 per core",
                "input_axons": "not published",
                "output_axons": "not published",
                "synapse_words": f"{_PILOTNET}: registers['SynMem'] = 12000",
                "words_per_axon": "not published",
                "destination_groups": "not published",
                "mesh": "not published",
            },
        ),
    ),
)
