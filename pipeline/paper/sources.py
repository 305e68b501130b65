"""Whom a number or a method comes from, as data: one BibTeX entry per publication, and the words that name it.

Constants, references, methods and data sets carry their source as text (`Constant.source`, `Method.source`,
`Dataset.source`); `named_in` finds the entries for such a text. A field that is not known is left out: an entry
without a title is one of which only the place of publication is known. Entries were not checked against the originals;
`note` says where values are known at second hand only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ...hw import BadInput

QUOTED = "Values known through papers that quote it"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One publication. kind, fields: of its BibTeX entry, as plain text; a DOI is a
    note, which every style prints. covers: texts that name it, any case."""

    key: str
    kind: Literal["article", "inproceedings", "techreport", "misc"]
    fields: Mapping[str, str]
    covers: tuple[str, ...]


def _article(key: str, covers: tuple[str, ...], **fields: str) -> Source:
    return Source(key=key, kind="article", fields=fields, covers=covers)


def _talk(key: str, covers: tuple[str, ...], **fields: str) -> Source:
    return Source(key=key, kind="inproceedings", fields=fields, covers=covers)


def _misc(key: str, covers: tuple[str, ...], **fields: str) -> Source:
    return Source(key=key, kind="misc", fields=fields, covers=covers)


_ENERGIES = (
    _talk(
        "horowitz2014",
        ("Horowitz, ISSCC 2014",),
        author="Mark Horowitz",
        title="Computing's energy problem (and what we can do about it)",
        booktitle="ISSCC",
        year="2014",
        note="doi 10.1109/ISSCC.2014.6757323",
    ),
    _article(
        "davies2018",
        ("Davies et al.",),
        author="Mike Davies and others",
        title="Loihi: A Neuromorphic Manycore Processor with On-Chip Learning",
        journal="IEEE Micro",
        volume="38",
        number="1",
        pages="82",
        year="2018",
        note=QUOTED,
    ),
    _article(
        "boyle2025",
        ("Boyle et al.",),
        author="Boyle and others",
        journal="IEEE TCAD",
        year="2025",
        note="A fit to runs on a Nahuku board",
    ),
    _misc("sanafe", ("SANA-FE",), title="SANA-FE", howpublished="arch/loihi.yaml at commit 8951ab0"),
    _talk(
        "lemaire2022",
        ("Lemaire et al.",),
        author="Edgar Lemaire and others",
        title="An Analytical Estimation of Spiking Neural Networks Energy Efficiency",
        booktitle="ICONIP",
        year="2022",
        note="arXiv 2210.13107",
    ),
    _misc("qualia", ("Qualia plugin",), title="Qualia plugin for SNNs", howpublished="commit 15165fe"),
    _misc(
        "kerasspiking",
        ("KerasSpiking",),
        title="KerasSpiking",
        howpublished="version 0.3.0, model_energy.py",
        year="2021",
    ),
    _article(
        "degnan2015",
        ("Degnan et al.",),
        author="Degnan and others",
        title="Assessing Trends in Performance per Watt for Signal Processing Applications",
        journal="IEEE TVLSI",
        volume="24",
        number="1",
        pages="58",
        year="2015",
    ),
    _article(
        "hoeppner2019",
        ("Hoeppner et al.",),
        author="Hoeppner and others",
        title="Dynamic Power Management for Neuromorphic Many-Core Systems",
        journal="IEEE TCAS-I",
        volume="66",
        number="8",
        pages="2973",
        year="2019",
        note="arXiv 1903.08941",
    ),
    _misc(
        "intel2024halapoint",
        ("announcement of Hala Point",),
        author="{Intel}",
        title="Announcement of Hala Point",
        year="2024",
    ),
    _article(
        "qiao2015",
        ("Qiao et al.",),
        author="Qiao and others",
        title="A reconfigurable on-line learning spiking neuromorphic processor comprising 256 neurons and 128K "
        "synapses",
        journal="Frontiers in Neuroscience",
        volume="9",
        pages="141",
        year="2015",
        note=QUOTED,
    ),
    _talk(
        "indiveri2015",
        ("Indiveri et al.",),
        author="Indiveri and Corradi and Qiao",
        booktitle="IEDM",
        year="2015",
        note=QUOTED,
    ),
    _talk(
        "frady2020",
        ("Frady et al.",),
        author="Frady and others",
        title="Neuromorphic Nearest Neighbor Search Using Intel's Pohoiki Springs",
        booktitle="NICE",
        year="2020",
        note=QUOTED,
    ),
    _article(
        "merolla2014",
        ("Merolla et al.",),
        author="Merolla and others",
        title="A million spiking-neuron integrated circuit with a scalable communication network and interface",
        journal="Science",
        volume="345",
        pages="668",
        year="2014",
        note=QUOTED,
    ),
    _misc(
        "akopyan2015",
        ("Akopyan et al.",),
        author="Akopyan and others",
        year="2015",
        note="As quoted in PMC10326429, table 3",
    ),
    _article(
        "frenkel2019",
        ("Frenkel et al.",),
        author="Frenkel and others",
        journal="IEEE TBCAS",
        volume="13",
        number="1",
        year="2019",
        note=QUOTED,
    ),
    _misc("neurobench", ("NeuroBench",), title="NeuroBench", howpublished="version 2.3.0"),
)
_COMPARISONS = (
    _article(
        "dampfhoffer2023",
        ("Dampfhoffer et al.",),
        author="Dampfhoffer and others",
        title="Are SNNs Really More Energy-Efficient Than ANNs? An In-Depth Hardware-Aware Study",
        journal="IEEE TETCI",
        volume="7",
        number="3",
        pages="731--741",
        year="2023",
    ),
    _article(
        "davidson2021",
        ("Davidson and Furber", "Davidson & Furber"),
        author="Davidson and Furber",
        title="Comparison of Artificial and Spiking Neural Networks on Digital Hardware",
        journal="Frontiers in Neuroscience",
        volume="15",
        pages="651141",
        year="2021",
        note=QUOTED,
    ),
    _misc(
        "yan2024",
        ("Yan et al.", "Yan, Bai, Tang", "2409.08290"),
        author="Zhanglu Yan and Zhenyu Bai and Kaiwen Tang and Weng-Fai Wong",
        title="Reconsidering the Energy Efficiency of Spiking Neural Networks Inference from Analytical Perspectives",
        year="2024",
        howpublished="arXiv 2409.08290",
    ),
    _article(
        "wilson1927",
        ("Wilson, J. Am. Stat. Assoc.",),
        author="Wilson",
        title="Probable Inference, the Law of Succession, and Statistical Inference",
        journal="J. Am. Stat. Assoc.",
        volume="22",
        pages="209",
        year="1927",
    ),
)
_CHIPS = (
    _article(
        "rueckauer2022",
        ("NxTF",),
        author="Rueckauer and others",
        title="NxTF: An API and Compiler for Deep Spiking Neural Networks on Intel Loihi",
        journal="ACM JETC",
        volume="18",
        number="3",
        year="2022",
        note="NxTF; arXiv 2101.04261; code: intel-nrc-ecosystem/models at 3dc53bf",
    ),
    _misc("nengoloihi", ("nengo-loihi", "nengo"), title="nengo-loihi", howpublished="commit e564f66"),
    _misc(
        "lavadlpilotnet",
        ("Intel's compiler for Loihi 2", "pilotnet_snn"),
        title="lava-dl",
        howpublished="tutorials/lava/lib/dl/netx/pilotnet_snn/benchmark.ipynb, with output of Intel's compiler",
    ),
    _misc(
        "intel2021loihi2",
        ("technology brief",),
        author="{Intel}",
        title="Taking Neuromorphic Computing to the Next Level with Loihi 2",
        howpublished="technology brief",
        year="2021",
    ),
    _misc("lava", ("lava-nc",), title="Lava", howpublished="lava-nc and lava-dl"),
)
_METHODS = (
    _article(
        "rueckauer2017",
        ("Rueckauer et al., Front. Neurosci.",),
        author="Rueckauer and others",
        title="Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven Networks for Image "
        "Classification",
        journal="Frontiers in Neuroscience",
        volume="11",
        pages="682",
        year="2017",
    ),
    _talk(
        "li2021",
        ("Li et al., ICML 2021",),
        author="Li and others",
        title="A free lunch from ANN",
        booktitle="ICML",
        year="2021",
    ),
    _talk(
        "bu2022",
        ("Bu et al., ICLR 2022",),
        author="Bu and others",
        title="Optimal ANN-SNN Conversion for High-accuracy and Ultra-low-latency Spiking Neural Networks",
        booktitle="ICLR",
        year="2022",
        note="QCFS",
    ),
    _misc(
        "cka2026",
        ("ICML 2026 poster 66504",),
        howpublished="ICML 2026, poster 66504",
        note="Closed-loop CKA",
    ),
    _talk(
        "yang2025",
        ("Yang et al., CVPR 2025",),
        author="Yang and Yu and Liu and Ma and Wang and Li",
        booktitle="CVPR",
        pages="10025--10035",
        year="2025",
        note="arXiv 2503.16572",
    ),
    _talk("sastc2025", ("SASTC, AAAI 2025",), booktitle="AAAI", year="2025", note="SASTC"),
    _talk(
        "ckd2025",
        ("CKD, ICME 2025",),
        booktitle="ICME",
        year="2025",
        note="CKD, cross-modality knowledge distillation; arXiv 2507.09269",
    ),
    _talk(
        "he2024",
        ("He et al., AAAI 2024",),
        author="He and others",
        title="An Efficient Knowledge Transfer Strategy for Spiking Neural Networks from Static to Event Domain",
        booktitle="AAAI",
        year="2024",
        note="arXiv 2303.13077",
    ),
    _talk("ckdsnn2026", ("CKDSNN, AAAI 2026",), booktitle="AAAI", year="2026", note="CKDSNN"),
    _talk(
        "kdsnn2023",
        ("KDSNN, CVPR 2023",),
        title="Constructing Deep Spiking Neural Networks from Artificial Neural Networks with Knowledge Distillation",
        booktitle="CVPR",
        year="2023",
        note="KDSNN",
    ),
    _talk("bkdsnn2024", ("BKDSNN, ECCV 2024",), booktitle="ECCV", year="2024", note="BKDSNN"),
    _misc(
        "hinton2015",
        ("Hinton et al.",),
        author="Hinton and others",
        title="Distilling the Knowledge in a Neural Network",
        howpublished="arXiv 1503.02531",
        year="2015",
    ),
    _talk(
        "deng2022",
        ("Deng et al., ICLR 2022",),
        author="Deng and others",
        title="Temporal Efficient Training of Spiking Neural Network via Gradient Re-weighting",
        booktitle="ICLR",
        year="2022",
        note="arXiv 2202.11946",
    ),
    _misc(
        "devries2017",
        ("DeVries and Taylor",),
        author="DeVries and Taylor",
        title="Improved Regularization of Convolutional Neural Networks with Cutout",
        howpublished="arXiv 1708.04552",
        year="2017",
    ),
)
_DATA = (
    _misc(
        "alpaydin1998",
        ("Alpaydin and Kaynak",),
        author="Alpaydin and Kaynak",
        title="Optical Recognition of Handwritten Digits",
        howpublished="UCI Machine Learning Repository",
        year="1998",
        note="doi 10.24432/C50P49",
    ),
    _misc(
        "lecunmnist",
        ("LeCun, Cortes and Burges",),
        author="LeCun and Cortes and Burges",
        title="The MNIST database of handwritten digits",
        howpublished="http://yann.lecun.com/exdb/mnist/",
    ),
    Source(
        key="krizhevsky2009",
        kind="techreport",
        fields={
            "author": "Krizhevsky",
            "title": "Learning Multiple Layers of Features from Tiny Images",
            "institution": "University of Toronto",
            "year": "2009",
        },
        covers=("Krizhevsky",),
    ),
    _talk(
        "feifei2004",
        ("Fei-Fei, Fergus and Perona",),
        author="Fei-Fei and Fergus and Perona",
        title="Learning generative visual models from few training examples",
        booktitle="CVPR workshop on generative-model based vision",
        year="2004",
        note="doi 10.22002/D1.20086",
    ),
    _article(
        "orchard2015",
        ("Orchard, Jayawant, Cohen and Thakor",),
        author="Orchard and Jayawant and Cohen and Thakor",
        title="Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades",
        journal="Frontiers in Neuroscience",
        volume="9",
        pages="437",
        year="2015",
        note="doi 10.3389/fnins.2015.00437",
    ),
    _talk(
        "amir2017",
        ("Amir, Taba, Berg et al.",),
        author="Amir and Taba and Berg and others",
        title="A Low Power, Fully Event-Based Gesture Recognition System",
        booktitle="CVPR",
        year="2017",
    ),
    _article(
        "li2017",
        ("Li, Liu, Ji, Li and Shi",),
        author="Li and Liu and Ji and Li and Shi",
        title="CIFAR10-DVS: An Event-Stream Dataset for Object Classification",
        journal="Frontiers in Neuroscience",
        volume="11",
        pages="309",
        year="2017",
        note="doi 10.3389/fnins.2017.00309",
    ),
    _article(
        "lichtsteiner2008",
        ("Lichtsteiner et al.",),
        author="Lichtsteiner and others",
        journal="IEEE JSSC",
        volume="43",
        number="2",
        year="2008",
    ),
    _talk(
        "rebecq2018",
        ("Rebecq et al.",),
        author="Rebecq and others",
        title="ESIM: an Open Event Camera Simulator",
        booktitle="CoRL",
        year="2018",
        note="ESIM",
    ),
)

SOURCES: Mapping[str, Source] = {
    source.key: source for source in (*_ENERGIES, *_COMPARISONS, *_CHIPS, *_METHODS, *_DATA)
}
"""Every entry by its key."""

UNPUBLISHED = {
    "papers that pair it with 77 fJ; its own origin is not established": "no origin is established",
    "baseline": "cross-entropy alone, without a method from a paper",
}
"""Source texts that name no publication, and what is to be said instead."""


def keys_in(text: str) -> tuple[str, ...]:
    """Keys of the entries that a text names as whole words, in the order of this file."""
    return tuple(key for key, source in SOURCES.items() if any(_names(name, text) for name in source.covers))


def named_in(text: str) -> tuple[str, ...]:
    """Keys of the entries that a source text names; empty for one of `UNPUBLISHED`.

    Raises BadInput for any other text that names none, so that nothing is printed without its source.
    """
    found = keys_in(text)
    if not found and text not in UNPUBLISHED:
        raise BadInput(
            f"paper: the source {text!r} has no BibTeX entry; add one, and the words that name it, to "
            "pipeline/paper/sources.py"
        )
    return found


def _names(name: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}", text, re.IGNORECASE) is not None
