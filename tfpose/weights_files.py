"""Reads Keras weights files (HDF5) that may be damaged or made to harm."""

from __future__ import annotations

import os
import warnings

import h5py
import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.saving import saving_lib

# The numbers of a file may take this many times the bytes of the file, or the bytes of any file.
_MOST_GROWTH, _FREE_BYTES = 16, 64 * 2**20
# What Keras and h5py raise for damaged files and for files of other networks.
_LOADING_ERRORS = (
    ValueError,
    LookupError,
    OSError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
)


def load_weights_file(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Loads the weights of a Keras weights file into `model`.

    Raises:
        ValueError: The file is no weights file, is damaged, holds not-a-number or infinity, or a different model wrote
            it. The weights of the model are undefined afterwards.
    """
    check_weights_file(path)
    try:
        if not _load_by_names(model, path):
            _list_attributes()
            with warnings.catch_warnings():
                # What the warning tells, that layers keep their first weights, is an error in the same call.
                warnings.filterwarnings("ignore", message="Skipping nested container")
                model.load_weights(path)
    except _LOADING_ERRORS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: weights do not fit: {reason}") from error
    for variable in model.variables:
        values = np.asarray(keras.ops.convert_to_numpy(variable.value))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{path}: {variable.path} must hold finite numbers, got infinity or not-a-number")


def _load_by_names(model: keras.Model, path: str | os.PathLike[str]) -> bool:
    """Loads a file whose layers have the names of the layers of `model`, and returns whether it is such a file.

    Keras itself finds the weights of a layer by the class of the layer and its position among the layers of this class.
    So it refuses files of earlier versions, where layers had other classes, swaps the weights of layers of equal shapes
    that have changed places, and leaves out layers that only the file has. It also takes twice as long.

    Raises:
        ValueError: The file has all layers of `model` and others, or weights of other shapes.
    """
    # A layer that holds layers has no weights of its own; those that it holds are in the list, too.
    own = [layer for layer in model._flatten_layers() if layer._trainable_variables or layer._non_trainable_variables]
    with h5py.File(path, "r") as file:
        groups = _layers_of(file)
        names = {layer.name for layer in own}
        if groups is None or len(names) < len(own) or not names <= set(groups):
            return False
        if more := sorted(set(groups) - names):
            raise ValueError(f"the network has no layer {more[0]}")
        for layer in own:
            layer.load_own_variables({key: values[...] for key, values in groups[layer.name].items()})
    return True


def _layers_of(file: h5py.File) -> dict[str, h5py.Group] | None:
    """Returns the weights of each layer by the name of the layer, or None if names are missing or not unique."""
    groups: dict[str, h5py.Group] = {}

    def collect(path: str, item: h5py.Group | h5py.Dataset) -> str | None:
        if not path.endswith("/vars") or path.startswith("optimizer/") or "seed_generator" in path or not len(item):
            return None
        name = item.attrs.get("name")
        if not isinstance(name, str) or name in groups:
            return path  # Ends the visit.
        groups[name] = item
        return None

    return groups if file.visititems(collect) is None else None


def save_weights_file(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Writes the weights of `model` to a Keras weights file.

    Raises:
        OSError: The file cannot be written; what lies there is no whole file.
    """
    _list_attributes()
    model.save_weights(path)


def _list_attributes() -> None:
    """Lists the attributes of the kinds of objects that have weights, where Keras 3.15 looks for these lists.

    Keras keeps its own lists under another name, and makes a layer for each layer of a file to list them again.
    """
    for kind in ("Functional", "Layer", "Operation"):
        global_state.set_global_attribute(f"saving_attr_skiplist_{kind}", saving_lib.get_attr_skipset(kind))


def check_weights_file(path: str | os.PathLike[str]) -> None:
    """Checks that reading a weights file takes no more memory than its size explains, and opens no other file.

    HDF5 gives a value to each number that a dataset declares, also to those that the file does not hold.

    Raises:
        ValueError: The file is no HDF5 file, is damaged, or declares too much.
    """
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path}: must be a Keras weights file, got something else")
    most_bytes = max(_MOST_GROWTH * os.path.getsize(path), _FREE_BYTES)
    declared = 0
    # An exception inside a visit of HDF5 ends in a SystemError.
    elsewhere: list[str] = []

    def count(name: str, item: h5py.Group | h5py.Dataset) -> None:
        nonlocal declared
        if isinstance(item, h5py.Dataset):
            declared += (item.size or 0) * max(1, item.dtype.itemsize)
            if item.is_virtual or item.external:
                elsewhere.append(name)

    def find_other_files(name: str, link: object) -> None:
        if isinstance(link, h5py.ExternalLink):
            elsewhere.append(name)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(count)
            file.visititems_links(find_other_files)
    except _LOADING_ERRORS as error:
        raise ValueError(f"{path}: the weights file is damaged ({str(error).splitlines()[0]})") from error
    if elsewhere:
        raise ValueError(f"{path}: {elsewhere[0]} must lie in this file, got another file")
    if declared > most_bytes:
        raise ValueError(f"{path}: must hold at most {most_bytes:,} bytes of numbers, got {declared:,}")
