"""The languages of the pocket world.

To add one, write its file `lang_<code>.py` and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping

from trainables.pocket.grammar import Language
from trainables.pocket.lang_de import GERMAN
from trainables.pocket.lang_en import ENGLISH
from trainables.pocket.lang_es import SPANISH
from trainables.pocket.lang_hi import HINDI
from trainables.pocket.lang_ru import RUSSIAN
from trainables.pocket.lang_sw import SWAHILI
from trainables.pocket.lang_tr import TURKISH
from trainables.pocket.lang_zh import CHINESE

_ALL = (ENGLISH, GERMAN, SPANISH, RUSSIAN, TURKISH, HINDI, SWAHILI, CHINESE)
BY_CODE: Mapping[str, Language] = {language.code: language for language in _ALL}
LANGUAGES: tuple[str, ...] = tuple(BY_CODE)
"""Language codes, English first."""
OTHERS = LANGUAGES[1:]
