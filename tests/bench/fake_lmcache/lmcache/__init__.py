"""A stand-in for LMCache with the parts that bench/lmcache_driver.py uses.

FAKE_LMCACHE says what is wrong with it: "absent", "other" (another back end than the driver knows),
"lossy" (blocks from the 16th on get lost), "liar" (blocks come back with other bytes); else it
works.
"""

import os
import sys
import types

FAULT = os.environ.get("FAKE_LMCACHE", "")
if FAULT == "absent":
    raise ImportError("no module named lmcache")
print("a library may print what it likes")


class Block:
    def __init__(self, size):
        self.byte_array = memoryview(bytearray(size)).cast("B")

    def ref_count_down(self):
        pass


class Backend:
    """Of memory and disk at once."""

    def __init__(self, *_, **__):
        self.files, self.use_odirect = {}, True
        self.disk_worker = types.SimpleNamespace(put_tasks=[])

    def allocate(self, shape, _dtype, _format):
        size = 2
        for length in shape:
            size *= length
        return Block(size)

    def submit_put_task(self, key, block):
        self.files[key] = bytes(block.byte_array)

    def contains(self, key):
        return key in self.files

    def batched_get_blocking(self, keys):
        blocks = []
        for key in keys:
            block = Block(len(self.files[key]))
            block.byte_array[:] = self.files[key]
            if FAULT == "liar":
                block.byte_array[0] ^= 1
            blocks.append(None if FAULT == "lossy" and key[3] >= 16 else block)
        return blocks


def module(name, **content):
    sys.modules[__name__ + "." + name] = made = types.ModuleType(name)
    made.__dict__.update(content)


module("v1")
module("v1.memory_allocators")
module("v1.storage_backend")
module("utils", CacheEngineKey=lambda *parts: parts)
module("v1.config",
       LMCacheEngineConfig=types.SimpleNamespace(from_defaults=lambda **options: options))
module("v1.memory_allocators.mixed_memory_allocator", MixedMemoryAllocator=lambda size: size)
module("v1.memory_management", MemoryFormat=types.SimpleNamespace(KV_2LTD=1))
module("v1.storage_backend.local_cpu_backend", LocalCPUBackend=Backend)
if FAULT != "other":
    module("v1.storage_backend.local_disk_backend", LocalDiskBackend=Backend)
