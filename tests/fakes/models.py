"""Models that differ from the stand-in in their chat template and in the special tokens that it writes."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinker_cookbook.exceptions import RendererError
from tinker_cookbook.renderers import register_renderer, unregister_renderer
from tinker_cookbook.renderers.llama3 import Llama3Renderer
from tokenizers import AddedToken, Tokenizer

from tasks.catalog import model_folder

ROLES_IN_TURN = (
    "{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "<|start_header_id|>{{ message.role }}<|end_header_id|>{{ message.content }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
NO_SYSTEM += ROLES_IN_TURN
SYSTEM_LAST = (
    "{% for message in messages if message.role != 'system' %}{{ message.content }}<|eot_id|>{% endfor %}"
    "{% for message in messages if message.role == 'system' %}{{ message.content }}{% endfor %}"
)
LINES = "{% for message in messages %}{{ message.role }}: {{ message.content }}{{ '\\n' }}{% endfor %}"
DATED = (
    "Today is {{ strftime_now('%d %b %Y') }}.{% for m in messages %}{{ m.role }}{{ m.content }}<|eot_id|>{% endfor %}"
)
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% if loop.last and message.role == 'assistant' %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ message.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""As Qwen3's: an empty thought before the last answer, and none in the prompt."""
THINKING_TOKENS = ("<|im_start|>", "<|im_end|>", "<think>", "</think>")


def make_model(folder: Path, template: str | list[dict[str, str]] | None, tokens: tuple[str, ...] = ()) -> Path:
    """The stand-in with another chat template, in chat_template.jinja; several are in tokenizer_config.json."""
    shutil.copytree(str(model_folder("standin")), folder, ignore=shutil.ignore_patterns("text", "*.svg", "*.md"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["chat_template"]
    if isinstance(template, str):
        (folder / "chat_template.jinja").write_text(template)
    elif template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if tokens:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.add_tokens([AddedToken(token, special=token.startswith("<|")) for token in tokens])
        tokenizer.save(str(folder / "tokenizer.json"))
    return folder


class NoSystem(Llama3Renderer):
    """As of a model that knows no system turn."""

    def render_message(self, message, ctx):
        if message["role"] == "system":
            raise RendererError("no system turns")
        return super().render_message(message, ctx)


@contextmanager
def renderer_without_system() -> Iterator[str]:
    """Its name."""
    register_renderer("tests/no_system", lambda tokenizer, _: NoSystem(tokenizer))
    try:
        yield "tests/no_system"
    finally:
        unregister_renderer("tests/no_system")
