"""Writes data/: small files made by the formats' own libraries, with what these libraries read back from them.

Needs torch, safetensors, huggingface_hub, numpy, gguf. Made with safetensors 0.8.0, huggingface_hub 2.4.0, gguf 0.19.0, torch 2.15.0, seed 1.
usage: make_files.py
"""
import json, os, shutil
import numpy as np, torch, gguf
from safetensors import safe_open
from safetensors.torch import save_file
from huggingface_hub import save_torch_state_dict

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
shutil.rmtree(here, ignore_errors=True)
os.makedirs(here)
torch.manual_seed(1)
rng = np.random.default_rng(1)

def raw(t): return t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex() if t.numel() else ""

# safetensors: every dtype that torch can save, a scalar, an empty tensor, odd names, metadata
types = dict(bool=torch.bool, u8=torch.uint8, i8=torch.int8, u16=torch.uint16, i16=torch.int16, u32=torch.uint32, i32=torch.int32, u64=torch.uint64, i64=torch.int64, f16=torch.float16,
             bf16=torch.bfloat16, f32=torch.float32, f64=torch.float64, c64=torch.complex64, f8_e4m3=torch.float8_e4m3fn, f8_e5m2=torch.float8_e5m2, f8_e4m3fnuz=torch.float8_e4m3fnuz,
             f8_e5m2fnuz=torch.float8_e5m2fnuz, f8_e8m0=torch.float8_e8m0fnu)
tensors, kind = {}, {}
for name, dtype in types.items():
    size = torch.empty(0, dtype=dtype).element_size()
    values = torch.randint(0, 2, (6,), dtype=torch.uint8) if name == "bool" else torch.randint(0, 256, (6 * size,), dtype=torch.uint8)
    tensors["t." + name] = values.view(dtype).reshape(2, 3)
    kind["t." + name] = name
for name, t in {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3), "größe \"x\"/\\ 好": torch.arange(5.0), "rank5": torch.randn(1, 2, 1, 2, 3)}.items():
    tensors[name], kind[name] = t, "f32"
save_file(tensors, here + "/types.safetensors", metadata={"format": "pt", "quote\"": "line\nend é"})
with safe_open(here + "/types.safetensors", "pt") as f:
    json.dump(dict(metadata=f.metadata(), tensors={n: dict(type=kind[n], shape=list(f.get_tensor(n).shape), bytes=raw(f.get_tensor(n))) for n in f.keys()}),
              open(here + "/types.safetensors.json", "w"), indent=0)

# safetensors in shards
state = {f"layers.{i}.{n}": torch.randn(4, 8) for i in range(3) for n in ("a", "b")}
os.makedirs(here + "/sharded")
save_torch_state_dict(state, here + "/sharded", max_shard_size=300)
json.dump({n: raw(t) for n, t in state.items()}, open(here + "/sharded.json", "w"), indent=0)
json.dump(dict(architectures=["TinyForCausalLM"], model_type="tiny", nested=dict(architectures=["Wrong"])), open(here + "/sharded/config.json", "w"))

# GGUF: every value type, arrays of each, every tensor type
def make(path, alignment):
    w = gguf.GGUFWriter(path, "tiny")
    if alignment: w.add_custom_alignment(alignment)
    w.add_uint8("k.u8", 200); w.add_int8("k.i8", -100); w.add_uint16("k.u16", 60000); w.add_int16("k.i16", -30000); w.add_uint32("k.u32", 4000000000); w.add_int32("k.i32", -2000000000)
    w.add_uint64("k.u64", 2**63 + 5); w.add_int64("k.i64", -(2**62)); w.add_float32("k.f32", 0.1); w.add_float64("k.f64", 0.1); w.add_bool("k.true", True); w.add_bool("k.false", False)
    w.add_string("k.string", "größe \"x\"\\\n\t\u0001好"); w.add_string("k.empty", "")
    w.add_array("a.i32", [-1, 2, 3]); w.add_array("a.f32", [0.5, -1.25, 3e30]); w.add_array("a.string", ["a", "", "好 b"]); w.add_array("a.bool", [True, False, True])
    V, A = gguf.GGUFValueType, gguf.GGUFValueType.ARRAY
    for name, t, values in (("u8", V.UINT8, [0, 255]), ("i8", V.INT8, [-128, 127]), ("u16", V.UINT16, [1, 65535]), ("i16", V.INT16, [-32768, 5]), ("u32", V.UINT32, [7, 4294967295]),
                            ("u64", V.UINT64, [1, 2**40]), ("i64", V.INT64, [-(2**40), 3]), ("f64", V.FLOAT64, [0.1, -2.0])):
        w.add_key_value("a." + name, values, A, sub_type=t)
    w.add_array("long.string", [f"token {i}" for i in range(300)]); w.add_array("long.f32", [i / 3 for i in range(300)]); w.add_array("long.i32", list(range(-150, 150)))
    for name, dtype in (("f32", np.float32), ("f64", np.float64), ("f16", np.float16)): w.add_tensor("t." + name, rng.standard_normal((2, 3)).astype(dtype))
    for name, dtype in (("i8", np.int8), ("i16", np.int16), ("i32", np.int32), ("i64", np.int64)): w.add_tensor("t." + name, rng.integers(-100, 100, (3, 5)).astype(dtype))
    w.add_tensor("t.rank1", np.arange(7, dtype=np.float32)); w.add_tensor("t.rank4", rng.standard_normal((2, 1, 3, 4)).astype(np.float32))
    for q, (block, size) in gguf.GGML_QUANT_SIZES.items():
        if q.name in ("Q8_1",) or q.name.lower() in ("f32", "f64", "f16", "i8", "i16", "i32", "i64"): continue
        w.add_tensor("t." + q.name.lower(), rng.integers(0, 256, (2, 2 * size), dtype=np.uint8), raw_dtype=q)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()

def read_back(path):
    r = gguf.GGUFReader(path)
    tensors = {t.name: dict(type=t.tensor_type.name.lower(), shape=[int(d) for d in reversed(t.shape)], offset=int(t.data_offset), size=int(t.n_bytes)) for t in r.tensors}
    keys = {n: f.contents() for n, f in r.fields.items() if not n.startswith("GGUF.")}
    json.dump(dict(alignment=int(r.alignment), data=int(r.data_offset), keys=keys, tensors=tensors), open(path + ".json", "w"), indent=0)

make(here + "/types.gguf", 0); read_back(here + "/types.gguf")
make(here + "/aligned.gguf", 128); read_back(here + "/aligned.gguf")
# Version 2 differs from 3 in nothing but the number and what 3 says of big-endian files.
data = bytearray(open(here + "/types.gguf", "rb").read()); data[4] = 2; open(here + "/version2.gguf", "wb").write(data)
