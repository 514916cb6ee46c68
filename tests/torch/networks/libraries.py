"""Networks that are classes of torchvision, timm and transformers, with sizes from the network's file and nothing left to chance."""

import torch
from networks import Model, Part, moments, network
from torch import nn


def whole(module):
    """All parameters of a module in its order."""
    return [Part(parameter) for parameter in module.parameters()]


def thirds(weight, bias, transposed=False):
    """Queries, keys and values of a packed projection: weight and bias of each."""
    size = bias.numel() // 3
    for k in range(3):
        rows = slice(k * size, (k + 1) * size)
        yield Part(weight, rows, transposed)
        yield Part(bias, rows)


def side(net):
    return net["input"]["shape"][1]


def find(layers, kind):
    """The first layer of a type, however deep."""
    for layer in layers:
        if layer["type"] == kind:
            return layer
        inner = [layer.get("layers", []), layer.get("shortcut", []), *layer.get("branches", [])]
        for found in (find(part, kind) for part in inner):
            if found:
                return found
    return None


class Sizes:
    """Those of a transformer over tokens."""

    def __init__(self, net):
        layers, attention = net["layer"], find(net["layer"], "attention")
        self.tokens, self.length = net["input"]["tokens"], net["input"]["length"]
        self.width, self.blocks = find(layers, "embedding")["out"], find(layers, "repeat")["times"]
        self.heads = attention["heads"]
        self.kv_heads = attention.get("kv_heads", self.heads)
        self.rotary = attention.get("rotary")
        self.hidden = next(
            (found.get("hidden", found.get("out")) for kind in ("gated-mlp", "moe") if (found := find(layers, kind))),
            4 * self.width,
        )


@network("resnet18", "resnet34", "resnet50", "resnet101", "densenet121")
def plain(net):
    import torchvision

    module = getattr(torchvision.models, net["name"])()
    return Model(module, whole(module))


@network("vgg16", "vgg16-bn")
def vgg(net):
    import torchvision

    module = getattr(torchvision.models, net["name"].replace("-", "_"))(dropout=0.0)
    # Torchvision stretches the last map to 7×7 positions; a smaller image has fewer.
    positions = (side(net) // 32) ** 2
    module.avgpool = nn.Identity()
    module.classifier[0] = nn.Linear(512 * positions, 4096)
    return Model(module, whole(module))


@network("mobilenet-v2")
def mobilenet(net):
    import torchvision

    module = torchvision.models.mobilenet_v2(dropout=0.0)
    return Model(module, whole(module))


@network("efficientnet-b0")
def efficientnet(net):
    import torchvision

    module = torchvision.models.efficientnet_b0(dropout=0.0, stochastic_depth_prob=0.0)
    return Model(module, whole(module))


class Scaled(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        return self.by * x


class Standardized(Model):
    """Products are taken with standardized weights, and recorded is the gradient of those that are standardized."""

    def __init__(self, module, parts, kind):
        super().__init__(module, parts)
        self.made = {}
        for layer in module.modules():
            if isinstance(layer, kind):
                layer.register_forward_hook(lambda layer, _, out: self.made.update({id(layer.weight): out}))

    def record(self, path, parts, calls):
        part = parts[f"{path}.weight".replace("/", ".")]
        if id(part.parameter) not in self.made:
            return super().record(path, parts, calls)
        out = self.made[id(part.parameter)]
        return moments(out, out.grad, [part.parameter.grad])


@network("nfnet-f0")
def nfnet(net):
    import timm
    from timm.layers import ScaledStdConv2dSame
    from timm.models.nfnet import GammaAct

    module = timm.create_model("dm_nfnet_f0")
    # γ apart from the activation, which is recorded before it.
    for part in list(module.modules()):
        for name, child in part.named_children():
            if isinstance(child, GammaAct):
                setattr(part, name, nn.Sequential(nn.GELU(), Scaled(child.gamma)))
    parts = whole(module.stem)
    for stage in module.stages:
        for block in stage:
            for layer in (block.conv1, block.conv2, block.conv2b, block.conv3, block.attn_last):
                parts += whole(layer)
            parts.append(Part(block.skipinit_gain, ...))
            parts += whole(block.downsample) if block.downsample is not None else []
    return Standardized(module, parts + whole(module.final_conv) + whole(module.head), ScaledStdConv2dSame)


@network("convnext-tiny")
def convnext(net):
    import torchvision

    module = torchvision.models.convnext_tiny(stochastic_depth_prob=0.0)
    parts = []
    for name, parameter in module.named_parameters():
        if name.endswith("layer_scale"):
            scale = parameter
            continue
        parts.append(Part(parameter))
        # The scale comes first in its module and last in its block.
        if name.endswith("block.5.bias"):
            parts.append(Part(scale))
    return Model(module, parts)


@network("vit-b16")
def vit(net):
    import torchvision

    sizes = dict(patch_size=16, num_layers=12, num_heads=12, hidden_dim=768, mlp_dim=3072)
    module = torchvision.models.VisionTransformer(image_size=side(net), **sizes)
    parts = whole(module.conv_proj) + [Part(module.class_token), Part(module.encoder.pos_embedding)]
    for block in module.encoder.layers:
        attention = block.self_attention
        parts += whole(block.ln_1)
        parts += thirds(attention.in_proj_weight, attention.in_proj_bias)
        parts += whole(attention.out_proj) + whole(block.ln_2) + whole(block.mlp)
    return Model(module, parts + whole(module.encoder.ln) + whole(module.heads))


@network("deit-s")
def deit(net):
    import timm

    module = timm.create_model("deit_small_patch16_224", img_size=side(net))
    parts = whole(module.patch_embed) + [Part(module.cls_token), Part(module.pos_embed)]
    for block in module.blocks:
        parts += whole(block.norm1)
        parts += thirds(block.attn.qkv.weight, block.attn.qkv.bias)
        parts += whole(block.attn.proj) + whole(block.norm2) + whole(block.mlp)
    return Model(module, parts + whole(module.norm) + whole(module.head))


@network("mlp-mixer")
def mixer(net):
    import timm

    module = timm.create_model("mixer_b16_224", img_size=side(net))
    return Model(module, whole(module))


@network("bert-base")
def bert(net):
    from transformers import BertConfig, BertModel

    s = Sizes(net)
    module = BertModel(
        BertConfig(
            vocab_size=s.tokens,
            hidden_size=s.width,
            num_hidden_layers=s.blocks,
            num_attention_heads=s.heads,
            intermediate_size=s.hidden,
            max_position_embeddings=s.length,
            type_vocab_size=1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    segments = module.embeddings.token_type_embeddings.weight
    parts = [part for part in whole(module) if part.parameter is not segments]
    return Model(module, parts, lambda x: module(input_ids=x).pooler_output, zeros=[segments])


@network("gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl")
def gpt2(net):
    from transformers import GPT2Config, GPT2LMHeadModel

    s = Sizes(net)
    dropout = dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    sizes = dict(n_positions=s.length, n_embd=s.width, n_layer=s.blocks, n_head=s.heads)
    ends = dict(bos_token_id=None, eos_token_id=None)
    module = GPT2LMHeadModel(GPT2Config(vocab_size=s.tokens, use_cache=False, **sizes, **dropout, **ends))
    # `Conv1D` of transformers has the axes of its weight the other way round.
    linear = lambda layer: [Part(layer.weight, transposed=True), Part(layer.bias)]
    body = module.transformer
    parts = whole(body.wte) + whole(body.wpe)
    for block in body.h:
        parts += whole(block.ln_1)
        parts += thirds(block.attn.c_attn.weight, block.attn.c_attn.bias, transposed=True)
        parts += linear(block.attn.c_proj) + whole(block.ln_2) + linear(block.mlp.c_fc) + linear(block.mlp.c_proj)
    tied = {"head": module.lm_head.weight}
    return Model(module, parts + whole(body.ln_f), lambda x: module(input_ids=x).logits, tied=tied)


@network("pythia-160m")
def pythia(net):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    s = Sizes(net)
    width = s.width // s.heads
    module = GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=s.tokens,
            hidden_size=s.width,
            num_hidden_layers=s.blocks,
            num_attention_heads=s.heads,
            intermediate_size=s.hidden,
            max_position_embeddings=s.length,
            rope_parameters={
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": s.rotary["width"] / width,
            },
            use_cache=False,
        )
    )
    body = module.gpt_neox
    # Rows are head by head, and within a head queries, keys and values.
    rows = torch.arange(3 * s.width).reshape(s.heads, 3, width).transpose(0, 1).flatten(1)
    parts = whole(body.embed_in)
    for block in body.layers:
        packed = block.attention.query_key_value
        parts += whole(block.input_layernorm)
        parts += [Part(of, part) for part in rows for of in (packed.weight, packed.bias)]
        parts += whole(block.attention.dense) + whole(block.post_attention_layernorm) + whole(block.mlp)
    parts += whole(body.final_layer_norm) + whole(module.get_output_embeddings())
    return Model(module, parts, lambda x: module(input_ids=x).logits)


class T5(Model):
    """One table of tokens serves encoder and decoder, and one of relative positions all blocks of each."""

    tables, mixed = {}, {}

    def keep(self, path, z):
        z.retain_grad()
        self.mixed[path] = z

    def record(self, path, parts, calls):
        place = ("encoder_embedding", "decoder_embedding").index(path) if path.endswith("_embedding") else None
        if place is not None:
            return self.of_tables([[calls.of(self.module.shared.weight, "embedding")[place]]])
        if path in self.tables:
            (call,) = calls.of(self.tables[path].relative_attention_bias.weight, "embedding")
            z = self.mixed[path]
            return moments(z, z.grad, [call.weight.grad])
        return super().record(path, parts, calls)


@network("t5-small")
def t5(net):
    from transformers import T5Config, T5ForConditionalGeneration

    attention, tokens = find(net["layer"], "attention"), net["input"]["encoder"]["tokens"]
    width, blocks = find(net["layer"], "embedding")["out"], find(net["layer"], "repeat")["times"]
    sizes = dict(d_model=width, d_kv=width // attention["heads"], num_heads=attention["heads"], d_ff=4 * width)
    module = T5ForConditionalGeneration(
        T5Config(vocab_size=tokens, num_layers=blocks, num_decoder_layers=blocks, dropout_rate=0.0, **sizes)
    )
    run = lambda decoder, encoder: module(input_ids=encoder, decoder_input_ids=decoder, use_cache=False).logits
    parts = whole(module.shared)
    for stack in (module.encoder, module.decoder):
        for block in stack.block:
            for layer in block.layer:
                parts += whole(layer.layer_norm)
                if hasattr(layer, "DenseReluDense"):
                    parts += whole(layer.DenseReluDense)
                    continue
                attention = getattr(layer, "SelfAttention", None) or layer.EncDecAttention
                parts += [Part(one.weight) for one in (attention.q, attention.k, attention.v)]
                if attention.has_relative_attention_bias:
                    parts += whole(attention.relative_attention_bias)
                parts += whole(attention.o)
        parts += whole(stack.final_layer_norm)
    model = T5(module, parts, run, tied={"head": module.shared.weight})
    for name, stack in [("encoder_attention1/self", module.encoder), ("decoder_attention1/self", module.decoder)]:
        first = stack.block[0].layer[0].SelfAttention
        model.tables[name] = first
        # What goes into the projection behind the heads.
        first.o.register_forward_pre_hook(lambda _, inputs, name=name: model.keep(name, inputs[0]))
    return model


class Whisper(Model):
    """Learned positions are rows of a table that no function of PyTorch looks up."""

    def record(self, path, parts, calls):
        if path != "decoder_embedding":
            return super().record(path, parts, calls)
        decoder = self.module.model.decoder
        (call,), rows = calls.of(decoder.embed_tokens.weight, "embedding"), decoder.embed_positions.weight
        return moments(call.out + rows[: call.out.shape[1]], call.out.grad, [call.weight.grad, rows.grad])


@network("whisper-tiny")
def whisper(net):
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    attention, given = find(net["layer"], "attention"), net["input"]
    blocks = find(net["layer"], "repeat")["times"]
    sizes = dict(encoder_layers=blocks, decoder_layers=blocks, d_model=find(net["layer"], "conv1d")["out"])
    sizes |= {f"{side}_attention_heads": attention["heads"] for side in ("encoder", "decoder")}
    positions = dict(
        max_source_positions=given["encoder"]["shape"][0] // 2, max_target_positions=given["decoder"]["length"]
    )
    ends = dict(pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=0)
    module = WhisperForConditionalGeneration(
        WhisperConfig(vocab_size=given["decoder"]["tokens"], **sizes, **positions, **ends)
    )
    run = lambda decoder, encoder: module(
        input_features=encoder.transpose(1, 2), decoder_input_ids=decoder, use_cache=False
    ).logits

    def attended(attention):
        layers = [attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj]
        return [part for layer in layers for part in whole(layer)]

    encoder, decoder = module.model.encoder, module.model.decoder
    parts = whole(encoder.conv1) + whole(encoder.conv2)
    for block in encoder.layers:
        parts += whole(block.self_attn_layer_norm) + attended(block.self_attn)
        parts += whole(block.final_layer_norm) + whole(block.fc1) + whole(block.fc2)
    parts += whole(encoder.layer_norm) + whole(decoder.embed_tokens) + whole(decoder.embed_positions)
    for block in decoder.layers:
        parts += whole(block.self_attn_layer_norm) + attended(block.self_attn)
        parts += whole(block.encoder_attn_layer_norm) + attended(block.encoder_attn)
        parts += whole(block.final_layer_norm) + whole(block.fc1) + whole(block.fc2)
    parts += whole(decoder.layer_norm)
    tied = {"head": module.proj_out.weight}
    return Whisper(module, parts, run, tied=tied, fixed=[encoder.embed_positions.weight])


def llama_like(config, model, net, **options):
    s = Sizes(net)
    settings = config(
        vocab_size=s.tokens,
        hidden_size=s.width,
        num_hidden_layers=s.blocks,
        num_attention_heads=s.heads,
        num_key_value_heads=s.kv_heads,
        intermediate_size=s.hidden,
        max_position_embeddings=s.length,
        rms_norm_eps=find(net["layer"], "rmsnorm")["eps"],
        rope_parameters={"rope_type": "default", "rope_theta": float(s.rotary["base"])},
        use_cache=False,
        **options,
    )
    settings._attn_implementation = "sdpa"
    settings._experts_implementation = "eager"
    return model(settings)


def attention_of(block):
    attention = block.self_attn
    layers = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
    return [part for layer in layers for part in whole(layer)]


@network("llama-3-8b")
def llama(net):
    from transformers import LlamaConfig, LlamaForCausalLM

    module = llama_like(LlamaConfig, LlamaForCausalLM, net)
    parts = whole(module.model.embed_tokens)
    for block in module.model.layers:
        parts += whole(block.input_layernorm) + attention_of(block)
        parts += whole(block.post_attention_layernorm) + whole(block.mlp)
    parts += whole(module.model.norm) + whole(module.lm_head)
    return Model(module, parts, lambda x: module(input_ids=x).logits)


class Mixture(Model):
    """Transformers computes an expert where it is chosen, initdiag everywhere, with a gradient of zero where it is not."""

    def record(self, path, parts, calls):
        if "/expert" not in path:
            return super().record(path, parts, calls)
        path, kind = path.rsplit("/", 1)
        path, expert = path.rsplit("/", 1)
        part = lambda kind: parts[f"{path}.{expert}.{kind}.weight".replace("/", ".")]
        (router,) = calls.of(parts[f"{path}.router.weight".replace("/", ".")].matrix)
        x = router.x.detach()
        z = {name: x @ part(name).of(part(name).matrix).mT for name in ("gate", "up")}
        z["down"] = (nn.functional.silu(z["gate"]) * z["up"]) @ part("down").matrix.mT
        gradient, of_weights = torch.zeros_like(z[kind]), torch.zeros_like(part(kind).of(part(kind).matrix))
        # No position may have chosen it.
        for call in calls.of(part(kind).matrix):
            gradient[: len(call.out)] = call.out.grad[:, part(kind).rows]
            of_weights = part(kind).of(call.weight.grad)
        activation = nn.functional.silu(z[kind]) if kind == "gate" else None
        return moments(z[kind], gradient, [of_weights], activation)

    def activations(self, paths, calls):
        """Those of experts are recorded beside them."""
        return {}


@network("mixtral-8x7b")
def mixtral(net):
    from transformers import MixtralConfig, MixtralForCausalLM

    moe, s = find(net["layer"], "moe"), Sizes(net)
    experts = dict(num_local_experts=moe["experts"], num_experts_per_tok=moe["top"])
    module = llama_like(MixtralConfig, MixtralForCausalLM, net, **experts)
    parts = whole(module.model.embed_tokens)
    for block in module.model.layers:
        mixture = block.mlp
        packed, down = mixture.experts.gate_up_proj, mixture.experts.down_proj
        parts += whole(block.input_layernorm) + attention_of(block)
        parts += whole(block.post_attention_layernorm) + whole(mixture.gate)
        for expert in range(moe["experts"]):
            parts.append(Part(packed, slice(0, s.hidden), item=expert))
            parts.append(Part(packed, slice(s.hidden, None), item=expert))
        parts += [Part(down, item=expert) for expert in range(moe["experts"])]
    parts += whole(module.model.norm) + whole(module.lm_head)
    return Mixture(module, parts, lambda x: module(input_ids=x).logits)
