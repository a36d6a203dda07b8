"""What the levels of the contract share: the backend under test and its nets."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.interfaces.backend import Backend
from isotune.plugins import plugins
from isotune.testing.nets import NETS, Nets
from isotune.testing.subject import Subject


class Contract(Nets):
    """Base of the levels. A level that a test class inherits is one that its backend claims.

    Attributes:
        backend_name: Name of the installed backend, as in ``isotune run --backend NAME``.
        device: Device to test on, as in ``isotune run --device DEVICE``.
    """

    backend_name: str
    device: str = "cpu"

    def open_backend(self) -> Backend:
        """Opens the backend, once for all tests of the class; several processes join each other."""
        join = plugins.launched(self.backend_name) is not None
        return plugins.open_backend(self.backend_name, self.device, join=join)

    def to_numpy(self, tensor: Any) -> NDArray[Any]:
        """Returns a native tensor as an array; override it where ``numpy.asarray`` cannot."""
        return np.asarray(tensor)

    def unusual_settings(self) -> AbstractContextManager[object]:
        """Context in which the framework's settings of the process are not its defaults.

        Override it where the framework has any that may change what is computed.
        """
        return nullcontext()

    def current_settings(self) -> Any:
        """Returns these settings and the state of the framework's random numbers, comparable."""
        return None

    @pytest.fixture
    def backend(self) -> Backend:
        """The backend under test."""
        return self.opened()

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, backend: Backend) -> Subject:
        """The backend with the net that a test is parametrized by."""
        return self.subject_of(request.param)

    def opened(self) -> Backend:
        """Returns the backend, opened once for all tests of the class."""
        if type(self) not in _BACKENDS:
            _BACKENDS[type(self)] = self.open_backend()
        return _BACKENDS[type(self)]

    def subject_of(self, net: str) -> Subject:
        """Returns the backend with one of the nets, once for all tests of the class."""
        key = type(self), net
        if key not in _SUBJECTS:
            backend, build = self.opened(), getattr(self, net)

            def model() -> Any:
                return backend.backbones.adopt(build())

            _SUBJECTS[key] = Subject(backend, NETS[net].entry, model)
        return _SUBJECTS[key]


_BACKENDS: dict[type[Contract], Backend] = {}
_SUBJECTS: dict[tuple[type[Contract], str], Subject] = {}


def on(*nets: str) -> pytest.MarkDecorator:
    """Runs a test once for each of these nets, which it takes as ``subject``."""
    return pytest.mark.parametrize("subject", nets, indirect=True)
