"""Words that one page uses and another explains."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_words_in_bold_among_the_concepts_are_in_the_vocabulary():
    bold = re.findall(r"\*\*([^*]+)\*\*", (DOCS / "concepts.md").read_text("utf-8"))
    here = (DOCS / "vocabulary.md").read_text("utf-8").partition("## What others")[0]
    explained = {
        word.strip()
        for words in re.findall(r"^\| ([^|]+) \|", here, re.MULTILINE)
        for word in re.split(r"[,/;]", words)
    }

    assert len(bold) > 10
    forms = [{word, word.removesuffix("s"), word.removesuffix("es")} for word in bold]
    assert [form for form in forms if not form & explained] == []
