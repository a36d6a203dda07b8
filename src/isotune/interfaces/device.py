"""The neutral way to name devices: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``npu:0`` ..."""

from __future__ import annotations

from isotune.errors import BackendError, nearest


def choose_device(requested: str, available: list[str], backend: str) -> str:
    """Picks a device.

    Args:
        requested: ``auto`` for the best one, a kind (``cuda``) for the first of it, or one by
            name (``cuda:1``).
        available: the backend's devices, best first.
        backend: the backend's name, for the message.

    Raises:
        BackendError: it is not there; the message lists those that are.
    """
    wanted = requested.strip().lower()
    if wanted == "auto":
        return available[0]
    for device in available:
        if wanted in (device, device.split(":")[0]):
            return device
    raise BackendError(
        f"device '{requested}' is not there for backend '{backend}'."
        f"{nearest(wanted, ['auto', *available])} Present are: {', '.join(available)} (or auto)."
    )
