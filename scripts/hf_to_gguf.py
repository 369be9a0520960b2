#!/usr/bin/env python3
"""Converts a Hugging Face Gemma 4, Llama 3 or Mistral text checkpoint to one GGUF file.

    scripts/hf_to_gguf.py CHECKPOINT_DIR OUT.gguf [--type F16|F32|BF16|Q8_0|Q4_0|...]

CHECKPOINT_DIR holds config.json, *.safetensors and tokenizer.json. Vision and audio weights are
left out. Other scripts import write_gguf() and tokenizer_metadata(). Tensor and key names follow
the published GGUF files. The tokenizer is carried over for Gemma 4 only. Needs transformers, gguf,
numpy and safetensors.
"""
import argparse
import json
import os
import re
import sys

import gguf
import numpy as np

QUANT = gguf.GGMLQuantizationType

# Rendered in the text although they are special, as in the published files.
USER_DEFINED = {"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
                "<tool_response|>", '<|"|>'}

TOP = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "embed_tokens_per_layer.weight": "per_layer_token_embd.weight",
    "per_layer_model_projection.weight": "per_layer_model_proj.weight",
    "per_layer_projection_norm.weight": "per_layer_proj_norm.weight",
}
LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
    "post_feedforward_layernorm_1.weight": "post_ffw_norm_1.weight",
    "post_feedforward_layernorm_2.weight": "post_ffw_norm_2.weight",
    "pre_feedforward_layernorm_2.weight": "pre_ffw_norm_2.weight",
    "router.proj.weight": "ffn_gate_inp.weight",
    "router.scale": "ffn_gate_inp.scale",
    "router.per_expert_scale": "ffn_down_exps.scale",
    "experts.gate_up_proj": "ffn_gate_up_exps.weight",
    "experts.down_proj": "ffn_down_exps.weight",
    "per_layer_input_gate.weight": "inp_gate.weight",
    "per_layer_projection.weight": "proj.weight",
    "post_per_layer_input_norm.weight": "post_norm.weight",
    "layer_scalar": "layer_output_scale.weight",
}
LLAMA_TOP = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
LLAMA_LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
OTHER_MODALITIES = ("vision_tower.", "audio_tower.", "embed_vision.", "embed_audio.",
                    "vision_embedder.", "multi_modal_projector.")


def tensor_name(name, arch="gemma4", tied=True):
    """GGUF name of a checkpoint tensor; None if it is not part of the text model."""
    top, layer = (TOP, LAYER) if arch == "gemma4" else (LLAMA_TOP, LLAMA_LAYER)
    for prefix in ("model.language_model.", "language_model.model.", "language_model.", "model."):
        if name.startswith(prefix):
            name = name[len(prefix):]
            break
    if name.startswith(OTHER_MODALITIES) or (tied and name == "lm_head.weight"):
        return None
    if name in top:
        return top[name]
    m = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if m and m[2] in layer:
        return f"blk.{m[1]}.{layer[m[2]]}"
    if name.endswith(("inv_freq", "embed_scale", "v_norm.weight")):
        return None
    raise ValueError(f"tensor {name!r} has no place in a {arch} GGUF file")


def pair_rotary(values, n_head):
    """Rows of a Llama query or key matrix in the order of GGUF files: the two halves of a head that
    RoPE rotates together are interleaved."""
    rows = values.shape[0] // n_head
    paired = values.reshape(n_head, 2, rows // 2, -1).swapaxes(1, 2)
    return np.ascontiguousarray(paired).reshape(values.shape)


def stored_values(gname, values, c):
    """Values of a tensor as the file has them."""
    if arch_of(c) == "llama" and gname.endswith("attn_q.weight"):
        return pair_rotary(values, c.num_attention_heads)
    if arch_of(c) == "llama" and gname.endswith("attn_k.weight"):
        return pair_rotary(values, c.num_key_value_heads)
    return values


def as_numpy(tensor):
    """float32 array of a torch tensor or an array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().float().cpu().numpy()
    return np.ascontiguousarray(np.asarray(tensor), dtype=np.float32)


def tensor_type(name, shape, want):
    """Type a tensor is stored in: vectors and the router stay F32, the per-layer projection stays
    at 16 bits or better, and a row that does not fill the blocks of the type falls back to F16."""
    if len(shape) == 1 or name.endswith("ffn_gate_inp.weight"):
        return QUANT.F32
    if name == "per_layer_model_proj.weight" and want not in (QUANT.F32, QUANT.F16, QUANT.BF16):
        return QUANT.F16
    if shape[-1] % gguf.GGML_QUANT_SIZES[want][0] != 0:
        return QUANT.F16
    return want


def text_config(config):
    """The text part of a config object or of the parsed config.json, as a config object."""
    from transformers import Gemma4TextConfig, LlamaConfig, MistralConfig
    if not isinstance(config, dict):
        return config.get_text_config() if hasattr(config, "get_text_config") else config
    config = config.get("text_config", config)
    kinds = {"gemma4_text": Gemma4TextConfig, "gemma4_unified_text": Gemma4TextConfig,
             "llama": LlamaConfig, "mistral": MistralConfig}
    if config.get("model_type") not in kinds:
        raise ValueError(f"model_type is {config.get('model_type')!r}, not of {', '.join(kinds)}")
    return kinds[config["model_type"]](**config)


def arch_of(config):
    """general.architecture of a text config."""
    return "llama" if config.model_type in ("llama", "mistral") else "gemma4"


def first_layer(config, kind):
    """Index of the first layer of a type, None if there is none."""
    return config.layer_types.index(kind) if kind in config.layer_types else None


def feed_forward_lengths(c):
    """FFN width of every layer: E2B doubles it in the layers that share keys and values."""
    first_shared = c.num_hidden_layers - c.num_kv_shared_layers
    wide = c.use_double_wide_mlp and first_shared > 0
    return [c.intermediate_size * (2 if wide and i >= first_shared else 1)
            for i in range(c.num_hidden_layers)]


def put_u32(w, key, values):
    """One number when all layers agree, else an array with one per layer."""
    if len(set(values)) == 1:
        w.add_uint32(key, values[0])
    else:
        w.add_array(key, [int(v) for v in values])


def put_hparams(w, c):
    """Writes the hyperparameters of a text config."""
    (put_llama if arch_of(c) == "llama" else put_gemma4)(w, c)


def put_llama(w, c):
    a = "llama"
    d = c.head_dim or c.hidden_size // c.num_attention_heads
    w.add_uint32(f"{a}.block_count", c.num_hidden_layers)
    w.add_uint32(f"{a}.context_length", c.max_position_embeddings)
    w.add_uint32(f"{a}.embedding_length", c.hidden_size)
    w.add_uint32(f"{a}.feed_forward_length", c.intermediate_size)
    w.add_uint32(f"{a}.attention.head_count", c.num_attention_heads)
    w.add_uint32(f"{a}.attention.head_count_kv", c.num_key_value_heads)
    w.add_uint32(f"{a}.attention.key_length", d)
    w.add_uint32(f"{a}.attention.value_length", d)
    w.add_float32(f"{a}.attention.layer_norm_rms_epsilon", c.rms_norm_eps)
    w.add_float32(f"{a}.rope.freq_base", c.rope_parameters["rope_theta"])
    w.add_uint32(f"{a}.rope.dimension_count", d)
    w.add_uint32(f"{a}.vocab_size", c.vocab_size)


def put_gemma4(w, c):
    a = "gemma4"
    n = c.num_hidden_layers
    full = first_layer(c, "full_attention")
    local = first_layer(c, "sliding_attention")
    layers = [c.per_layer_config[i] for i in range(n)]
    d_full = layers[full].head_dim
    d_local = layers[local].head_dim if local is not None else d_full
    rope = c.rope_parameters

    w.add_uint32(f"{a}.block_count", n)
    w.add_uint32(f"{a}.context_length", c.max_position_embeddings)
    w.add_uint32(f"{a}.embedding_length", c.hidden_size)
    put_u32(w, f"{a}.feed_forward_length", feed_forward_lengths(c))
    w.add_uint32(f"{a}.attention.head_count", c.num_attention_heads)
    put_u32(w, f"{a}.attention.head_count_kv", [x.num_key_value_heads for x in layers])
    w.add_uint32(f"{a}.attention.key_length", d_full)
    w.add_uint32(f"{a}.attention.value_length", d_full)
    w.add_uint32(f"{a}.attention.key_length_swa", d_local)
    w.add_uint32(f"{a}.attention.value_length_swa", d_local)
    w.add_float32(f"{a}.attention.layer_norm_rms_epsilon", c.rms_norm_eps)
    w.add_uint32(f"{a}.attention.sliding_window", c.sliding_window)
    w.add_array(f"{a}.attention.sliding_window_pattern",
                [t == "sliding_attention" for t in c.layer_types])
    w.add_uint32(f"{a}.attention.shared_kv_layers", c.num_kv_shared_layers)
    w.add_float32(f"{a}.rope.freq_base", rope["full_attention"]["rope_theta"])
    w.add_float32(f"{a}.rope.freq_base_swa",
                  rope.get("sliding_attention", {}).get("rope_theta", 10000.0))
    put_rope_scaling(w, rope["full_attention"])
    w.add_uint32(f"{a}.rope.dimension_count", d_full)
    w.add_uint32(f"{a}.rope.dimension_count_swa", d_local)
    w.add_uint32(f"{a}.embedding_length_per_layer_input", c.hidden_size_per_layer_input or 0)
    if c.final_logit_softcapping is not None:
        w.add_float32(f"{a}.final_logit_softcapping", c.final_logit_softcapping)
    if c.enable_moe_block:
        w.add_uint32(f"{a}.expert_count", c.num_experts)
        w.add_uint32(f"{a}.expert_used_count", c.top_k_experts)
        w.add_uint32(f"{a}.expert_feed_forward_length", c.moe_intermediate_size)


def llama_rope_freqs(c):
    """Frequency divisors of Llama 3.1 and later: 1 for short waves, the factor for long ones. None
    for models without them."""
    p = c.rope_parameters
    if p["rope_type"] != "llama3":
        return None
    d = c.head_dim or c.hidden_size // c.num_attention_heads
    wave = 2 * np.pi * p["rope_theta"] ** (np.arange(0, d, 2) / d)
    low, high = p["low_freq_factor"], p["high_freq_factor"]
    share = np.clip((p["original_max_position_embeddings"] / wave - low) / (high - low), 0, 1)
    return (1 / ((1 - share) / p["factor"] + share)).astype(np.float32)


def rope_freqs(c):
    """Frequency divisors, None if the file needs none. Gemma 4's global layers have 1 for the pairs
    that rotate and 1e30 for the rest."""
    if arch_of(c) == "llama":
        return llama_rope_freqs(c)
    params = c.rope_parameters["full_attention"]
    d = c.per_layer_config[first_layer(c, "full_attention")].head_dim
    if params["rope_type"] != "proportional":
        return np.ones(d // 2, dtype=np.float32)
    n_rotated = int(params.get("partial_rotary_factor", 1.0) * d // 2)
    freqs = np.full(d // 2, 1e30, dtype=np.float32)
    freqs[:n_rotated] = params.get("factor", 1.0)
    return freqs


def put_rope_scaling(w, params):
    """Linear and YaRN scaling of the global layers."""
    if params["rope_type"] not in ("linear", "yarn"):
        return
    w.add_string("gemma4.rope.scaling.type", params["rope_type"])
    w.add_float32("gemma4.rope.scaling.factor", params["factor"])
    if params["rope_type"] == "yarn":
        w.add_uint32("gemma4.rope.scaling.original_context_length",
                     params["original_max_position_embeddings"])


def put_value(w, key, value):
    """Writes one metadata value; its GGUF type follows from its Python or numpy type."""
    if isinstance(value, bool):
        w.add_bool(key, value)
    elif isinstance(value, str):
        w.add_string(key, value)
    elif isinstance(value, (float, np.float32)):
        w.add_float32(key, float(value))
    elif isinstance(value, np.int32):
        w.add_int32(key, int(value))
    elif isinstance(value, int):
        w.add_uint32(key, value)
    elif isinstance(value, (list, tuple)):
        w.add_array(key, value)
    else:
        raise TypeError(f"metadata {key!r}: no GGUF type for {type(value).__name__}")


def token_type(text, entry):
    """Token type of a vocabulary entry; entry is its added_tokens record or None."""
    if re.fullmatch(r"<0x[0-9A-F]{2}>", text):
        return gguf.TokenType.BYTE
    if text in USER_DEFINED:
        return gguf.TokenType.USER_DEFINED
    if entry is None:
        return gguf.TokenType.NORMAL
    return gguf.TokenType.CONTROL if entry.get("special") else gguf.TokenType.USER_DEFINED


def tokenizer_metadata(tokenizer_json, chat_template=None, suppress=None):
    """tokenizer.* keys of a Gemma 4 tokenizer.json (a path or the parsed file): rank BPE with byte
    fallback. suppress lists ids that are never generated."""
    if not isinstance(tokenizer_json, dict):
        with open(tokenizer_json, encoding="utf-8") as f:
            tokenizer_json = json.load(f)
    model = tokenizer_json["model"]
    if model.get("type") != "BPE":
        raise ValueError(f"tokenizer model {model.get('type')!r} is not BPE")
    added = {t["id"]: t for t in tokenizer_json.get("added_tokens", [])}
    by_id = {i: t for t, i in model["vocab"].items()}
    by_id.update({i: t["content"] for i, t in added.items()})
    n = max(by_id) + 1
    if len(by_id) != n:
        raise ValueError(f"vocabulary has {len(by_id)} entries but the highest id is {n - 1}")
    tokens = [by_id[i] for i in range(n)]
    types = [int(token_type(t, added.get(i))) for i, t in enumerate(tokens)]
    ids = {t: i for i, t in enumerate(tokens)}
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]

    meta = {
        "tokenizer.ggml.model": "gemma4",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-1000.0] * n,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
    }
    for key, text in (("bos", "<bos>"), ("eos", "<eos>"), ("unknown", "<unk>"),
                      ("padding", "<pad>"), ("mask", "<mask>")):
        if text in ids:
            meta[f"tokenizer.ggml.{key}_token_id"] = ids[text]
    if suppress:
        meta["tokenizer.ggml.suppress_tokens"] = [int(i) for i in suppress]
    if chat_template:
        meta["tokenizer.chat_template"] = chat_template
    return meta


def stream_gguf(path, w, plan):
    """Writes header, keys and then the planned tensors one by one: (name, type, shape, load())."""
    for gname, kind, shape, _load in plan:
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        n_bytes = int(np.prod(shape)) // block * block_bytes
        w.add_tensor_info(gname, shape, np.dtype(np.float32), n_bytes, raw_dtype=kind)
    w.write_header_to_file(path)
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    for _gname, kind, _shape, load in plan:
        w.write_tensor_data(np.ascontiguousarray(gguf.quantize(load(), kind)))
    w.close()


def write_gguf(path, config, state_dict, metadata=None, dtype="F16", name=""):
    """Writes the text model of a checkpoint as one GGUF file.

    config: a config object of Gemma 4, Llama or Mistral, or the parsed config.json
    state_dict: mapping from Hugging Face tensor names to torch tensors or arrays
    metadata: tokenizer_metadata() and any other keys, general.sampling.* for example
    dtype: a GGUF type name the gguf package can quantise to, or a function
        (GGUF tensor name, shape) -> type name

    The file appears under its name only when it is complete.
    """
    c = text_config(config)
    pick = dtype if callable(dtype) else lambda _name, _shape: dtype
    w = gguf.GGUFWriter(None, arch_of(c))
    w.add_name(name or os.path.splitext(os.path.basename(path))[0])
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if not callable(dtype):
        kind = {"F32": "ALL_F32"}.get(dtype.upper(), f"MOSTLY_{dtype.upper()}")
        w.add_file_type(int(gguf.LlamaFileType[kind]))
    put_hparams(w, c)
    for key, value in (metadata or {}).items():
        put_value(w, key, value)

    freqs = rope_freqs(c)
    plan = []
    if freqs is not None:
        plan.append(("rope_freqs.weight", QUANT.F32, freqs.shape, lambda: freqs))
    for hname in state_dict:
        gname = tensor_name(hname, arch_of(c), c.tie_word_embeddings)
        if gname is not None:
            shape = tuple(state_dict[hname].shape)
            kind = tensor_type(gname, shape, QUANT[pick(gname, shape).upper()])
            plan.append((gname, kind, shape, lambda g=gname, h=hname: stored_values(
                g, as_numpy(state_dict[h]), c)))
    part = f"{path}.part"
    try:
        stream_gguf(part, w, plan)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)


class Checkpoint:
    """All tensors of a folder of safetensors files, read when asked for."""

    def __init__(self, folder):
        from safetensors import safe_open
        self.files = {}
        for file in sorted(os.listdir(folder)):
            if file.endswith(".safetensors"):
                handle = safe_open(os.path.join(folder, file), framework="pt")
                self.files.update({key: handle for key in handle.keys()})
        if not self.files:
            raise FileNotFoundError(f"no *.safetensors file in {folder}")

    def __iter__(self):
        return iter(self.files)

    def __getitem__(self, key):
        return self.files[key].get_tensor(key)


def read_json(folder, file):
    path = os.path.join(folder, file)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def checkpoint_metadata(folder):
    """Tokenizer, chat template and sampling defaults of a checkpoint folder."""
    generation = read_json(folder, "generation_config.json") or {}
    template = os.path.join(folder, "chat_template.jinja")
    if os.path.exists(template):
        with open(template, encoding="utf-8") as f:
            text = f.read()
    else:
        text = (read_json(folder, "tokenizer_config.json") or {}).get("chat_template")
    meta = tokenizer_metadata(os.path.join(folder, "tokenizer.json"), text,
                              generation.get("suppress_tokens"))
    if "top_k" in generation:
        meta["general.sampling.top_k"] = np.int32(generation["top_k"])
    if "top_p" in generation:
        meta["general.sampling.top_p"] = float(generation["top_p"])
    if "temperature" in generation:
        meta["general.sampling.temp"] = float(generation["temperature"])
    return meta


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="folder with config.json, *.safetensors, tokenizer.json")
    parser.add_argument("out", help="GGUF file to write")
    parser.add_argument("--type", default="F16", help="type of the matrices (default F16)")
    parser.add_argument("--name", default="", help="general.name")
    args = parser.parse_args()
    if args.type.upper() not in QUANT.__members__:
        parser.error(f"unknown type {args.type!r}")
    config = read_json(args.checkpoint, "config.json")
    if config is None:
        sys.exit(f"{args.checkpoint}: no config.json")
    write_gguf(args.out, config, Checkpoint(args.checkpoint),
               checkpoint_metadata(args.checkpoint), args.type.upper(), args.name)


if __name__ == "__main__":
    main()
