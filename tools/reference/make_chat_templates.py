"""Makes the reference for chat templates (needs: pip install jinja2).

  python make_chat_templates.py OUT_DIR

writes OUT_DIR/chat_templates.json: templates in the manner of Llama 3.1 and 3.2, and what Jinja, set
up as in Hugging Face's transformers, makes of one user message, without tools and with no other
date than the template's own.
"""
import json
import os
import sys

from jinja2.sandbox import ImmutableSandboxedEnvironment

BEGIN = """{{- bos_token }}
{%- if not tools_first is defined %}
    {%- set tools_first = true %}
{%- endif %}
"""
FIXED_DATE = """{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
"""
CLOCK_OR_DATE = """{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = '1 Feb 2025' %}
    {%- endif %}
{%- endif %}
"""
MESSAGES = """{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- A system message of the conversation's own; isn't there one, "this" stands for it. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "DEFAULT" %}
{%- endif %}

"""
DATES = """{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
    {%- if builtin_tools is defined %}{{- "}}" }}{%- endif %}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- 'As {"name": function, "parameters": {"name": value}}.' }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
"""
TURNS = """
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""


def with_default(text):
    return MESSAGES.replace("DEFAULT", text)


TEMPLATES = {
    "fixed date": BEGIN + FIXED_DATE + with_default("") + DATES + TURNS,
    "clock or date": BEGIN + CLOCK_OR_DATE + with_default("") + DATES + TURNS,
    "with a message": BEGIN + FIXED_DATE + with_default('Say \\"so\\".\\n') + DATES + TURNS,
    "only with a message": BEGIN + FIXED_DATE + with_default("") + "{%- if system_message %}\n" +
                           DATES + "{%- endif %}\n" + TURNS,
    "turns alone": BEGIN + TURNS,
}


def main(out):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    made = [{"name": name, "source": source,
             "rendered": environment.from_string(source).render(
                 messages=[{"role": "user", "content": "Hi"}], bos_token="<|bos|>",
                 add_generation_prompt=True)}
            for name, source in TEMPLATES.items()]
    with open(os.path.join(out, "chat_templates.json"), "w", encoding="utf-8") as file:
        json.dump(made, file, indent=1)
        file.write("\n")


main(sys.argv[1])
