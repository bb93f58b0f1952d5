"""Files made to do harm: each is refused in one line, nothing that they name is run, and no more is read than a bound."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import resource
import struct
import tarfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_layouts import BINARY, MNIST, PYTHON, RAW, batch, cifar10_binary, cifar10_python, mnist, put, records, tables

import datasets.images.cifar
import datasets.images.mnist
import datasets.tables
from bench.errors import UserError
from bench.run.known import difference
from datasets.images import pickles
from datasets.markets.olps import olps
from datasets.reading import LIMIT


def cifar10(root: Path) -> object:
    return datasets.images.cifar.cifar10(str(root), 0)


def digits(root: Path) -> object:
    return datasets.images.mnist.mnist(str(root), 0)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


class Harm:
    """Unpickling it would create a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def by_builtins(marker: Path) -> bytes:
    return f"c__builtin__\nexec\n(Vimport os; os.mkdir({str(marker)!r})\ntR.".encode()


def by_stack_global(marker: Path) -> bytes:
    return (
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c"
        + bytes([6 + len(str(marker))])
        + f"touch {marker}".encode()
        + b"\x85R."
    )


def by_attribute(marker: Path) -> bytes:
    """Through a dotted name of a module that arrays name."""
    return b"\x80\x04\x8c\x05numpy\x8c\x19ndarray.__class__.__mro__\x93."


PICKLES = {
    "reduce": lambda marker: pickle.dumps(Harm(marker)),
    "among data": lambda marker: batch(extra=Harm(marker)),
    "as labels": lambda marker: batch(labels=[Harm(marker)] * 20),
    "protocol 0": by_builtins,
    "stack global": by_stack_global,
    "attribute": by_attribute,
    "numpy's loader": lambda marker: b"cnumpy\nload\n(V/etc/hostname\ntR.",
    "object array": lambda marker: pickle.dumps({"data": np.array([Harm(marker)], dtype=object), "labels": [1]}, 2),
}


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
@pytest.mark.parametrize("kind", PICKLES)
def test_a_malicious_pickle_is_refused_and_not_run(kind, name, tmp_path):
    marker = tmp_path / "harm"
    path = put(cifar10_python(tmp_path) / name, PICKLES[kind](marker))
    with pytest.raises(UserError, match=rf"{name} is damaged: .*(nothing was run|not a whole pickle)") as caught:
        cifar10(tmp_path)
    assert "\n" not in str(caught.value)
    assert "is not CIFAR-10's" in difference(f"{PYTHON}/{name}", path)
    assert not marker.exists()


def test_those_pickles_would_do_harm(tmp_path):
    for kind in ("reduce", "among data", "protocol 0", "stack global", "object array"):
        marker = tmp_path / kind.replace(" ", "_")
        pickle.loads(PICKLES[kind](marker))
        assert marker.exists(), kind


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02r\xff\xff\xff\x7f.",  # a memo index of two thousand millions
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",  # a text of 2^60 bytes
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02" + b"]" + b"]a" * 100_000 + b".",
    ],
)
def test_a_pickle_that_asks_for_memory_is_refused_within_bounds(content):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="not a whole pickle"):
        pickles.load(content)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kilobytes"


def test_an_array_that_claims_more_than_it_holds_is_refused():
    honest = pickle.dumps({"data": np.zeros((2, 3), np.uint8)}, 2)
    assert pickles.load(honest)["data"].tolist() == [[0] * 3] * 2
    claims = honest.replace(b"K\x02K\x03\x86", b"K\xffK\xff\x86")
    assert claims != honest
    with pytest.raises(ValueError, match="not a whole pickle"):
        pickles.load(claims)


def test_a_damaged_file_of_torchvision_s_old_mnist_is_not_run(tmp_path, no_network):
    marker = tmp_path / "harm"
    for name in ("training.pt", "test.pt"):
        put(tmp_path / "MNIST/processed" / name, pickle.dumps(Harm(marker), 2))
    with pytest.raises(UserError, match="data set 'mnist' not found"):
        digits(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "shape", [(1 << 31, 1 << 31, 1 << 31), (0xFFFFFFFF,) * 4, (60, 1 << 20, 1 << 20), (1 << 28, 28, 28)]
)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_an_idx_header_of_an_absurd_size_is_refused(shape, end, tmp_path):
    content = b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + b"\0" * 100
    put(mnist(tmp_path, zipped=bool(end)) / f"{MNIST[0]}{end}", gzip.compress(content) if end else content)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.* is damaged: expected [\d,]+ bytes"):
        digits(tmp_path)


def test_an_idx_header_of_255_dimensions_is_refused(tmp_path):
    put(mnist(tmp_path) / MNIST[0], b"\0\0\x08\xff" + struct.pack(">255I", *[1] * 255) + b"\0")
    with pytest.raises(UserError, match="not an IDX file"):
        digits(tmp_path)


def gzip_bomb(path: Path, size: int = 10 * 10**9) -> Path:
    """A .gz of some megabytes that decompresses to `size` zeros: one compressed member, again and again."""
    block = 1 << 26
    member = gzip.compress(bytes(block))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for _ in range(size // block + 1):
            file.write(member)
    return path


@pytest.mark.parametrize(
    ("file", "load"),
    [
        (f"{RAW}/{MNIST[0]}.gz", digits),
        ("uci/treforevans/bike/data.csv.gz", datasets.tables.bike),
    ],
)
def test_a_gzip_bomb_is_refused_after_a_bounded_read(file, load, tmp_path):
    mnist(tmp_path, zipped=True), tables(tmp_path)
    path = gzip_bomb(tmp_path / file)
    with pytest.raises(UserError, match=rf"gz is damaged: more than {LIMIT:,} bytes when decompressed"):
        load(tmp_path)
    assert "more than 153,700,000 bytes instead of " in difference(file, path)


def test_a_huge_plain_file_is_refused_unread(tmp_path):
    """Sparse: it takes no place on the disk."""
    path = cifar10_binary(tmp_path) / "data_batch_1.bin"
    os.truncate(path, 1 << 40)
    with pytest.raises(UserError, match=r"data_batch_1.bin is damaged: 1,099,511,627,776 bytes, more than"):
        cifar10(tmp_path)
    assert "more than 153,700,000 bytes instead of 30,730,000 bytes" in difference(f"{BINARY}/data_batch_1.bin", path)


def png_bomb(side: int = 60_000) -> bytes:
    """A grey PNG of side x side pixels in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header, packer = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0), zlib.compressobj(9)
    pixels = packer.compress(bytes(1 << 22)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_png_bomb_in_a_data_file_s_place_is_never_decoded(tmp_path):
    path = put(mnist(tmp_path) / MNIST[0], png_bomb())
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte is damaged: not an IDX file"):
        digits(tmp_path)
    assert "not an IDX file" in difference(f"{RAW}/{MNIST[0]}", path)
    put(cifar10_binary(tmp_path) / "test_batch.bin", png_bomb())
    with pytest.raises(UserError, match=r"test_batch.bin is damaged: expected records"):
        cifar10(tmp_path)


def mat_bomb(path: Path) -> None:
    """A compressed variable of 50,000 x 50,000 by its header."""
    dims = struct.pack("<IIii", 5, 8, 50_000, 50_000)
    body = (
        struct.pack("<IIII", 6, 8, 6, 0)
        + dims
        + struct.pack("<HH4s", 1, 4, b"data")
        + struct.pack("<II", 9, 8 * 50_000)
    )
    content = zlib.compress(struct.pack("<II", 14, len(body) + 8 * 50_000) + body + bytes(8 * 50_000))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    put(path, head + struct.pack("<II", 15, len(content)) + content)


def test_a_table_of_a_mat_file_that_would_not_fit_is_refused(tmp_path):
    mat_bomb(tmp_path / "olps/djia.mat")
    with pytest.raises(UserError, match=r"djia.mat is damaged: .*a table of \(50000, 50000\)"):
        olps(str(tmp_path), name="djia", source="mat")


def test_a_libsvm_index_that_would_not_fit_is_refused(tmp_path):
    put(tmp_path / "libsvm/a9a", b"1 1:1\n2 2000000000:1\n")
    with pytest.raises(UserError, match=r"a9a is damaged: a table of 2 x 2,000,000,000"):
        datasets.tables.a9a(tmp_path)


@pytest.mark.parametrize("name", ["../../harm", "/tmp/harm", "cifar-10-batches-py/../../harm"])
def test_an_archive_of_another_content_is_not_unpacked(name, tmp_path, no_network):
    """torchvision unpacks what lies in its place only after its md5."""
    root = tmp_path / "deep/data"
    root.mkdir(parents=True)
    for archive in ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"):
        with tarfile.open(root / archive, "w:gz") as tar:
            entry = tarfile.TarInfo(name.replace("/tmp", str(tmp_path)))
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"harm"))
    with pytest.raises(UserError, match="data set 'cifar10' not found"):
        cifar10(root)
    assert not list(tmp_path.rglob("harm"))


def test_a_link_out_of_data_root_is_read_as_a_file_and_checked_as_one(tmp_path):
    path = cifar10_binary(tmp_path) / "data_batch_1.bin"
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"data_batch_1.bin is damaged: expected records"):
        cifar10(tmp_path)


def test_through_the_program_nothing_is_run(tmp_path, program):
    marker = tmp_path / "harm"
    put(cifar10_python(tmp_path / "data") / "data_batch_2", PICKLES["among data"](marker))
    done = program("dataset=cifar10", "method=signsgd", "scale=smoke", f"data_root={tmp_path / 'data'}")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "data_batch_2" in done.stderr.splitlines()[-1]
    assert not marker.exists()


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/object/new:os.system", "!!python/name:os.system"]
)
def test_a_yaml_tag_is_not_run(tag, tmp_path, program):
    marker = tmp_path / "harm"
    put(tmp_path / "conf/dataset/evil.yaml", f"_target_: {tag} ['touch {marker}']\n".encode())
    done = program("dataset=evil", "method=signsgd", f"hydra.searchpath=[file://{tmp_path / 'conf'}]")
    assert done.returncode != 0
    assert not marker.exists()


def test_sound_neighbours_of_these_files_are_read(tmp_path):
    """The folders that the damage is done to are whole without it."""
    assert cifar10(cifar10_python(tmp_path / "a").parent).train_x.shape == (100, 3, 32, 32)
    assert cifar10(cifar10_binary(tmp_path / "b").parent).test_y.tolist().count(3) == 2
    assert records().shape == (20, 3073)
