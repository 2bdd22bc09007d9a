"""The naive way to serve the same model: `MarianMTModel.generate` for each request as it comes.

Beam 4, float32, a thread pool behind gRPC: what a tutorial would write. It runs in the environment
of `make parity`, which has torch and transformers. It speaks the product's contract, so that the
same load generator measures both.
"""

from __future__ import annotations

import argparse
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import torch
from tests.load.baseline import announce, translating
from transformers import AutoTokenizer, MarianMTModel

from khulasa.v1 import translation_pb2


class NaiveTranslator:
    """One request, one call of `generate`.

    Args:
        checkpoint: directory of the model.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self._model = MarianMTModel.from_pretrained(checkpoint, dtype=torch.float32).eval()

    def translate(
        self,
        request: translation_pb2.TranslateRequest,
        _context: grpc.ServicerContext,
    ) -> translation_pb2.TranslateResponse:
        """Each content by itself, of exactly as many tokens as asked for."""
        texts = [
            self._translate(text, request.options.max_output_tokens) for text in request.contents
        ]
        return translation_pb2.TranslateResponse(
            translations=[translation_pb2.Translation(text=text) for text in texts]
        )

    def _translate(self, text: str, tokens: int) -> str:
        inputs: Any = self._tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            output = self._model.generate(
                **inputs, num_beams=4, max_length=None, max_new_tokens=tokens, min_new_tokens=tokens
            )
        return str(self._tokenizer.decode(output[0], skip_special_tokens=True))


def parse() -> argparse.Namespace:
    """Flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--handlers", type=int, default=10)
    return parser.parse_args()


def main() -> None:
    """Serve until SIGTERM."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    server = grpc.server(ThreadPoolExecutor(arguments.handlers))
    translator = NaiveTranslator(arguments.checkpoint)
    server.add_generic_rpc_handlers(translating(translator.translate))
    port = server.add_insecure_port("127.0.0.1:0")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    server.start()
    announce(port)
    stopped.wait()
    server.stop(None).wait()
    arguments.record.write_text("{}", "utf-8")


if __name__ == "__main__":
    main()
