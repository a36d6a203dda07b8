from __future__ import annotations

from pathlib import Path

import pytest

from isotune.storage.paths import expanded, inner_path, is_new_or_empty


def test_new_or_empty(tmp_path: Path):
    assert is_new_or_empty(tmp_path / "missing")
    assert is_new_or_empty(tmp_path / ("n" * 300))
    assert is_new_or_empty(tmp_path)
    file = tmp_path / ".lock"
    file.touch()
    assert not is_new_or_empty(file)
    assert not is_new_or_empty(tmp_path)
    assert is_new_or_empty(tmp_path, ignored=[".lock"])
    (tmp_path / "spec.yaml").touch()
    assert not is_new_or_empty(tmp_path, ignored=[".lock"])


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../b", "/a", "~/../a", "C:a", "C:\\a", "\\\\host\\a", "a\\b"],
)
def test_nothing_leads_out_of_a_folder(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="is not a plain name"):
        inner_path(tmp_path, name)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x1b[31m", "\udcff"])
def test_names_that_cannot_be_shown_are_not_plain(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="is not a plain name"):
        inner_path(tmp_path, name)


@pytest.mark.parametrize("name", ["link/a", "link"])
def test_nothing_leads_through_a_link(tmp_path: Path, name: str):
    (tmp_path / "link").symlink_to(tmp_path.parent)
    with pytest.raises(ValueError, match="link is a link"):
        inner_path(tmp_path, name)


@pytest.mark.parametrize("name", ["a", "a/b", "./a/", "..a", "~a", "with space", "蚂蚁", "n" * 300])
def test_plain_names_stay_in_a_folder(tmp_path: Path, name: str):
    assert inner_path(tmp_path, name) == tmp_path / name


def test_a_home_that_nobody_has_is_a_name_as_any_other():
    assert expanded("~") == Path.home()
    assert expanded("~no-such-user/a") == Path("~no-such-user/a")
