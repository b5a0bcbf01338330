"""Makes the dequantisation reference data (needs: pip install gguf numpy).

  python make_dequant.py OUT_DIR

writes OUT_DIR/dequant.json: per GGML type 512 values as raw bytes in hex
("hex") and as float32 ("values", 9 significant digits) dequantised by the PyPI
package gguf.  Bytes are random from a fixed seed; the half-precision scales
are replaced by finite values of moderate size, both signs; in the types with
32-value blocks one of them is zero and one subnormal.
"""
import json
import os
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
# byte offsets of the fp16 fields inside one block
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
N = 512


def raw(name, r):
    if name == "F32":
        a = r.standard_normal(N).astype(np.float32)
        a[:6] = [0.0, -0.0, 1e-38, -3e38, 1.17549435e-38, 1e-42]
        return a.view(np.uint8)
    if name == "F16":
        a = r.standard_normal(N).astype(np.float16)
        a[:6] = [0.0, -0.0, 65504, -65504, 6.1e-5, 6e-8]
        return a.view(np.uint8)
    if name == "BF16":
        a = r.standard_normal(N).astype(np.float32)
        a[:4] = [0.0, -0.0, 3e38, 1e-38]
        return (a.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    per, size = gguf.GGML_QUANT_SIZES[Q[name]]
    n = N // per
    b = r.integers(0, 256, (n, size), dtype=np.uint8)
    for o in SCALES[name]:
        s = (r.uniform(0.001, 0.1, n) * r.choice([-1, 1], n)).astype(np.float16)
        if n > 2:
            s[1], s[2] = 0.0, np.float16(5e-7)
        b[:, o:o + 2] = s[:, None].view(np.uint8)
    return b.reshape(-1)


def main(out):
    r = np.random.default_rng(77)
    res = {"generator": "gguf.quants.dequantize", "count": N, "types": {}}
    for name in TYPES:
        b = raw(name, r)
        per, size = gguf.GGML_QUANT_SIZES[Q[name]]
        v = np.asarray(gguf.quants.dequantize(b.reshape(1, -1).view(np.float32) if name == "F32" else
                                              b.reshape(1, -1).view(np.float16) if name == "F16" else b.reshape(1, -1), Q[name]))
        v = v.astype(np.float32).reshape(-1)
        assert v.size == N and np.isfinite(v).all()
        text = ["%.9g" % x for x in v]
        assert (np.array([np.float32(t) for t in text]) == v).all()
        res["types"][name] = {"ggml_type": int(Q[name]), "block_values": per, "block_bytes": size,
                              "hex": b.tobytes().hex(), "values": text}
    s = json.dumps(res, separators=(",", ":"))
    for name in TYPES:  # numbers, not strings, keeping 9 digits exactly as printed
        t = res["types"][name]["values"]
        s = s.replace(json.dumps(t, separators=(",", ":")), "[" + ",".join(t) + "]", 1)
    s = s.replace('"%s":{' % TYPES[0], '\n"%s":{' % TYPES[0])
    for name in TYPES[1:]:
        s = s.replace(',"%s":{' % name, ',\n"%s":{' % name)
    json.loads(s)
    with open(os.path.join(out, "dequant.json"), "w", encoding="ascii", newline="\n") as f:
        f.write(s + "\n")
    print({k: (len(v["hex"]) // 2) for k, v in res["types"].items()}, len(s), "bytes")


if __name__ == "__main__":
    main(sys.argv[1])
