"""A planner's decode session: the prompt is run once, then token after token, with one KV cache of fixed size."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .layout import PromptLayout
from .model import KVCache, PlannerConfig, PlannerModel, StaticKVCache, rotary_table
from .positions import positions

Replay = Callable[[], None]
GraphRecorder = Callable[[Callable[[], None]], Replay | None]  # records a pass; None if that is not possible
Recorder = AbstractContextManager[GraphRecorder | None]  # inside, weights stay in place and passes can be recorded
OnChunk = Callable[[], object]  # called before every pass of the prompt
PROMPT_CHUNK = 2048  # most tokens of the prompt in one pass; a cancel waits for that pass
CHUNK_SCORES = 2**22  # most pairs of a token in the pass and one that it attends to, beyond the first chunk


@dataclass(frozen=True)
class DecodeSession:
    """A model, the cache that it fills for one layout, and the tables that it reads.

    rotary: cosines and sines [tokens, head size] of all tokens.
    code_embeddings: [codebook size, hidden]. Written tokens are looked up here, not in the table of the whole
    vocabulary, which is ten times as large and need not be on the device.
    """

    model: PlannerModel
    rotary: tuple[Tensor, Tensor]
    cache: KVCache
    code_embeddings: Tensor

    @classmethod
    def start(cls, model: PlannerModel, layout: PromptLayout, batch: int, device: torch.device | str,
              dtype: torch.dtype) -> DecodeSession:
        """A session for ``batch`` plans of the layout, its prompt not yet run. device, dtype: those of activations."""
        cos, sin = rotary_table(positions([*layout.segments, *layout.grids]), model.config, dtype)
        cache = KVCache(model.config, batch, cache_length(layout), device, dtype)
        return cls(model, (cos.to(device), sin.to(device)), cache, model.code_embeddings(device, dtype))

    def prefill(self, prompt_ids: Tensor, on_chunk: OnChunk = lambda: None) -> Tensor:
        """Run the prompt, int64 [1 or B, P], through the model; returns logits [1 or B, V] for the first new token.

        on_chunk: called before every pass of ``chunk_sizes``; an exception that it raises ends the run.
        """
        hidden, position = self.code_embeddings, 0
        for ids in prompt_ids.split(chunk_sizes(prompt_ids.shape[1]), dim=1):
            on_chunk()
            x = self.model.embed(ids, self.code_embeddings.device, self.code_embeddings.dtype)
            hidden = self.hidden(x, position)[:, -1]
            position += ids.shape[1]
        return self.model.lm_head(hidden)

    def decode(self, ids: Tensor, position: int) -> Tensor:
        """Logits [B, n, V] for the token after each of ids [B, n], the first of which is at ``position``."""
        return self.model.lm_head(self.hidden(F.embedding(ids, self.code_embeddings), position))

    def hidden(self, x: Tensor, position: int) -> Tensor:
        """Hidden states [B, n, hidden] of embeddings x [B, n, hidden], the first of which is at ``position``."""
        cos, sin = (table[position : position + x.shape[1]] for table in self.rotary)
        return self.model(x, (cos, sin), self.cache, position)


@dataclass(frozen=True)
class GraphSession(DecodeSession):
    """A session whose pass of n tokens is recorded once, then replayed without Python or separate kernel launches.

    All that changes from pass to pass is in tensors: ids [B, n] (the tokens) and position [1] (of the first of them).
    So is the result, logits [B, n, V], which the next pass overwrites.
    """

    ids: Tensor
    position: Tensor
    logits: Tensor
    replay: Replay

    @classmethod
    def record(cls, session: DecodeSession, first: int, n: int, recorder: GraphRecorder) -> DecodeSession:
        """``session`` with its pass of n tokens recorded, or as it is if that is not possible.

        first: position of the first new token. Recording may run the pass and thereby write the cache from ``first``
        on; the first new tokens overwrite that.
        """
        model, embeddings = session.model, session.code_embeddings
        ids = torch.zeros(session.cache.keys.shape[1], n, dtype=torch.int64, device=embeddings.device)
        position = torch.full((1,), first, device=embeddings.device)
        logits = embeddings.new_empty(*ids.shape, model.config.vision_vocab_size)
        for unwritten in (session.cache.keys[..., first:, :], session.cache.values[..., first:, :]):
            unwritten.zero_()  # masked positions get weight 0, but 0 * NaN is NaN, so clear uninitialised memory
        cache = StaticKVCache(session.cache.layers, model.config.group, model.token_attention)
        offsets = torch.arange(n, device=embeddings.device)

        def decode_n_tokens() -> None:
            positions = position + offsets
            cache.set_positions(positions)
            cos, sin = (table.index_select(0, positions) for table in session.rotary)
            logits.copy_(model.lm_head(model(F.embedding(ids, embeddings), (cos, sin), cache, positions)))

        replay = recorder(decode_n_tokens)
        if replay is None:
            return session
        return cls(model, session.rotary, session.cache, embeddings, ids, position, logits, replay)

    def decode(self, ids: Tensor, position: int) -> Tensor:
        """As in DecodeSession; as many tokens as were recorded replay the recording."""
        if ids.shape != self.ids.shape:
            return super().decode(ids, position)
        self.ids.copy_(ids)
        self.position.fill_(position)
        self.replay()
        return self.logits


def cache_length(layout: PromptLayout) -> int:
    """Length of the KV cache, a multiple of 8: CUDA's attention copies a mask of another length."""
    return -(-layout.length // 8) * 8


def session_bytes(config: PlannerConfig, layout: PromptLayout, batch: int, lookahead: int, dtype: torch.dtype) -> int:
    """Peak bytes of a session beyond the weights.

    KV cache + code embeddings + the larger of the activations of a prompt's chunk in the feed-forward and the logits
    while they are sorted. dtype: of the activations.
    """
    cache = KVCache.size_in_bytes(config, batch, cache_length(layout), dtype)
    embeddings = config.codebook_size * config.hidden_size * dtype.itemsize
    prompts, length = layout.prompt_ids.shape
    prompt = prompts * min(length, PROMPT_CHUNK) * 4 * (config.intermediate_size + config.hidden_size) * dtype.itemsize
    logits = 8 * batch * lookahead * config.vision_vocab_size * torch.float32.itemsize
    return cache + embeddings + max(prompt, logits)


def chunk_sizes(length: int) -> list[int]:
    """How many tokens of a prompt of ``length`` tokens are run in each pass: fewer, the more are before them."""
    sizes, done = [], 0
    while done < length:
        sizes.append(min(PROMPT_CHUNK, max(1, CHUNK_SCORES // (done + PROMPT_CHUNK)), length - done))
        done += sizes[-1]
    return sizes


def attention_of_new_tokens(device: torch.device | str) -> AbstractContextManager:
    """Inside, torch's attention is not cuDNN's, which plans anew (20 ms and more) for every length of the cache."""
    if torch.device(device).type != "cuda":
        return nullcontext()
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def cuda_graphs(device: torch.device | str) -> Recorder:
    """Records passes on an NVIDIA GPU, of a model whose weights stay where they are; elsewhere none."""
    is_nvidia = torch.device(device).type == "cuda" and torch.version.hip is None
    return nullcontext(record_cuda_graph_if_possible if is_nvidia else None)


def record_cuda_graph(step: Callable[[], None]) -> Replay:
    """A GraphRecorder for CUDA. The first pass is not recorded, because libraries initialise themselves in it.

    "thread_local": CUDA calls of other threads do not break the capture. ComfyUI 0.33 records blocks of its own text
    models in this way (comfy/model_prefetch.py).
    """
    side_stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        step()
        torch.cuda.synchronize()  # nothing that ComfyUI's paging does for earlier work may fall into the capture
        with torch.cuda.graph(graph, stream=side_stream, capture_error_mode="thread_local"):
            step()
    torch.cuda.current_stream().wait_stream(side_stream)
    return graph.replay


def record_cuda_graph_if_possible(step: Callable[[], None]) -> Replay | None:
    """``record_cuda_graph``; if a library or lack of memory prevents that, a warning and None."""
    try:
        return record_cuda_graph(step)
    except RuntimeError as error:
        logging.warning("the planner runs without a CUDA graph, so each token may take longer: %s", error)
        return None
