"""Who is compared, and what everybody does."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent

WORKS = {
    "predict": "predicting the validation images",
    "frozen": "training a head on a frozen backbone",
    "finetune": "fine-tuning",
}

PEERS = {
    "plain": "torch",
    "plain, malloc tuned": "torch",
    "fastai": "fastai",
    "Lightning": "lightning",
    "HF Trainer": "transformers",
    "Keras": "keras",
    "timm": "timm",
}
"""The peers, and the ends of their scripts' names."""


def peer_command(name: str, work: str) -> list[str]:
    """Returns a peer's script with the options that say what to do."""
    if PEERS[name] == "torch" and work != "predict":
        script = HERE.parent / "native" / "torch_loop.py"
        command = [str(script), "--model", "mobilenet_v2"]
    else:
        command = [str(HERE / f"with_{PEERS[name]}.py")]
    return [*command, "--frozen"] if work == "frozen" else command
