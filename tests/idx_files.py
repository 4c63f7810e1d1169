"""A small data set in IDX files: the class of a picture is the quarter that is bright."""

import gzip
import struct

import numpy as np

CLASSES = 4


def quarters(n, size_hw=(12, 12), seed=0):
    """Return pictures (n, H, W) uint8 and labels (n,) uint8."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % CLASSES).astype(np.uint8)
    pictures = rng.integers(0, 120, (n, *size_hw), np.uint8)
    rows, columns = (side // 2 for side in size_hw)
    for picture, label in zip(pictures, labels, strict=True):
        top, left = divmod(int(label), 2)
        picture[top * rows : (top + 1) * rows, left * columns : (left + 1) * columns] += 100
    return pictures, labels


def write_idx(folder, name, array):
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with gzip.open(folder / name, "wb", compresslevel=1) as file:
        file.write(head + array.tobytes())


def write_quarters(folder, train=320, test=80, size_hw=(12, 12), shuffled=False):
    """Write the four files of a set like MNIST; ``shuffled`` labels say nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, n, seed in (("train", train, 0), ("t10k", test, 1)):
        pictures, labels = quarters(n, size_hw, seed)
        if shuffled:
            labels = np.random.default_rng(seed + 5).permutation(labels)
        write_idx(folder, f"{name}-images-idx3-ubyte.gz", pictures)
        write_idx(folder, f"{name}-labels-idx1-ubyte.gz", labels)
    return folder
