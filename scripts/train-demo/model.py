"""The bundled model: its shape, and a fast forward pass over the parameters of the official
Hugging Face class.

The model is a transformers Gemma4ForCausalLM. Training does not call its forward, which would
compute experts in a loop and build dense masks, but `forward` below, which is the same mathematics
on the same parameters arranged for a GPU: packed documents, flex attention, and all experts as one
wide feed-forward with the gate weights (zero for experts that were not chosen) in the middle.
`check` compares the two in float32.
"""

import math

import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import Gemma4ForCausalLM, Gemma4TextConfig

BLOCK = 128


def config(vocab=8192, context=16384):
    return Gemma4TextConfig(
        vocab_size=vocab,
        hidden_size=512,
        intermediate_size=160,
        num_hidden_layers=12,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        global_head_dim=128,
        num_global_key_value_heads=1,
        attention_k_eq_v=True,
        sliding_window=512,
        max_position_embeddings=context,
        final_logit_softcapping=30.0,
        enable_moe_block=True,
        num_experts=16,
        top_k_experts=4,
        moe_intermediate_size=32,
        hidden_size_per_layer_input=0,
        vocab_size_per_layer_input=vocab,
        num_kv_shared_layers=0,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )


def create(seed, tokenizer=None, vocab=8192):
    """A fresh model with an initialisation suited to short training."""
    torch.manual_seed(seed)
    m = Gemma4ForCausalLM(config(vocab)).float()
    g = torch.Generator().manual_seed(seed)
    d = m.config.hidden_size
    with torch.no_grad():
        for name, p in params(m).items():
            if p.ndim == 1 or name.endswith("layer_scalar"):
                p.fill_(1.0)
            if "post_attention_layernorm" in name or name.endswith(
                "post_feedforward_layernorm.weight"
            ):
                p.fill_(0.3)
            elif "_norm.weight" in name and "self_attn" in name:
                p.fill_(
                    p.shape[0] ** -0.25 * 1.25
                )  # scores start with a standard deviation of about 1.5
            elif "router.proj" in name:
                p.normal_(0, 0.5, generator=g)
            elif name == "model.embed_tokens.weight":
                p.normal_(0, d**-0.5, generator=g)
            elif p.ndim >= 2:
                p.normal_(0, 0.7 * p.shape[-1] ** -0.5, generator=g)
        if tokenizer is not None:  # " word" starts as "word" plus a common direction
            e, v = m.model.embed_tokens.weight, tokenizer.get_vocab()
            space = torch.randn(d, generator=g) * d**-0.5
            for t, i in v.items():
                if len(t) > 1 and t[0] == "\u2581" and t[1:] in v and t[1] != "\u2581":
                    e[i] = (e[v[t[1:]]] + 0.7 * space) / 1.22
    return m


def params(model):
    """Name -> tensor of everything that is trained; the layer scalars are buffers in the official
    class."""
    out = {n: p for n, p in model.named_parameters() if n != "lm_head.weight"}
    out.update({n: b for n, b in model.named_buffers() if n.endswith("layer_scalar")})
    return out


def rms(x, w=None, eps=1e-6):
    y = x.float()
    y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)
    return (y if w is None else y * w).to(x.dtype)


def rope_angles(pos, d, theta, share):
    """cos and sin [n, d / 2] in float32; only the first `share` of the pairs turn."""
    f = theta ** (-torch.arange(0, d, 2, device=pos.device, dtype=torch.float32) / d)
    f = torch.where(torch.arange(d // 2, device=pos.device) < int(share * d / 2), f, 0.0)
    a = pos.float()[:, None] * f
    return a.cos(), a.sin()


def rotate(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    c, s = cos[:, None], sin[:, None]
    return torch.cat((a * c - b * s, b * c + a * s), -1).to(x.dtype)


def attend(q, k, v, mask, flex):
    """q [n, heads, d], k and v [n, kv heads, d] -> [n, heads * d]."""
    q, k, v = (t.transpose(0, 1)[None] for t in (q, k, v))
    if flex:
        o = flex_attention(q, k, v, block_mask=mask, scale=1.0, enable_gqa=True)
    else:
        o = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0, enable_gqa=True)
    return o[0].transpose(0, 1).flatten(1)


def layer(x, p, cos, sin, mask, flex, top_k=4):
    """One decoder layer on x [n, 512]; p: the layer's parameters by short name, in float32.
    Returns x and balance loss."""
    dt = x.dtype
    lin = lambda t, w: F.linear(t, w.to(dt))
    d = p["self_attn.q_norm.weight"].shape[0]
    h = rms(x, p["input_layernorm.weight"])
    q = rms(
        lin(h, p["self_attn.q_proj.weight"]).unflatten(1, (-1, d)), p["self_attn.q_norm.weight"]
    )
    k0 = lin(h, p["self_attn.k_proj.weight"]).unflatten(1, (-1, d))
    v0 = (
        lin(h, p["self_attn.v_proj.weight"]).unflatten(1, (-1, d))
        if "self_attn.v_proj.weight" in p
        else k0
    )
    k = rms(k0, p["self_attn.k_norm.weight"])
    o = attend(rotate(q, cos, sin), rotate(k, cos, sin), rms(v0), mask, flex)
    x = x + rms(lin(o, p["self_attn.o_proj.weight"]), p["post_attention_layernorm.weight"])

    g = rms(x, p["pre_feedforward_layernorm.weight"])
    f1 = lin(
        F.gelu(lin(g, p["mlp.gate_proj.weight"]), approximate="tanh")
        * lin(g, p["mlp.up_proj.weight"]),
        p["mlp.down_proj.weight"],
    )
    f1 = rms(f1, p["post_feedforward_layernorm_1.weight"])

    r = rms(x.float()) * p["router.scale"] * x.shape[1] ** -0.5
    probs = F.linear(r, p["router.proj.weight"]).softmax(-1)
    n_exp = probs.shape[1]
    rank = (probs.unsqueeze(1) > probs.unsqueeze(2)).sum(-1)
    chosen = rank < top_k
    w = probs * chosen
    w = w / w.sum(-1, keepdim=True)
    balance = n_exp / top_k * (chosen.float().mean(0) * probs.mean(0)).sum()
    w = (w * p["router.per_expert_scale"]).to(dt)
    g2 = rms(x, p["pre_feedforward_layernorm_2.weight"])
    gu = p["experts.gate_up_proj"]
    u = lin(g2, gu.flatten(0, 1)).unflatten(1, (n_exp, gu.shape[1]))
    a, b = u.chunk(2, -1)
    u = F.gelu(a, approximate="tanh") * b * w[..., None]
    f2 = lin(u.flatten(1), p["experts.down_proj"].transpose(0, 1).flatten(1))
    f2 = rms(f2, p["post_feedforward_layernorm_2.weight"])
    x = x + rms(f1 + f2, p["post_feedforward_layernorm.weight"])
    return x * p["layer_scalar"].to(dt), balance


def head(x, norm, emb, cap=30.0):
    z = F.linear(rms(x, norm), emb.to(x.dtype)).float()
    return cap * torch.tanh(z / cap)


def head_loss(x, norm, emb, target, weight):
    """Sum of weighted cross entropies, and (without gradient) the number of right argmaxes where
    weight is near 1."""
    z = head(x, norm, emb)
    lse = z.logsumexp(-1)
    ce = lse - z.gather(1, target[:, None]).squeeze(1)
    return (
        (ce * weight).sum() + 1e-5 * (lse.pow(2) * (weight > 0)).sum(),
        ce.detach(),
        z.detach().argmax(-1),
    )


class Masks:
    """Block masks for a stream of n tokens with documents; buffers are reused so that nothing is
    compiled twice."""

    def __init__(self, n, window, device, flex):
        self.n, self.window, self.flex = n, window, flex
        self.start = torch.zeros(n, dtype=torch.int32, device=device)
        self.made, self.lists = {}, block_lists

    def _mod(self, window):
        start = self.start
        if window:
            return lambda b, h, q, k: (k <= q) & (q - k < window) & (k >= start[q])
        return lambda b, h, q, k: (k <= q) & (k >= start[q])

    def update(self, start):
        self.start.copy_(start)
        out = {}
        for kind, window in (("local", self.window), ("global", 0)):
            out[kind] = self._flex(kind, window) if self.flex else self._dense(window)
        return out

    def _dense(self, window):
        i = torch.arange(self.n, device=self.start.device)
        m = (i[None] <= i[:, None]) & (i[None] >= self.start[:, None])
        return (m & (i[:, None] - i[None] < window) if window else m)[None, None]

    def _flex(self, kind, window):
        new = self.lists(self.start.view(-1, BLOCK), window)
        if kind not in self.made:
            self.made[kind] = BlockMask.from_kv_blocks(
                *(t.clone() for t in new[:4]),
                BLOCK_SIZE=BLOCK,
                mask_mod=self._mod(window),
                seq_lengths=(self.n, self.n),
            )
        m = self.made[kind]
        torch._foreach_copy_(
            [
                m.kv_num_blocks,
                m.kv_indices,
                m.full_kv_num_blocks,
                m.full_kv_indices,
                m.q_num_blocks,
                m.q_indices,
                m.full_q_num_blocks,
                m.full_q_indices,
            ],
            list(new),
        )
        return m


def block_lists(start, window):
    """For start [blocks, BLOCK]: counts and indices of the partly and the fully visible blocks, by
    query, then by key."""
    nb = start.shape[0]
    i = torch.arange(nb, device=start.device)
    q0, k0 = (i * BLOCK)[:, None], (i * BLOCK)[None]
    first, last = start[:, 0][:, None], start[:, -1][:, None]
    some = (k0 <= q0) & (k0 + BLOCK - 1 >= first)
    full = (k0 < q0) & (k0 >= last)
    if window:
        some &= q0 - (k0 + BLOCK - 1) < window
        full &= q0 + BLOCK - 1 - k0 < window
    out = []
    for m in (some & ~full, full, (some & ~full).mT, full.mT):
        out.append(m.sum(-1, dtype=torch.int32)[None, None])
        order = (
            torch.where(m, i[None], i[None] + nb).sort(-1).values
        )  # the visible ones first, in order
        out.append((order % nb).to(torch.int32)[None, None])
    return tuple(out)


class Fast:
    """The forward pass over a model's parameters; compiled on a GPU."""

    def __init__(self, model, n, compile=True, dtype=torch.bfloat16):
        self.cfg, self.p, self.dtype = model.config, params(model), dtype
        dev = next(iter(self.p.values())).device
        self.flex = dev.type == "cuda"
        self.masks = Masks(n, self.cfg.sliding_window, dev, self.flex)
        self.per_layer = []
        for i in range(self.cfg.num_hidden_layers):
            pre = f"model.layers.{i}."
            self.per_layer.append(
                {k[len(pre) :]: v for k, v in self.p.items() if k.startswith(pre)}
            )
        c = (lambda f: torch.compile(f, dynamic=False)) if compile else (lambda f: f)
        self.layer, self.head, self.head_loss = c(layer), c(head), c(head_loss)
        self.masks.lists, self.rope = c(block_lists), c(rope_angles)

    def hidden(self, tokens, pos, start):
        masks = self.masks.update(start)
        rope = {
            "local": self.rope(pos, self.cfg.per_layer_config[0].head_dim, 10000.0, 1.0),
            "global": self.rope(pos, self.cfg.per_layer_config[5].head_dim, 1e6, 0.25),
        }
        x = (
            F.embedding(tokens, self.p["model.embed_tokens.weight"])
            * math.sqrt(self.cfg.hidden_size)
        ).to(self.dtype)
        balance = 0
        for i, p in enumerate(self.per_layer):
            kind = "local" if self.cfg.layer_types[i] == "sliding_attention" else "global"
            x, b = self.layer(x, p, *rope[kind], masks[kind], self.flex)
            balance = balance + b
        return x, balance / len(self.per_layer)

    def loss(self, tokens, weights, pos, start, chunks=4):
        """tokens [n + 1]; returns loss, balance, per-token cross entropy and argmax [n]."""
        x, balance = self.hidden(tokens[:-1], pos, start)
        norm, emb = self.p["model.norm.weight"], self.p["model.embed_tokens.weight"]
        parts = [
            self.head_loss(a, norm, emb, t, w)
            for a, t, w in zip(x.chunk(chunks), tokens[1:].chunk(chunks), weights.chunk(chunks))
        ]
        total = sum(p[0] for p in parts) / weights.sum()
        return total, balance, torch.cat([p[1] for p in parts]), torch.cat([p[2] for p in parts])


def check(model, tokens):
    """Largest difference of logits between the official forward and ours in float32, on one
    document [n]."""
    n = tokens.shape[0]
    fast = Fast(model, n, compile=False, dtype=torch.float32)
    flex, fast.flex, fast.masks.flex = fast.flex, False, False
    with torch.no_grad():
        pos = torch.arange(n, device=tokens.device)
        x, _ = fast.hidden(tokens, pos, torch.zeros(n, dtype=torch.int32, device=tokens.device))
        ours = head(x, fast.p["model.norm.weight"], fast.p["model.embed_tokens.weight"])
        ref = model(tokens[None]).logits[0]
    return (ours - ref).abs().max().item(), ref.abs().max().item()
