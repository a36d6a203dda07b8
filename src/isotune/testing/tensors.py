"""What there is before a step: the offer, tensors on the device, names, a linear head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from isotune.errors import BackendError
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, FeatureBatch
from isotune.interfaces.head import HeadValues, LinearValues
from isotune.plugins import plugins
from isotune.testing.contract import Contract, on
from isotune.testing.nets import NETS
from isotune.testing.reference.trainer import normalized
from isotune.testing.subject import Subject, in_bytes
from isotune.testing.values import NORMALIZATION, batch, state, uniform, words


def head_values(inputs: int, outputs: int = 7, convolutional: bool = False) -> HeadValues:
    """Returns a linear head with arbitrary values."""
    weight, bias = uniform("w", (outputs, inputs), -1, 1), uniform("b", (outputs,), -1, 1)
    return HeadValues(LinearValues(weight, bias), convolutional=convolutional)


def oblong_images(index: int, size: int) -> Batch:
    """Returns a batch of images that are not square, so that swapped axes show."""
    pixels = words(f"feed/{index}", size * 6 * 10 * 3) % np.uint64(256)
    labels = np.arange(size, dtype=np.int32) + 10 * index
    return Batch(pixels.astype(np.uint8).reshape(size, 6, 10, 3), labels.astype(np.int32))


def check_replaced_head(subject: Subject) -> None:
    """Replaces the last layer: the given bytes are there and nothing else has changed."""
    heads, export = subject.backend.heads, subject.backend.state_adapter.export_model
    model, path = subject.model(), subject.entry.classifier
    before = export(model)
    width = heads.in_features(model, path)
    assert before[f"{path}.weight"].shape[1] == width
    new = head_values(width, convolutional=subject.entry.convolutional)
    heads.replace(model, path, new)
    assert in_bytes(export(model)) == in_bytes({**before, **new.state(path)})
    assert heads.in_features(model, path) == width


def check_wrong_path(subject: Subject, path: str) -> None:
    """Looks for a head where there is none: the error names the path."""
    model = subject.model()
    with pytest.raises(BackendError, match=f"'{path}'"):
        subject.backend.heads.in_features(model, path)
    with pytest.raises(BackendError, match=f"'{path}'"):
        subject.backend.heads.replace(model, path, head_values(1))


def check_wrong_width(subject: Subject) -> None:
    """Puts a head of another input width: the error names both widths."""
    model, path = subject.model(), subject.entry.classifier
    width = subject.backend.heads.in_features(model, path)
    with pytest.raises(BackendError, match=rf"head with {width + 1} inputs .* has {width}\."):
        subject.backend.heads.replace(model, path, head_values(width + 1))


WRONG_PATHS = ["head", "fc.weight", "flatten", "fc.", ""]


class Tensors(Contract):
    """The half of the first level that trains nothing."""

    def test_offer_reports_versions_and_devices(self, backend: Backend) -> None:
        """The offer has a way to install it, the backend's versions, and its devices."""
        report = plugins.report(self.backend_name)
        assert report.problem is None
        assert report.install.startswith("pip install ")
        assert report.versions and all(report.versions.values())
        assert dict(backend.versions()) == report.versions
        assert report.devices[-1] == "cpu"

    def test_backend_knows_its_name_device_and_threads(self, backend: Backend) -> None:
        """The backend is the one that was asked for."""
        assert (backend.name, backend.device) == (self.backend_name, self.device)
        assert backend.threads() >= 1

    def test_backbones_are_sorted(self, backend: Backend) -> None:
        """``Backbones.names`` is sorted and names nothing twice."""
        assert list(backend.backbones.names()) == sorted(set(backend.backbones.names()))

    @on("linear", "tiny_bn", "tiny_dropout")
    def test_names_and_shapes_are_canonical(self, subject: Subject) -> None:
        """The model's tensors have canonical names and PyTorch's layouts."""
        model, adapter = subject.model(), subject.backend.state_adapter
        exported = {name: value.shape for name, value in adapter.export_model(model).items()}
        assert exported == NETS[subject.entry.name].shapes
        assert list(adapter.model_shapes(model).items()) == list(exported.items())

    @on("linear", "tiny_bn", "tiny_dropout")
    def test_values_survive_a_round_trip(self, subject: Subject) -> None:
        """What is imported is exported, bit for bit."""
        adapter, model = subject.backend.state_adapter, subject.model()
        values = state(NETS[subject.entry.name].shapes, seed=1)
        adapter.import_model(model, values)
        assert in_bytes(adapter.export_model(model)) == in_bytes(values)

    def test_feed_normalizes_in_order_and_keeps_the_short_last_batch(
        self, backend: Backend
    ) -> None:
        """Batches arrive in order, normalized per channel, the last one however short."""
        batches = [oblong_images(i, size) for i, size in enumerate([4, 4, 4, 3])]
        fed = list(backend.dataset.feed(batches, NORMALIZATION))
        assert [each.size for each in fed] == [4, 4, 4, 3]
        for device, each in zip(fed, batches, strict=True):
            images = self.to_numpy(device.images)
            assert images.dtype == np.float32
            assert_allclose(images, normalized(each.images, NORMALIZATION), rtol=1e-6, atol=1e-6)
            assert_array_equal(self.to_numpy(device.labels), each.labels)

    def test_feed_reads_no_further_than_a_few_batches_ahead(self, backend: Backend) -> None:
        """Prefetching is bounded: an epoch is not read into memory."""
        drawn: list[int] = []

        def endless() -> Iterator[Batch]:
            for i in range(10_000):
                drawn.append(i)
                yield oblong_images(0, 1)

        next(iter(backend.dataset.feed(endless(), NORMALIZATION)))
        assert len(drawn) < 100

    def test_feed_leaves_the_batch_alone(self, backend: Backend) -> None:
        """Normalizing does not write into the core's images, which it may keep."""
        images = oblong_images(0, 2)
        before = images.images.copy()
        list(backend.dataset.feed([images], NORMALIZATION))
        assert_array_equal(images.images, before)

    def test_features_arrive_as_they_are(self, backend: Backend) -> None:
        """``feed_features`` normalizes nothing and keeps order and sizes."""
        sizes = [3, 2]
        batches = [
            FeatureBatch(uniform(f"features/{n}", (n, 5), -1, 1), np.arange(n, dtype=np.int32))
            for n in sizes
        ]
        fed = list(backend.dataset.feed_features(batches))
        assert [each.size for each in fed] == sizes
        for device, each in zip(fed, batches, strict=True):
            assert_array_equal(self.to_numpy(device.images), each.features)
            assert_array_equal(self.to_numpy(device.labels), each.labels)

    @on("linear", "tiny_bn", "tiny_dropout")
    def test_replaced_head_has_the_given_bytes_and_nothing_else_changes(
        self, subject: Subject
    ) -> None:
        """A new linear head has the core's values, bit for bit."""
        check_replaced_head(subject)

    @on("linear")
    def test_replaced_head_is_used_and_owns_its_values(self, subject: Subject) -> None:
        """The new head computes the logits, and is a copy of the core's arrays."""
        learner, new = subject.learner(), head_values(192)
        subject.backend.heads.replace(learner.model, "fc", new)
        before = in_bytes(learner.state())
        new.output.weight[:] = 0
        assert in_bytes(learner.state()) == before
        learner = subject.learner_of(learner.model)
        assert learner.evaluate(batch("head", 2)).shape == (2, 7)

    @on("linear", "tiny_bn", "tiny_dropout")
    @pytest.mark.parametrize("path", WRONG_PATHS)
    def test_wrong_path_is_an_error_that_names_it(self, subject: Subject, path: str) -> None:
        """There is no head there: ``BackendError`` with the path."""
        check_wrong_path(subject, path)

    @on("linear", "tiny_bn", "tiny_dropout")
    def test_wrong_width_is_an_error_that_names_both(self, subject: Subject) -> None:
        """A head of another input width: ``BackendError`` with both widths."""
        check_wrong_width(subject)
