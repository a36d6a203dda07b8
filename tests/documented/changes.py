"""What of the documentation a test does not run, and what it makes smaller: all of it is here."""

from __future__ import annotations

GPU = "needs a GPU or an NPU"
MACHINES = "needs two machines; tests/distributed runs both launchers on one"
PROCESSES = "starts processes that import a framework; tests/distributed and tests/cli do"
COMPILER = "torch.compile takes half a minute; tests/equivalence compares compiled steps"
SERVER = "serves until Ctrl-C; tests/serving and tests/cli/test_serve.py do"
TRACKERS = "takes seconds to begin a store, or needs a server; tests/observers does it"
OTHERS = "what it is compared with, which needs weights of ImageNet, or another package"
PHOTOGRAPHS = "needs photographs, and weights of ImageNet"
EXAMPLE = "the whole is in examples/numpy_backend, whose tests run"
FRAGMENT = "a part of a file, whose names come from around it"
OTHERS = "another library's code, which needs that library, photographs and weights of ImageNet"
OURS = "needs a file of weights; tests/test_coming_from.py makes one"
STORY = "needs the plugin that it is about; the first block of the page runs the same command"

NOT_RUN = {
    ("*", "isotune serve"): SERVER,
    ("*", "--processes"): PROCESSES,
    ("*", "cuda"): GPU,
    ("*", "ascend"): GPU,
    ("*", "compile=true"): COMPILER,
    ("docs/agreement.md", "isotune run ants-and-bees-features"): PHOTOGRAPHS,
    ("docs/many-processes.md", "torchrun "): MACHINES,
    ("docs/many-processes.md", "msrun "): MACHINES,
    ("docs/many-processes.md", "srun "): "needs Slurm",
    ("docs/many-processes.md", "scontrol "): "needs Slurm",
    ("docs/serve.md", "http://models:8000"): MACHINES,
    ("docs/trackers.md", "mlflow"): TRACKERS,
    ("docs/trackers.md", "wandb"): TRACKERS,
    ("docs/certify.md", "isotune certify a.trace b.trace"): "needs the traces of other machines",
    ("docs/certify.md", "--output found"): STORY,
    ("docs/certify.md", "--output fixed"): STORY,
    ("docs/certify.md", "self.conv1 = "): FRAGMENT,
    ("docs/adding-a-backend.md", "class TestContract("): EXAMPLE,
    ("docs/adding-a-backend.md", "class NumpyTracer("): EXAMPLE,
    ("docs/coming-from/fastai.md", "import *"): OTHERS,
    ("docs/coming-from/keras.md", "import keras"): OTHERS,
    ("docs/coming-from/mindspore.md", "import mindspore as ms"): OTHERS,
    ("docs/coming-from/pytorch.md", "IMAGENET1K_V1"): OTHERS,
    ("docs/by-hand.md", "plan = replace(step.plan"): FRAGMENT,
    ("docs/coming-from/pytorch.md", "ImageFolder("): OTHERS,
    ("docs/coming-from/fastai.md", "ImageDataLoaders"): OTHERS,
    ("docs/coming-from/keras.md", "keras.Sequential("): OTHERS,
    ("docs/coming-from/mindspore.md", "ImageFolderDataset("): OTHERS,
    ("docs/coming-from/pytorch.md", "isotune.run("): OURS,
    ("docs/coming-from/fastai.md", "isotune.run("): OURS,
    ("docs/coming-from/keras.md", "isotune.run("): OURS,
    ("docs/coming-from/mindspore.md", "isotune.run("): OURS,
    ("CONTRIBUTING.md", "class RMSpropSpec("): FRAGMENT,
    ("CONTRIBUTING.md", "case RMSpropSpec("): FRAGMENT,
    ("CONTRIBUTING.md", "class RMSprop("): FRAGMENT,
    ("CONTRIBUTING.md", "def focal("): FRAGMENT,
    ("CONTRIBUTING.md", "class Focal("): FRAGMENT,
    ("CONTRIBUTING.md", "def zero_on_one_side("): FRAGMENT,
}
"""By page and what a command or a block of Python contains: why no test runs it.

Even so, a command of Isotune is parsed, so that its options exist, and Python is compiled.
"""

SMALLER = {
    "": {
        "--trials 30": "--trials 2",
        "trials=30": "trials=2",
        "--folds 5": "--folds 2",
        "folds=5": "folds=2",
        "--stage stage3": "--stage stem",
        "(1, 224, 224, 3)": "(1, 32, 32, 3)",
        "--minutes 20": "--minutes 1",
        "cifar10-lenet": "spec.yaml",
        "step-00000500": "epoch-0001",
        "IN OUT": "IN OUT.pth",
        "runs/A runs/B": "runs/ants-and-bees-torch runs/ants-and-bees-mindspore",
        "runs/ants-and-bees-torch-*": "runs/ants-and-bees-torch",
    },
    "docs/coming-from/": {
        '"mobilenet_v2", "weights": "mobilenet_v2.pth"': '"lenet", "weights": "none"',
        '"random_resized_crop": 224': '"random_resized_crop": 32',
        '"resize": 256': '"resize": 40',
        '"center_crop": 224': '"center_crop": 32',
        "hymenoptera_data/val/bees/10870992_eebeeb3a12.jpg": "bee.jpg",
    },
}
"""What stands on pages whose names begin so, and what a test does in its place."""

TORCH = ("--backend", "torch")
ADDED = {
    **dict.fromkeys(("run", "cross-validate", "find-lr", "summary"), TORCH),
    "sweep": (*TORCH, "--trials", "2"),
    # Without a backbone it would download weights.
    "fit": (*TORCH, "--set", "epochs=1", "--set", "backbone={name: lenet, weights: none}"),
    "certify": ("--drift", "1", "--predictions", "4"),
}
"""Options that a command gets unless it has them: as where one backend is installed, and small."""

NEEDED = {"mindspore": "mindspore", "to_pandas": "pandas"}
"""Words, and the packages without which what has them is not run."""

STARTED = {"chmod", "curl", "grep", "openssl"}
"""Programs that a shell starts, where they are installed."""

INSTALLS = "installs packages: what it names must be there"
CHECKED = {
    "pip": INSTALLS,
    "make": "its target must be there",
    "pytest": "the tests run anyway: its paths must be there",
    "python": "benchmarks and suites take minutes to hours: the file must be there",
    "cd": "what follows is checked in that folder",
    "tensorboard": "serves a page until Ctrl-C",
    "mlflow": "serves a page until Ctrl-C",
    "wandb": "needs a server",
    ".": "a shell's own",
    "export": "a shell's own",
    "echo": "a shell's own",
}
"""Programs that no test starts, and what is looked at instead."""
