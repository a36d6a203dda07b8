from __future__ import annotations

from unicodedata import normalize

import pytest

from isotune.data.integrity.class_names import similar_names


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("Ants", "ants", "upper and lower case"),
        (normalize("NFC", "café"), normalize("NFD", "café"), "Unicode form"),
        ("ﬁnch", "finch", "Unicode form"),
        ("maple tree", "maple_tree", "spaces or punctuation"),
        ("Maple-Tree", "mapletree", "spaces or punctuation"),
        ("bee", "bee ", "spaces or punctuation"),
        ("cafe", "café", "accents"),
        ("bee", "bees", "singular and plural"),
        ("Berries", "berry", "singular and plural"),
        ("boxes", "box", "singular and plural"),
        ("dandelion", "dandelon", "one letter"),
        ("dandelion", "dadnelion", "one letter"),
        ("dandelion", "dandylion", "one letter"),
    ],
)
def test_names_of_one_class_are_found(first: str, second: str, reason: str) -> None:
    others = ["tulip", "rose", "daisy"]
    assert similar_names([first, *others, second]) == [(*sorted((first, second)), reason)]


def test_other_names_are_left_alone() -> None:
    names = ["cat", "car", "bus", "house", "mouse", "glass", "grass", "hammer", "hamper", "--", "_"]
    names += [f"n0144076{digit}" for digit in range(10)] + [f"category{n}" for n in range(30)]
    assert similar_names(names) == []
