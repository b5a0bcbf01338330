#!/usr/bin/env python3
"""bench/sdpa_device.py by a torch that pretends: what it asks for, and what it makes of times."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(os.environ["CAIRN_SOURCE"]) / "bench/sdpa_device.py"

# Attention takes as many ms as $FAKE_MS says of the type and the way, by the clock of events; only
# the flash kernel is there, and only while it alone is allowed. $FAKE_LACKS: a type it lacks.
TORCH = {
    "__init__.py": """
import contextlib, os
from . import nn
__version__ = "9.9"
float16, bfloat16 = "f16", "bf16"
inference_mode = contextlib.nullcontext
class version:
    cuda = "13.0"
class Tensor:
    def __init__(self, shape, dtype, device):
        self.shape, self.dtype, self.device = tuple(shape), dtype, device
        self.largest = 0.01
    def reshape(self, *shape):
        return Tensor(shape[0] if isinstance(shape[0], tuple) else shape, self.dtype, self.device)
    def __sub__(self, other):
        assert self.shape == other.shape
        apart = Tensor(self.shape, self.dtype, self.device)
        apart.largest *= float(os.environ.get("FAKE_APART", 0))
        return apart
    def abs(self): return self
    def max(self): return self
    def item(self): return self.largest
def randn(*shape, device, dtype):
    return Tensor(shape, dtype, device)
class cuda:
    now_ms = 1000.0
    is_available = staticmethod(lambda: "FAKE_NO_GPU" not in os.environ)
    get_device_name = staticmethod(lambda number: "a pretence")
    class Event:
        def __init__(self, enable_timing):
            assert enable_timing
        def record(self):
            self.at_ms = cuda.now_ms
        def synchronize(self): pass
        def elapsed_time(self, end):
            return end.at_ms - self.at_ms
""",
    "nn/__init__.py": "from . import attention, functional\n",
    "nn/attention.py": """
import contextlib
allowed = []
class SDPBackend:
    FLASH_ATTENTION = "flash"
@contextlib.contextmanager
def sdpa_kernel(backend):
    allowed.append(backend)
    yield
    allowed.pop()
""",
    "nn/functional.py": """
import json, os
from .attention import allowed
def scaled_dot_product_attention(q, k, v, enable_gqa=False):
    import torch
    assert q.device == k.device == v.device == "cuda" and q.dtype == k.dtype == v.dtype
    assert k.shape == v.shape and enable_gqa == (q.shape[1] != k.shape[1])
    if allowed != ["flash"] or q.dtype == os.environ.get("FAKE_LACKS"):
        raise RuntimeError("No available kernel. Aborting execution.")
    torch.cuda.now_ms += json.loads(os.environ["FAKE_MS"])[q.dtype][enable_gqa]
    print(q.shape, k.shape, file=open(os.environ["FAKE_LOG"], "a"))
    return q
"""}


class SdpaDevice(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)
        for name, text in TORCH.items():
            file = self.directory / "torch" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def run_it(self, *options, **variables):
        return subprocess.run(
            [sys.executable, SCRIPT, *options], capture_output=True, check=False, text=True,
            timeout=60, env={**os.environ, "PYTHONPATH": str(self.directory),
                             "PYTHONDONTWRITEBYTECODE": "1",
                             "FAKE_LOG": str(self.directory / "log"),
                             "FAKE_MS": json.dumps({"f16": [0.5, 0.25], "bf16": [0.125, 0.375]}),
                             **variables})

    def test_times_are_of_one_call_of_the_faster_way(self):
        done = self.run_it()
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        self.assertAlmostEqual(found["f16_grouped_seconds"], 0.25e-3)
        self.assertAlmostEqual(found["f16_rows_seconds"], 0.5e-3)
        self.assertAlmostEqual(found["f16_seconds"], 0.25e-3)
        self.assertAlmostEqual(found["bf16_seconds"], 0.125e-3)
        self.assertAlmostEqual(found["bf16_bytes_per_second"], 4 * 8 * 131072 * 128 / 0.125e-3,
                               delta=1e6)
        self.assertEqual((found["keys"], found["query_heads"], found["kv_heads"],
                          found["head_dim"], found["backend"]), (131072, 32, 8, 128, "flash"))
        self.assertEqual(set((self.directory / "log").read_text().splitlines()), {
            "(1, 32, 1, 128) (1, 8, 131072, 128)", "(1, 8, 4, 128) (1, 8, 131072, 128)"})

    def test_without_torch_or_a_gpu_it_is_skipped(self):
        done = self.run_it(FAKE_NO_GPU="1")
        self.assertEqual((done.returncode, done.stdout), (77, ""))
        self.assertIn("skipped: PyTorch 9.9 finds no GPU", done.stderr)
        (self.directory / "torch/nn/attention.py").unlink()
        (self.directory / "torch/nn/__init__.py").write_text("from . import functional\n")
        (self.directory / "torch/nn/functional.py").write_text("")
        done = self.run_it()
        self.assertEqual((done.returncode, done.stdout), (77, ""))
        self.assertIn("skipped: no PyTorch of 2.3 or newer", done.stderr)

    def test_another_kernel_is_not_taken(self):
        done = self.run_it(FAKE_LACKS="bf16")
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not take one of the types", done.stderr)
        found = json.loads(done.stdout)
        self.assertNotIn("bf16_seconds", found)
        self.assertEqual(found["bf16_rows_failed"], "No available kernel. Aborting execution.")
        self.assertIn("f16_seconds", found)

    def test_ways_that_differ_are_an_error(self):
        done = self.run_it(FAKE_APART="0.5")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("both ways say something else", done.stderr)


if __name__ == "__main__":
    unittest.main()
