"""Models that know tools: the demo model with chat templates that say how to call them."""
import os
import shutil

from conftest import MODELS

DEMO = os.path.join(MODELS, "..", "..", "config", "demo")

# Each writes calls in its family's form; `{ call }` is where a call's JSON comes.
TEMPLATE = """{{ bos_token }}
{%- if tools %}Tools:{% for tool in tools %} {{ tool | tojson }}{% endfor %} CALL{% endif %}
{%- for message in messages %}<start_of_turn>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}CALL{{ call.function | tojson }}{% endfor %}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""

FAMILIES = {"hermes": "<tool_call>", "mistral": "[TOOL_CALLS]", "llama": "<|python_tag|>", "harmony": "<|channel|>"}


def make_model(folder, family):
    """A copy of the demo model whose template has the family's mark."""
    shutil.copytree(DEMO, folder)
    with open(os.path.join(folder, "chat_template.jinja"), "w") as file:
        file.write(TEMPLATE.replace("CALL", FAMILIES[family]))
    return str(folder)
