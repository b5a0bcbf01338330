"""Drives the local disk back end of LMCache for `cairn bench ladder`, which carries this file.

Started with a directory, it reads requests from stdin, u32 numbers each, little-endian:

  0 block_bytes blocks                 makes blocks of random bytes, and reads some to compare them
  1 block_bytes direct count numbers   reads blocks; with direct 1 past the page cache

and answers each on stdout by a u32 status (0: done), a u32 length and a text of that length, which
says what failed. The first answer, to no request, says whether LMCache can be used and its version.
"""

import asyncio
import os
import struct
import sys
import threading
import time

STAGING_BYTES = 256 << 20  # memory that blocks are read into; a request's are given back at its end
MODEL = "cairn-%d"
HEAD_DIM = 64
FILL_SECONDS = 120
COMPARED = 16


class Backend:
    def __init__(self, directory):
        import torch
        from lmcache.utils import CacheEngineKey
        from lmcache.v1.config import LMCacheEngineConfig
        from lmcache.v1.memory_allocators.mixed_memory_allocator import MixedMemoryAllocator
        from lmcache.v1.memory_management import MemoryFormat
        from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend
        from lmcache.v1.storage_backend.local_disk_backend import LocalDiskBackend

        self.torch, self.key_type, self.format = torch, CacheEngineKey, MemoryFormat.KV_2LTD
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        config = LMCacheEngineConfig.from_defaults(
            local_cpu=False,
            local_disk=directory,
            max_local_disk_size=8.0,
            extra_config={"use_odirect": True},
        )
        self.memory = LocalCPUBackend(config, memory_allocator=MixedMemoryAllocator(STAGING_BYTES))
        self.disk = LocalDiskBackend(config, loop, self.memory, dst_device="cpu")

    def key(self, block_bytes, number):
        return self.key_type(MODEL % block_bytes, 1, 0, number, self.torch.float16)

    def fill(self, block_bytes, blocks):
        shape = self.torch.Size([2, 1, block_bytes // (4 * HEAD_DIM), HEAD_DIM])
        kept = {}
        for number in range(blocks):
            block = self.memory.allocate(shape, self.torch.float16, self.format)
            content = os.urandom(block_bytes)
            memoryview(block.byte_array).cast("B")[:] = content
            self.disk.submit_put_task(self.key(block_bytes, number), block)
            block.ref_count_down()
            if number < COMPARED:
                kept[number] = content
            # What waits to be written holds memory.
            while number % 256 == 255 and self.disk.disk_worker.put_tasks:
                time.sleep(0.002)
        keys = [self.key(block_bytes, number) for number in range(blocks)]
        end = time.monotonic() + FILL_SECONDS
        while not all(self.disk.contains(key) for key in keys):
            if time.monotonic() > end:
                raise TimeoutError("the blocks were not written in time")
            time.sleep(0.01)
        for number, block in zip(kept, self.disk.batched_get_blocking(keys[: len(kept)])):
            if block is None or block.byte_array.tobytes() != kept[number]:
                raise ValueError("a block came back with other bytes")
            block.ref_count_down()

    def read(self, block_bytes, direct, numbers):
        self.disk.use_odirect = direct
        keys = [self.key(block_bytes, number) for number in numbers]
        blocks = self.disk.batched_get_blocking(keys)
        lost = sum(1 for block in blocks if block is None)
        for block in blocks:
            if block is not None:
                block.ref_count_down()
        if lost:
            raise LookupError("%d of %d blocks did not come" % (lost, len(numbers)))


def serve(directory, requests, answers):
    def numbers(count):
        content = requests.read(4 * count)
        if len(content) < 4 * count:
            os._exit(0)  # nobody is there any more
        return struct.unpack("<%dI" % count, content)

    def answer(status, text=""):
        content = text.encode()[:1000]
        answers.write(struct.pack("<II", status, len(content)) + content)
        answers.flush()

    try:
        import lmcache
    except ImportError:
        return answer(1, "python3 cannot import lmcache")
    try:
        backend = Backend(directory)
        from importlib.metadata import version

        answer(0, version("lmcache"))
    except Exception as error:  # whatever another version does otherwise
        return answer(1, "its local disk back end cannot be used: %r" % error)
    while True:
        (operation,) = numbers(1)
        try:
            if operation == 0:
                backend.fill(*numbers(2))
            else:
                block_bytes, direct, count = numbers(3)
                backend.read(block_bytes, direct == 1, numbers(count))
            answer(0)
        except Exception as error:
            answer(1, repr(error))


if __name__ == "__main__":
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    serve(sys.argv[1], requests, answers)
    os._exit(0)  # without waiting for threads
