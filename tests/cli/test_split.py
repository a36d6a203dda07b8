"""``isotune split``."""

from __future__ import annotations

from pathlib import Path

from tiny import make_images


def test_split_shows_a_table_and_how_a_spec_names_it(isotune):
    make_images(Path("all"), train=5, val=0)
    result = isotune("split", "all/train/ants", "all/train/bees", "-o", "out", "--train", "3",
                     "--test", "2")  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["class", "train", "test", "unused"]
    assert lines[2:5] == [["ants", "3", "2", "0"], ["bees", "3", "2", "0"], ["all", "6", "4", "0"]]
    assert lines[-2:] == [["path:", str(Path("out").absolute())], ["splits:", "{val:", "test}"]]
    assert Path("out/test/bees/bees_0001.png").is_file()


def test_split_tells_what_it_left_out_and_writes_nothing_when_dry(isotune):
    make_images(Path("all"), train=5, val=0)
    ants = Path("all/train/ants")
    (ants / "again.png").write_bytes((ants / "0.png").read_bytes())
    (ants / "broken.png").write_text("no image")
    Path("all/train/bees/ant.png").write_bytes((ants / "0.png").read_bytes())
    result = isotune("split", "all/train", "-o", "out", "--train", "0.8", "--val", "0.2",
                     "--dry-run")  # fmt: skip
    assert result.exit_code == 0
    told = result.stderr.splitlines()
    assert told[0].startswith(f"isotune: left out {ants.absolute()}/broken.png: it is not an image")
    assert told[1] == "isotune: left out 1 of class 'ants' with the same bytes as another"
    assert told[2].startswith("isotune: the same image is in several classes: ")
    assert not Path("out").exists()


def test_split_refuses_a_size_that_is_none(isotune):
    make_images(Path("all"), train=2, val=0)
    result = isotune("split", "all/train", "-o", "out", "--train", "many")
    assert result.exit_code == 2
    assert "'many' should be a count such as 1000 or a fraction such as 0.8" in result.stderr
    result = isotune("split", "all/train", "-o", "out", "--train", "3")
    assert result.exit_code == 2
    assert "class 'ants' has 2, and 3 are requested" in result.stderr
