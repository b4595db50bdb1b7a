"""Networks of transformers with small random configurations: text, speech, pictures, encoder-decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as t

from .entry import Export, Feeds, First

V, H, L, A, F = 211, 64, 2, 4, 128  # vocabulary, width, layers, heads, width of the inner layer
BERT: dict[str, Any] = {
    "vocab_size": V, "hidden_size": H, "num_hidden_layers": L, "num_attention_heads": A, "intermediate_size": F,
    "max_position_embeddings": 96,
}  # fmt: skip
TEXT = ((1, 24), (3, 24), (1, 41))


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(4, V, (batch, length))


def masked(batch: int, length: int) -> Feeds:
    """Tokens, and a mask that hides the tail of each but the first."""
    mask = torch.ones(batch, length, dtype=torch.long)
    for k in range(1, batch):
        mask[k, length - 3 * k :] = 0
    return {"input_ids": ids(batch, length), "attention_mask": mask}


def of(kind: str, config: str, wanted: str, names: tuple[str, ...], attention: str, **settings: Any) -> Any:
    """A builder of a model of transformers by the names of its class and of its configuration's."""

    def build() -> torch.nn.Module:
        made = getattr(t, config)(**settings)
        made._attn_implementation = attention
        fixed = {"use_cache": False} if "CausalLM" in kind or "LMHead" in kind else {}
        return First(getattr(t, kind)(made), names, (wanted,), **fixed)

    return build


def text(
    name: str,
    kind: str,
    config: str,
    wanted: str = "last_hidden_state",
    *,
    dynamo: bool = False,
    attention: str = "sdpa",
    **settings: Any,
) -> Export:
    names = ("input_ids", "attention_mask")
    axes = {n: {0: "batch", 1: "length"} for n in names}
    build = of(kind, config, wanted, names, attention, **settings)
    return Export(f"hf_{name}{'_dynamo' if dynamo else ''}", build, masked, axes, TEXT, dynamo)


def encoders() -> list[Export]:
    found = []
    for dynamo in (False, True):
        found += [
            text("bert", "BertModel", "BertConfig", dynamo=dynamo, **BERT),
            text("distilbert", "DistilBertModel", "DistilBertConfig", dynamo=dynamo, vocab_size=V, dim=H, n_layers=L,
                 n_heads=A, hidden_dim=F, max_position_embeddings=96),
            text("modernbert", "ModernBertModel", "ModernBertConfig", dynamo=dynamo, **BERT, pad_token_id=0,
                 bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2),
        ]  # fmt: skip
    return found + [
        text("bert_eager", "BertForSequenceClassification", "BertConfig", "logits", attention="eager", **BERT),
        text("roberta", "RobertaModel", "RobertaConfig", **BERT),
        text("albert", "AlbertModel", "AlbertConfig", embedding_size=32, **BERT),
        text("electra", "ElectraModel", "ElectraConfig", embedding_size=32, **BERT),
        text("deberta", "DebertaV2Model", "DebertaV2Config", attention="eager", **BERT, relative_attention=True,
             pos_att_type=["p2c", "c2p"]),
        text("mpnet", "MPNetModel", "MPNetConfig", attention="eager", **BERT),
        text("mobilebert", "MobileBertModel", "MobileBertConfig", attention="eager", **BERT, embedding_size=32,
             intra_bottleneck_size=32, true_hidden_size=32),
        text("squeezebert", "SqueezeBertModel", "SqueezeBertConfig", attention="eager", **BERT, embedding_size=H),
        text("convbert", "ConvBertModel", "ConvBertConfig", attention="eager", **BERT, embedding_size=H),
        text("t5_encoder", "T5EncoderModel", "T5Config", attention="eager", vocab_size=V, d_model=H, d_kv=16, d_ff=F,
             num_layers=L, num_heads=A),
    ]  # fmt: skip


CAUSAL: dict[str, Any] = {**BERT, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def decoders() -> list[Export]:
    found = []
    for dynamo in (False, True):
        found += [
            text("gpt2", "GPT2LMHeadModel", "GPT2Config", "logits", dynamo=dynamo, vocab_size=V, n_embd=H, n_layer=L,
                 n_head=A, n_positions=96, bos_token_id=1, eos_token_id=2),
            text("llama", "LlamaForCausalLM", "LlamaConfig", "logits", dynamo=dynamo, **CAUSAL),
            text("qwen3", "Qwen3ForCausalLM", "Qwen3Config", "logits", dynamo=dynamo, **CAUSAL, head_dim=16),
        ]  # fmt: skip
    return found + [
        text("gpt_neox", "GPTNeoXForCausalLM", "GPTNeoXConfig", "logits", **BERT, bos_token_id=1, eos_token_id=2),
        text("mistral", "MistralForCausalLM", "MistralConfig", "logits", **CAUSAL, sliding_window=16),
        text("gemma2", "Gemma2ForCausalLM", "Gemma2Config", "logits", **CAUSAL, head_dim=16, sliding_window=16,
             attention="eager"),
        text("phi", "PhiForCausalLM", "PhiConfig", "logits", **CAUSAL),
        text("opt", "OPTForCausalLM", "OPTConfig", "logits", vocab_size=V, hidden_size=H, num_hidden_layers=L,
             num_attention_heads=A, ffn_dim=F, max_position_embeddings=96, word_embed_proj_dim=H),
        text("bloom", "BloomForCausalLM", "BloomConfig", "logits", attention="eager",
             vocab_size=V, hidden_size=H, n_layer=L, n_head=A),
        text("falcon", "FalconForCausalLM", "FalconConfig", "logits", vocab_size=V, hidden_size=H,
             num_hidden_layers=L, num_attention_heads=A, bos_token_id=1, eos_token_id=2),
        text("mamba", "MambaForCausalLM", "MambaConfig", "logits", attention="eager",
             vocab_size=V, hidden_size=32, num_hidden_layers=1,
             state_size=4),
    ]  # fmt: skip


class Seq2Seq(torch.nn.Module):
    def __init__(self, body: torch.nn.Module, first: str = "input_ids") -> None:
        super().__init__()
        self.body, self.first = body, first

    def forward(self, x: torch.Tensor, decoder_input_ids: torch.Tensor) -> torch.Tensor:
        return self.body(**{self.first: x, "decoder_input_ids": decoder_input_ids, "use_cache": False})[0]


def both_ways() -> list[Export]:
    def pair(batch: int, length: int) -> Feeds:
        return {"x": ids(batch, length), "decoder_input_ids": ids(batch, length // 2)}

    axes = {"x": {0: "batch", 1: "length"}, "decoder_input_ids": {0: "batch", 1: "said"}}
    t5 = t.T5Config(vocab_size=V, d_model=H, d_kv=16, d_ff=F, num_layers=L, num_heads=A, decoder_start_token_id=0)
    bart = t.BartConfig(vocab_size=V, d_model=H, encoder_layers=L, decoder_layers=L, encoder_attention_heads=A,
                        decoder_attention_heads=A, encoder_ffn_dim=F, decoder_ffn_dim=F,
                        max_position_embeddings=96)  # fmt: skip
    whisper = t.WhisperConfig(vocab_size=V, d_model=H, encoder_layers=L, decoder_layers=L, encoder_attention_heads=A,
                              decoder_attention_heads=A, encoder_ffn_dim=F, decoder_ffn_dim=F, num_mel_bins=20,
                              max_source_positions=32, max_target_positions=64, pad_token_id=0, bos_token_id=1,
                              eos_token_id=2, decoder_start_token_id=1)  # fmt: skip

    def spoken(batch: int, length: int) -> Feeds:
        return {"x": torch.randn(batch, 20, 64), "decoder_input_ids": ids(batch, length)}

    heard = {"x": {0: "batch"}, "decoder_input_ids": {0: "batch", 1: "said"}}
    found = []
    for dynamo in (False, True):
        tail = "_dynamo" if dynamo else ""
        found += [
            Export(f"hf_t5{tail}", lambda: Seq2Seq(t.T5ForConditionalGeneration(t5)), pair, axes, TEXT, dynamo),
            Export(f"hf_bart{tail}", lambda: Seq2Seq(t.BartModel(bart)), pair, axes, TEXT, dynamo),
            Export(f"hf_whisper{tail}", lambda: Seq2Seq(t.WhisperModel(whisper), "input_features"), spoken, heard,
                   ((1, 12), (3, 12), (1, 19)), dynamo),
        ]  # fmt: skip
    return found


def one(
    name: str, build: Callable[[], torch.nn.Module], wanted: tuple[str, ...], given: str,
    feeds: Callable[[int, int], torch.Tensor], axes: dict[int, str], shapes: tuple[tuple[int, int], ...],
    dynamo: bool = False,
) -> Export:  # fmt: skip
    """A model of one input."""
    return Export(
        f"hf_{name}", lambda: First(build(), (given,), wanted), lambda b, s: {given: feeds(b, s)}, {given: axes},
        shapes, dynamo,
    )  # fmt: skip


SPEECH: dict[str, Any] = {
    "hidden_size": H, "num_hidden_layers": L, "num_attention_heads": A, "intermediate_size": F,
    "conv_dim": (32, 32, 32), "conv_kernel": (10, 3, 3), "conv_stride": (5, 2, 2), "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
PICTURE: dict[str, Any] = {
    "image_size": 64, "patch_size": 16, "hidden_size": H, "num_hidden_layers": L, "num_attention_heads": A,
    "intermediate_size": F,
}  # fmt: skip


def others() -> list[Export]:
    sound = lambda b, s: torch.randn(b, s)  # noqa: E731
    seen = lambda b, s: torch.randn(b, 3, s, s)  # noqa: E731
    waves, pixels = ((1, 1600), (3, 1600), (1, 2400)), ((1, 64), (3, 64), (2, 64))
    any_size = {0: "batch", 2: "height", 3: "width"}
    last = ("last_hidden_state",)
    clip: dict[str, Any] = {k: v for k, v in BERT.items() if k != "max_position_embeddings"}
    return [
        one("wav2vec2", lambda: t.Wav2Vec2ForCTC(t.Wav2Vec2Config(vocab_size=32, **SPEECH)), ("logits",),
            "input_values", sound, {0: "batch", 1: "length"}, waves),
        one("hubert", lambda: t.HubertModel(t.HubertConfig(vocab_size=32, **SPEECH)), last, "input_values", sound,
            {0: "batch", 1: "length"}, waves),
        one("wav2vec2_dynamo", lambda: t.Wav2Vec2ForCTC(t.Wav2Vec2Config(vocab_size=32, **SPEECH)), ("logits",),
            "input_values", sound, {0: "batch", 1: "length"}, waves, True),
        one("ast", lambda: t.ASTModel(t.ASTConfig(hidden_size=H, num_hidden_layers=L, num_attention_heads=A,
            intermediate_size=F, max_length=64, num_mel_bins=32)), last, "input_values",
            lambda b, s: torch.randn(b, 64, 32), {0: "batch"}, ((1, 64), (3, 64), (2, 64))),
        one("vit", lambda: t.ViTModel(t.ViTConfig(**PICTURE)), last, "pixel_values", seen, {0: "batch"}, pixels),
        one("vit_dynamo", lambda: t.ViTModel(t.ViTConfig(**PICTURE)), last, "pixel_values", seen, {0: "batch"}, pixels,
            True),
        one("dinov2", lambda: t.Dinov2Model(t.Dinov2Config(**PICTURE)), last, "pixel_values", seen, {0: "batch"},
            pixels),
        one("siglip", lambda: t.SiglipVisionModel(t.SiglipVisionConfig(**PICTURE)), last, "pixel_values", seen,
            {0: "batch"}, pixels),
        one("clip_text", lambda: t.CLIPTextModel(t.CLIPTextConfig(**clip, max_position_embeddings=48, eos_token_id=2)),
            ("last_hidden_state", "pooler_output"), "input_ids", ids, {0: "batch", 1: "length"}, TEXT),
        one("segformer", lambda: t.SegformerForSemanticSegmentation(t.SegformerConfig(
            hidden_sizes=[16, 32, 64, 96], depths=[1, 1, 1, 1], decoder_hidden_size=32, num_labels=5)), ("logits",),
            "pixel_values", seen, any_size, ((1, 64), (3, 64), (1, 96))),
        one("yolos", lambda: t.YolosForObjectDetection(t.YolosConfig(**{**PICTURE, "image_size": [64, 64]},
            num_detection_tokens=8, num_labels=4)), ("logits", "pred_boxes"), "pixel_values", seen, {0: "batch"},
            pixels),
        one("swin2sr", lambda: t.Swin2SRForImageSuperResolution(t.Swin2SRConfig(image_size=32, embed_dim=24,
            depths=[2], num_heads=[2], window_size=4, upscale=2)), ("reconstruction",), "pixel_values", seen,
            {0: "batch"}, ((1, 32), (3, 32), (2, 32))),
        one("patchtst", lambda: t.PatchTSTForPrediction(t.PatchTSTConfig(num_input_channels=3, context_length=64,
            patch_length=8, patch_stride=8, d_model=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
            prediction_length=16)), ("prediction_outputs",), "past_values", lambda b, s: torch.randn(b, 64, 3),
            {0: "batch"}, ((1, 64), (3, 64), (2, 64))),
    ]  # fmt: skip


def exports() -> list[Export]:
    return encoders() + decoders() + both_ways() + others()
