"""SIB-200: which of seven topics is a sentence about? Here in the 30 languages of XGLM.

Adelani et al. 2024 (arXiv 2309.07445): sentences of FLORES-200 (CC BY-SA 4.0, as commonly given); the
repository's own licence file is Apache 2.0. It is parallel in all its splits: the same ids in the same order
with the same labels, as only the English sentences were labelled. Quechua is that of Ayacucho, Arabic the
standard, Chinese simplified.
"""

from collections.abc import Mapping
from types import MappingProxyType

from xlprompt.data.tasks.kinds.classification import CLASSIFICATION
from xlprompt.data.tasks.task_type import HubTable, Task, words

_XGLM = words(
    "en=eng_Latn ru=rus_Cyrl zh=zho_Hans de=deu_Latn es=spa_Latn fr=fra_Latn ja=jpn_Jpan it=ita_Latn "
    "pt=por_Latn el=ell_Grek ko=kor_Hang fi=fin_Latn id=ind_Latn tr=tur_Latn ar=arb_Arab vi=vie_Latn "
    "th=tha_Thai bg=bul_Cyrl ca=cat_Latn hi=hin_Deva et=est_Latn bn=ben_Beng ta=tam_Taml ur=urd_Arab "
    "sw=swh_Latn te=tel_Telu eu=eus_Latn my=mya_Mymr ht=hat_Latn qu=quy_Latn"
)
_OTHERS = words(
    "af=afr_Latn fa=pes_Arab he=heb_Hebr hu=hun_Latn jv=jav_Latn ka=kat_Geor kk=kaz_Cyrl ml=mal_Mlym "
    "mr=mar_Deva ms=zsm_Latn nl=nld_Latn tl=tgl_Latn yo=yor_Latn"
)
FLORES: Mapping[str, str] = MappingProxyType(
    {pair.split("=")[0]: pair.split("=")[1] for pair in (*_XGLM, *_OTHERS)}
)
"""What the benchmark calls each language: FLORES-200's codes, of language and script."""

SIB200 = Task(
    name="sib200",
    kind=CLASSIFICATION,
    version=1,
    fields=("text", "label"),
    # In the order of the repository's labels.txt.
    labels=words("science/technology travel politics sports health entertainment geography"),
    label_words=words("science travel politics sports health entertainment geography"),
    metrics=("accuracy",),
    languages=tuple(FLORES)[: len(_XGLM)],
    hub=HubTable(
        "Davlan/sib200",
        columns=("text", "category"),
        row_id="index_id",
        more_languages=tuple(FLORES)[len(_XGLM) :],
        config=FLORES.__getitem__,
    ),
)
