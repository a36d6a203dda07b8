"""Exported files that a stranger made: commands take them, or say what is wrong."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import onnx_files
from hostile.commands import called
from hostile.harness import Attack, Suite
from hostile.run_mutations import TEXTS, swap
from hostile.runs import contents
from hostile.weight_files import mutated
from isotune.errors import RunError
from isotune.interfaces.exporter import IMAGES, LOGITS, PROBABILITIES
from tiny import make_images

Forgery = Callable[[random.Random, Any], object]
"""Changes a graph with its metadata, an ``onnx.ModelProto``."""

NUMBERS = (-1, 0, 1, 7, 1 << 31, 1 << 40, (1 << 63) - 1, 10**12)


def forge_metadata(rng: random.Random, made: Any) -> None:
    """Replaces the value of an entry, or a value inside it."""
    entry = rng.choice(made.metadata_props)
    if rng.random() < 0.3:
        entry.value = rng.choice(TEXTS).decode("latin-1")
        return
    plain = {"value": json.loads(entry.value)}
    if rng.random() < 0.7 and entry.key in ("spec", "origin"):
        swap(rng, plain["value"])
    else:
        swap(rng, plain)
    entry.value = json.dumps(plain.get("value")).encode("utf-8", "replace").decode()


def lose_metadata(rng: random.Random, made: Any) -> None:
    """Removes entries, repeats one, or adds very many or very long ones."""
    props = made.metadata_props
    match rng.randrange(4):
        case 0:
            del props[rng.randrange(len(props))]
        case 1:
            props.append(rng.choice(props))
        case 2:
            for number in range(rng.choice((10, 3000))):
                props.add(key=f"k{number}", value="\x1b[2J")
        case _:
            props.add(key=rng.choice(("classes", "more")), value="[" * rng.choice((99, 20 << 20)))


def name_strangely(rng: random.Random, made: Any) -> None:
    """Names classes, the experiment or the run what a terminal would obey."""
    odd = rng.choice(("\x1b[2J", "\u202eees", "a\nb", "=1+1", "", "x" * 9000, "../../up", "\x00"))
    for entry in made.metadata_props:
        if entry.key == "classes":
            entry.value = json.dumps([odd, *json.loads(entry.value)[1:]])
        elif entry.key == "name":
            entry.value = json.dumps(odd)


def lie_about_outputs(rng: random.Random, made: Any) -> None:
    """Gives inputs and outputs other names, types or shapes, or removes some."""
    graph = made.graph
    value = rng.choice([*graph.input, *graph.output])
    match rng.randrange(4):
        case 0:
            value.name = rng.choice(("", "images", "logits", "\x1b[2J", "means"))
        case 1:
            value.type.tensor_type.elem_type = rng.randrange(0, 24)
        case 2:
            dims = value.type.tensor_type.shape.dim
            rng.choice(dims).dim_value = rng.choice(NUMBERS)
        case _:
            del graph.output[rng.randrange(len(graph.output)) :]


def name_other_files(rng: random.Random, made: Any) -> None:
    """Has the values of a tensor lie in another file."""
    from onnx import TensorProto

    tensor = rng.choice(made.graph.initializer)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    places = ("secret", "../outside/secret", "/etc/passwd", "link", "*/_ORT_MEM_ADDR_/*", "")
    for key, value in (("location", rng.choice(places)), ("length", "12"), ("offset", "0")):
        tensor.external_data.add(key=key, value=value)


def grow(rng: random.Random, made: Any) -> None:
    """Has the graph compute something huge, endless, or nested without bound."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, kind = made.graph.node, rng.randrange(4)
    if kind == 0:  # a tensor that is much larger than the file
        size = numpy_helper.from_array(np.array([rng.choice((10**12, 1 << 62))]), "size")
        made.graph.initializer.append(size)
        nodes.insert(0, helper.make_node("ConstantOfShape", ["size"], ["huge"]))
        nodes.insert(1, helper.make_node("ReduceSum", ["huge"], ["extra"], keepdims=0))
        nodes.append(helper.make_node("Add", [LOGITS, "extra"], ["more"]))
    elif kind == 1:  # a loop without an end
        more = helper.make_tensor_value_info("more", TensorProto.BOOL, [])
        again = helper.make_tensor_value_info("again", TensorProto.BOOL, [])
        count = helper.make_tensor_value_info("count", TensorProto.INT64, [])
        step = helper.make_node("Identity", ["more"], ["again"])
        body = helper.make_graph([step], "body", [count, more], [again])
        made.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
        nodes.insert(0, helper.make_node("Loop", ["", "yes"], [], body=body))
    elif kind == 2:  # functions that call each other twice
        depth, opset = 20, [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
        for level in range(depth):
            name, domain = ("Neg", "") if level == 0 else (f"f{level - 1}", "own")
            calls = [
                helper.make_node(name, [source], [result], domain=domain)
                for source, result in (("x", "a"), ("a", "y"))
            ]
            function = helper.make_function("own", f"f{level}", ["x"], ["y"], calls, opset)
            made.functions.append(function)
        made.opset_import.append(opset[1])
        nodes[1].input[0] = "many"
        nodes.insert(1, helper.make_node(f"f{depth - 1}", ["pixels"], ["many"], domain="own"))
    else:  # a chain
        for number in range(rng.choice((1_000, 60_000))):
            nodes.append(helper.make_node("Neg", [LOGITS], [f"n{number}"]))


def change_graph(rng: random.Random, made: Any) -> None:
    """Changes an operator, an attribute, an edge, or the values of a tensor."""
    graph = made.graph
    node = rng.choice(graph.node)
    match rng.randrange(5):
        case 0:
            node.op_type = rng.choice(("Foo", "If", "Scan", "Conv", "", "Identity", "\x1b[2J"))
        case 1:
            node.domain = rng.choice(("evil", "com.microsoft", "ai.onnx.ml"))
        case 2:
            place = rng.randrange(len(node.input))
            node.input[place] = rng.choice((IMAGES, PROBABILITIES, LOGITS, "nowhere", ""))
        case 3:
            tensor = rng.choice(graph.initializer)
            value = rng.choice((float("nan"), float("inf"), 3e38))
            tensor.raw_data = np.full(9, value, np.float32).tobytes()[: len(tensor.raw_data)]
        case _:
            tensor = rng.choice(graph.initializer)
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)


FORGERIES: tuple[Forgery, ...] = (
    *(forge_metadata, forge_metadata, forge_metadata, lose_metadata, name_strangely),
    *(lie_about_outputs, name_other_files, grow, change_graph),
)


def place(rng: random.Random, path: Path, data: bytes, outside: Path) -> None:
    """Writes the file, or puts something else in its place."""
    match rng.randrange(30):
        case 0:
            path.mkdir()
        case 1:
            os.mkfifo(path)
        case 2:
            (outside / "model").write_bytes(data)
            path.symlink_to(outside / "model")
        case 3:
            path.symlink_to(rng.choice(("/dev/zero", path.name, "nowhere")))
        case 4:
            path.write_bytes(rng.choice(TEXTS))
        case 5:
            path.write_bytes(b"\x18\x00\x00\x00ORTM" + rng.randbytes(200))  # the other format
        case 6:
            with path.open("wb") as file:
                file.truncate(3 << 30)
        case _:
            path.write_bytes(data)


def prepare(folder: Path) -> Attack:
    import onnx

    images = make_images(folder / "images", train=1, val=1)
    plain = onnx_files.write(folder / "model.onnx", images).read_bytes()
    (folder / "outside").mkdir()
    (folder / "outside/secret").write_bytes(bytes(12))
    image = next(images.glob("val/*/*.png"))

    def attack(rng: random.Random, case: Path) -> None:
        path, outside = case / rng.choice(("model.onnx", "model.ONNX")), case / "outside"
        shutil.copytree(folder / "outside", outside)
        (case / "secret").write_bytes(bytes(12))
        (case / "link").symlink_to(outside / "secret")
        made = onnx.load_from_string(plain)
        if forges := rng.random() < 0.7:
            rng.choice(FORGERIES)(rng, made)
        data = made.SerializeToString()
        if not forges or rng.random() < 0.1:
            data = mutated(rng, data, len(data))
        place(rng, path, data, outside)
        before = contents(outside)
        split = rng.choice((["--split", "train"], ["--data", images]))
        flip = rng.choice(([], ["--flip"]))
        commands = [["predict", path, image, *flip], ["evaluate", path, *split, *flip]]
        refusals = [said for command in commands if (said := called(command, case / "home"))]
        assert contents(outside) == before, "something outside has changed"
        strange = {each.name for each in case.iterdir()}
        strange -= {path.name, "outside", "secret", "link", "home"}
        assert not strange, f"beside the file there is {strange}"
        if refusals:
            raise RunError(refusals[-1])

    return attack


SUITES = (Suite("exports", 2_000, prepare),)
