"""The neutral way to name devices: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``npu:0`` ..."""

from __future__ import annotations

from isotune.errors import BackendError, nearest
from isotune.interfaces.communicator import ALONE, Place


def choose_device(requested: str, available: list[str], backend: str, place: Place = ALONE) -> str:
    """Picks a device.

    Args:
        requested: ``auto`` for the best one, a kind (``cuda``) for the first of it, or one by
            name (``cuda:1``).
        available: the backend's devices, best first.
        backend: the backend's name, for the message.
        place: which of several processes asks. Of the best kind, or a kind by its name, each
            process of a machine gets a device of its own, except that all share the CPU; all
            share a device by name.

    Raises:
        BackendError: it is not there, and the message lists those that are; or there are fewer
            devices than processes.
    """
    wanted = requested.strip().lower()
    if not place.alone:
        kind = available[0].split(":")[0] if wanted == "auto" else wanted
        devices = [device for device in available if device.split(":")[0] == kind]
        if devices and devices != ["cpu"]:
            if len(devices) < place.local_processes:
                raise BackendError(
                    f"{place.local_processes} processes need as many devices, but backend"
                    f" '{backend}' has {', '.join(devices)} here: start fewer processes, or name a"
                    " device that all of them share."
                )
            return devices[place.local_rank]
    if wanted == "auto":
        return available[0]
    for device in available:
        if wanted in (device, device.split(":")[0]):
            return device
    raise BackendError(
        f"device '{requested}' is not there for backend '{backend}'."
        f"{nearest(wanted, ['auto', *available])} Present are: {', '.join(available)} (or auto)."
    )
