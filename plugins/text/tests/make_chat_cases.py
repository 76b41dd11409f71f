"""Writes cases/chat.jsonl: templates, variables and what jinja2 makes of them in transformers' environment (transformers/utils/chat_template_utils.py).

The templates are written for this test in the styles that checkpoints ship. Versions: jinja2 3.1.6, transformers 5.23.0.
A line is {"name", "template", "variables", "text"} or, where jinja2 refuses, {…, "error": true}.
"""
import json
import os

from transformers.utils.chat_template_utils import _cached_compile_jinja_template as compile_template

HERE = os.path.dirname(os.path.abspath(__file__))

TEMPLATES = {
    "chatml": """{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "llama2": """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""",
    "llama3": """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}""",
    "llama31_tools": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- The system message is taken out so that the date can go before it -#}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {{- "You have these functions:\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "qwen25": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\nYou may call functions:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "qwen3_thinking": """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "gemma2": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}""",
    "gemma3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
""",
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {{- ', "id": "' + (tool_call.id | default("call00000", true)) + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool" or message["role"] == "tool_results" %}
        {%- set content = message.content.content if message.content.content is defined else message.content %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + "}[/TOOL_RESULTS]" }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported") }}
    {%- endif %}
{%- endfor %}
""",
    "phi3": """{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'user' %}{{'<|user|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>
' + message['content'] + '<|end|>
'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>
' }}{% else %}{{ eos_token }}{% endif %}""",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "smollm": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named Orrery<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}""",
    "olmo2": """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>
' + message['content'] + '
' }}{% elif message['role'] == 'user' %}{{ '<|user|>
' + message['content'] + '
' }}{% elif message['role'] == 'assistant' %}{% if not loop.last %}{{ '<|assistant|>
'  + message['content'] + eos_token + '
' }}{% else %}{{ '<|assistant|>
'  + message['content'] + eos_token }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>
' }}{% endif %}{% endfor %}""",
    "deepseek": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['tool_calls'] %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<｜Assistant｜><｜tool▁calls▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\\n' + '```json' + '\\n' + tool['function']['arguments']|tojson + '\\n' + '```'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + tool['function']['name']}}{{'<｜tool▁calls▁end｜>'}}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none and not message['tool_calls'] %}{%- if ns.is_tool %}{{'<｜tool▁outputs▁end｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<｜tool▁outputs▁begin｜>' + message['content']}}{%- set ns.is_output_first = false %}{%- else %}{{'\\n' + message['content']}}{%- endif %}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<｜tool▁outputs▁end｜>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜>'}}{% endif %}""",
    "command_macros": """{%- macro json_to_type(spec) -%}
{%- set basic = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"} -%}
{%- if basic[spec.type] is defined -%}
    {{- basic[spec.type] -}}
{%- elif spec.type == "array" -%}
    {{- "List[" + json_to_type(spec['items']) + "]" -}}
{%- elif spec.type == "object" -%}
    {%- if spec.additionalProperties is defined -%}{{- "Dict[str, " + json_to_type(spec.additionalProperties) + ']' -}}{%- else -%}{{- "dict" -}}{%- endif -%}
{%- elif spec.type is iterable and spec.type is not string -%}
    {{- "Union[" -}}{%- for t in spec.type -%}{{- json_to_type({"type": t}) -}}{%- if not loop.last -%}{{- "," -}}{%- endif -%}{%- endfor -%}{{- "]" -}}
{%- else -%}
    {{- "Any" -}}
{%- endif -%}
{%- endmacro -%}
{%- macro show(tool, depth=1, pad='  ') -%}
{{- pad * depth -}}def {{ tool.name }}(
    {%- for name, spec in tool.parameters.properties|dictsort -%}
        {{- name }}: {{ json_to_type(spec) }}{% if name not in tool.parameters.required %} = None{% endif %}{{ ", " if not loop.last }}
    {%- endfor -%}
){{ caller() if caller else '' }}
{% endmacro -%}
{{ bos_token }}{% for tool in tools %}{% set t = tool.function %}{% call show(t, depth=loop.index) %}: "{{ t.description | replace('"', "'") | truncate(20, true, '…') }}"{% endcall %}{% endfor %}
{%- for m in messages if m.role in ('user', 'assistant') and m.content %}
[{{ loop.index }}/{{ loop.length }} {{ m.role | upper }}] {{ m.content | trim | indent(2) }}{{ '' if loop.last else '\\n' }}
{%- else %}nothing{% endfor %}""",
    "generation_tag": """{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}
{% else %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>
{% endif %}{% endfor %}""",
    "granite_documents": """{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}{%- else %}{%- set system_message = "Today's Date: " + strftime_now('%B %d, %Y') + ".\\nYou are Orrery." %}{%- set loop_messages = messages %}{%- endif %}<|start_of_role|>system<|end_of_role|>{{ system_message[:12] }}<|end_of_text|>
{% if documents %}{% for d in documents %}{{ '\\nDocument ' ~ loop.index0 ~ '\\n' ~ d['text'] }}{% endfor %}{% endif %}{% for message in loop_messages %}{{ '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + (message['content'] or '') + '<|end_of_text|>\\n' }}{%- endfor %}""",
}

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a \"city\", in °C; naïve <b>&</b>", "parameters": {"type": "object", "properties": {
    "city": {"type": "string", "description": "Name"}, "days": {"type": "integer", "minimum": 1}, "tags": {"type": "array", "items": {"type": ["string", "number"]}}, "more": {"type": "object", "additionalProperties": {"type": "boolean"}}},
    "required": ["city"]}}}, {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}, "required": []}, "return": {"type": "string"}}}]
CHATS = {
    "one": [{"role": "user", "content": "Hello!"}],
    "three": [{"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": "  What is 2+2?  "}, {"role": "assistant", "content": "<think>\nsum\n</think>\n\n4"}, {"role": "user", "content": "日本語 'q' \"d\" \\ & <x>\n"}],
    "turns": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " b "}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "<think>x</think>d"}],
    "tools": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": "c1", "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2, "x": [1.5, None, True, 1e-7, 1e22]}}}]},
              {"role": "tool", "content": "12", "name": "get_weather"}, {"role": "assistant", "content": "It is 12."}, {"role": "user", "content": "Thanks"}],
    "parts": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " what is it? "}]}],
    "twice_user": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
}

SNIPPETS = [
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }}", "{{ 1.0 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 1e22 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 123456789012345.6 }} {{ 3.0 * 2 }} {{ 10 / 5 }}",
    "{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }}", "{{ 'a' ~ 1 ~ none ~ true ~ 2.5 }}", "{{ [1, 'a', none, true, 2.5, [1], {'k': 'v'}, (1,), ()] }}", "{{ {'a': 1, 'b': [1, 2]} }} {{ {} }} {{ {1: 2} }}",
    "{{ \"it's\" }} {{ ['it\\'s', 'a\"b', 'a\\'\"b', 'é\\n\\t\\x01\\u2028', '\\\\'] }}", "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' == 1 }} {{ none == none }} {{ [1] == [1] }} {{ (1,) == [1] }}",
    "{{ 'ell' in 'hello' }} {{ 1 in [1, 2] }} {{ 'a' not in {'a': 1} }} {{ 3 not in (1, 2) }}", "{{ not true or true and false }} {{ not (true or true) }} {{ '' or 'x' }} {{ 'y' and 0 }} {{ none or [] }}",
    "{{ 'a' if true else 'b' }} {{ 'a' if false }}|{{ 'a' if false else 'b' if false else 'c' }}", "{{ x }}|{{ x is defined }}|{{ x is undefined }}|{{ x == y }}|{{ x | default('d') }}|{{ '' | default('d') }}|{{ '' | default('d', true) }}|{{ x or 1 }}|{% if x %}1{% else %}0{% endif %}|{% for i in x %}a{% else %}e{% endfor %}",
    "{{ x.y }}", "{{ x + 1 }}", "{{ x['a'] }}", "{{ x() }}", "{{ d.missing }}|{{ d.missing is defined }}|{{ d['nope'] }}|{{ l[10] }}|{{ l[-1] }}", "{{ d.missing.more }}", "{{ 'abc'[1] }} {{ 'abc'[-1] }} {{ 'añb'[1:] }} {{ 'abc'[::-1] }} {{ 'abcdef'[1:5:2] }} {{ 'abc'[5:] }}|{{ 'abc'[-2:] }} {{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ l[5:1:-1] }}",
    "{{ 'Hello World'.upper() }} {{ 'Hello'.lower() }} {{ ' x '.strip() }}| {{ 'xxaxx'.strip('x') }} {{ 'abc'.startswith('a') }} {{ 'abc'.endswith(('c', 'd')) }} {{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c d'.split(' ', 2) }} {{ 'a b c'.rsplit(' ', 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ ' a b  c '.split(none, 1) }}",
    "{{ 'hello'.replace('l', 'L') }} {{ 'hello'.replace('l', 'L', 1) }} {{ 'ab'.replace('', '-') }} {{ 'hello'.find('l') }} {{ 'hello'.rfind('l') }} {{ 'hello'.find('z') }} {{ 'hello'.count('l') }} {{ 'hello'.index('e') }} {{ ','.join(['a', 'b']) }} {{ 'hello world'.title() }} {{ 'hELLO'.capitalize() }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }}",
    "{{ '12'.isdigit() }} {{ 'a1'.isalnum() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'aB'.islower() }} {{ ''.isdigit() }} {{ 'é'.isalpha() }} {{ 'x'.zfill(3) }} {{ '-5'.zfill(4) }} {{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3) }} {{ 'a'.center(4, '*') }} {{ 'ab'.center(5) }}| {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.py'.removesuffix('.py') }} {{ 'aBc'.swapcase() }}",
    "{{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'a\\n'.splitlines(true) }} {{ ''.splitlines() }} {{ 'ß'.upper() }} {{ 'İ'.lower() | length }}", "{{ '{} {1} {n} {{}}'.format('a', 'b', n=3) }}", "{{ '{} {} {n} {{}}'.format('a', 'b', n=3) }} {{ '{0:>5}|{1:.2f}|{2:05d}|{3:,}|{4:x}|{5:^7}|{6!r}'.format('a', 3.14159, 42, 1234567, 255, 'mid', 'q') }}",
    "{{ '%s is %d and %.2f %% %5s|%-5s|%05d %r %x' % ('a', 3, 2.5, 'r', 'l', 42, 'q', 255) }} {{ 'x%s' % 1 }} {{ '%(a)s' % {'a': 5} }} {{ '%s-%s' | format('a', 'b') }}", "{{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.get('a') }} {{ d.get('zz') }} {{ d.get('zz', 5) }}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for k in d %}{{ k }}{% endfor %}", "{{ l | length }} {{ l | first }} {{ l | last }} {{ l | join('-') }} {{ l | sum }} {{ l | max }} {{ l | min }} {{ l | reverse | list }} {{ l | sort(reverse=true) }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A', 'c'] | sort(case_sensitive=true) }} {{ [1, 1, 2] | unique | list }}",
    "{{ people | map(attribute='name') | join(', ') }} {{ people | selectattr('age', 'gt', 30) | map(attribute='name') | list }} {{ people | rejectattr('admin') | list | length }} {{ people | selectattr('admin', 'defined') | list | length }} {{ people | sort(attribute='age') | map(attribute='name') | list }} {{ people | groupby('admin') | length }} {{ people | sum(attribute='age') }} {{ people | map(attribute='zip', default='?') | list }}",
    "{{ [1, 2, 3, 4] | select('odd') | list }} {{ [1, 2, 3] | reject('even') | list }} {{ ['a', '', none] | select | list }} {{ ['A', 'b'] | map('lower') | list }} {{ [[1, 2], [3]] | map('length') | list }} {{ ['a'] | map('replace', 'a', 'z') | list }} {{ range(10) | batch(4, 0) | list }} {{ range(3) | list }} {{ range(1, 10, 3) | list }} {{ range(5, 0, -2) | list }}",
    "{{ 3.7 | int }} {{ '12' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '1.5' | float }} {{ 5 | float }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 3 | round }} {{ 2.1 | round(0, 'ceil') }} {{ -5 | abs }} {{ -2.5 | abs }} {{ 42 | string }} {{ [1] | string }}", "{{ 'a <b> & \"c\"' | e }} {{ 'x' | upper }} {{ 'hello there' | capitalize }} {{ 'hello there' | title }} {{ '  x ' | trim }}| {{ 'xyx' | trim('x') }} {{ 'a\\nb\\n\\nc' | indent(2) }} {{ 'a\\nb' | indent(2, true) }} {{ 'a b c' | wordcount }} {{ 'a b&c/ü' | urlencode }} {{ 'abc' | reverse }} {{ 'abc' | list }}",
    "{{ 'hello big world' | truncate(9) }} {{ 'hello big world' | truncate(9, true) }} {{ 'short' | truncate(9) }} {{ 'hello' | replace('l', 'L') }} {{ 'x' | center(5) }}|", "{{ d | dictsort }} {{ d | dictsort(false, 'value') }} {{ d | items | list }} {{ d | length }} {{ d | list }}", "{{ d | tojson }} {{ d | tojson(indent=2) }} {{ [] | tojson(indent=2) }} {{ {'é': 'ü\\u2028\\x7f\\x01', 'n': none, 't': true, 'f': 1.0, 'i': 10} | tojson }} {{ 'é' | tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ [1, 2] | tojson(separators=(',', ':')) }} {{ '</script>&' | tojson }} {{ {1: 2, none: 3, true: 4} | tojson }}",
    "{{ 1 is number }} {{ 1 is integer }} {{ 1.0 is float }} {{ true is boolean }} {{ 'a' is string }} {{ [] is sequence }} {{ {} is mapping }} {{ 'a' is iterable }} {{ none is none }} {{ 4 is even }} {{ 4 is odd }} {{ 6 is divisibleby 3 }} {{ 6 is divisibleby(4) }} {{ 1 is sameas 1 }} {{ 'a' is in 'abc' }} {{ 3 is eq 3 }} {{ 3 is gt 2 }} {{ 3 is not lt 2 }} {{ 'A' is upper }} {{ range is callable }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ x is not defined and 1 is defined }}",
    "{% set a = 1 %}{% for i in [1, 2] %}{% set a = a + i %}{{ a }},{% endfor %}{{ a }}", "{% set ns = namespace(n=0, s='') %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }} {{ ns.s }} {{ ns.zz is defined }}", "{% if true %}{% set b = 2 %}{% endif %}{{ b }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}", "{% set x %}ab{{ 1 }}c{% endset %}{{ x }}|{% set x | upper %}ab{% endset %}{{ x }}", "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "{% filter upper %}ab{{ 'c' }}{% endfilter %} {% filter replace('a', 'b') | upper %}aa{% endfilter %}",
    "{% for i in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.cycle('a', 'b') }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }};{% endfor %}", "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}", "{% for i in range(5) if i is even %}{{ i }}{{ loop.index }}{% if i == 4 %}{% break %}{% endif %}{% endfor %}", "{% for i in range(6) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %}{% for (a, b) in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}", "{% for i in [] %}x{% else %}empty{% endfor %}", "{% for i in [1, 2] %}{% for j in [1, 2] %}{{ loop.depth }}{{ i * j }}{% endfor %}{% endfor %}", "{% for c in 'añ' %}[{{ c }}]{% endfor %}",
    "{% macro m(a, b=2, c='x') %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c='z') }} {{ m(b=1, a=2) }} {{ m() }}", "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}", "{% set g = 5 %}{% macro m() %}{{ g }}{% endmacro %}{% set g = 6 %}{{ m() }}", "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{% endcall %}{% macro n() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) n() %}{{ a + b }}{% endcall %}", "{% macro m(x) %}{% set x = x + 1 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m(x) }}{{ x }} {{ m(1) is string }} {{ m(1) | length }} {{ m(2) | int + 1 }}",
    "a {#- c -#} b", "a {# c #} b\n{# c #}\nd", "  {% if true %}\n  x\n  {% endif %}\n  y", "  {%- if true -%}\n  x\n  {%- endif +%}\n  y", "a\n  {%+ if true %}b{% endif %}\n", "{% raw %}{{ x }} {% y %}{% endraw %} z", "{%- raw -%} {{ x }} {%- endraw -%} z", "line\n\n", "a\r\nb\r\n", "{{ 'a' }}\n{{ 'b' }}\n", "x {{- ' y ' -}} z", "{{ \"}}\" }}{{ '%}' }}{{ {'a': {'b': 1}}['a']['b'] }}", "{% if 1 %}a{% elif 2 %}b{% else %}c{% endif %}{% if 0 %}a{% elif 2 %}b{% else %}c{% endif %}{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}", "   \n {% set a = 1 %}   \n b {% set c = 2 %}\n\n{{ a }}", "{{ 'a' 'b' \"c\" }} {{ '\\x41\\u00e9\\101\\q\\n' }}", "{%set a=1%}{{a}}{%if a==1%}y{%endif%}", "\t{% for i in [1] %}\t\n\t{{ i }}\t\n\t{% endfor %}\t\n",
    "{{ l.append(9) }}", "{{ d.update({'z': 1}) }}", "{{ l.__class__ }}|{{ d.__class__ is defined }}", "{{ raise_exception('no') }}", "{{ 1 / 0 }}", "{{ 'a' + 1 }}", "{{ 1 < 'a' }}", "{{ none + 1 }}", "{% endif %}", "{% if x %}", "{{ 1 + }}", "{{ 'a }}", "{% bogus %}", "{{ x | bogus }}", "{{ x is bogus }}", "{{ [1, 2 }}", "{# open", "{% for %}{% endfor %}", "{{ range(1000000) | length }}", "{% for a, b in [1] %}{% endfor %}", "{% set d.a = 1 %}", "{{ namespace(_a=1) }}", "{{ x | tojson }}", "{{ ('a', 'b') | join }} {{ () }} {{ (1) }} {{ (1,) }}", "{{ dict(a=1, b=2) }} {{ dict([('a', 1)]) }} {{ dict({'a': 1}, b=3) }}",
    "{{ -1 | abs }} {{ -l[0] }} {{ +3 }} {{ not 0 }} {{ - 2 ** 2 }}", "{{ l * 2 }} {{ 'ab' * 3 }} {{ 2 * 'x' }} {{ 'a' * 0 }} {{ 'a' * -1 }} {{ l + [1] }} {{ (1,) + (2,) }}", "{{ [x for x in l] }}", "{{ messages[0].content if messages else 'none' }} {{ messages | length }} {{ (messages | last).role }}", "{{ d['items'] is defined }} {{ d.items is callable }} {{ d.a }} {{ d['a'] }} {{ d.get('items', 'no') }}", "{{ 'a' < 'b' and not 'c' > 'd' }} {{ 1 if 1 in [1] and 2 not in [1] else 0 }}", "{{ true }} {{ True }} {{ none }} {{ None }} {{ false }} {{ False }}", "{{ loop is defined }} {{ namespace is defined }} {{ strftime_now is defined }} {{ foo is defined }}", "{{ '%d%%' % 50 }} {{ '%s' % none }} {{ '%5.1f|' % 3.14159 }}", "{{ 1.5 // 1 }} {{ -1.5 % 1 }} {{ 5.0 // 2 }} {{ 7 // 2.0 }}", "{{ 'abc' | first }} {{ 'abc' | last }} {{ 'abc' | length }} {{ none | default('x') }} {{ none | default('x', true) }}", "{{ l | map('string') | join('') }} {{ l | map('multiply', 2) | list }}", "{{ people[0].name }} {{ people[0]['name'] }} {{ people[0].tags[0] }} {{ people.0.name }}", "{{ '' | int }} {{ 'a,b' | replace(',', ';') | upper | lower | length }}", "{{ {'a': 1} == {'a': 1.0} }} {{ {'a': 1} != {'a': 2} }} {{ [] == () }}", "{{ 'x' is defined }} {{ undefinedvar.attr is defined }}", "{{ 'aXbX'.split('X') }} {{ ''.split('X') }} {{ ''.split() }} {{ 'abab'.rsplit('b') }} {{ 'a'.join('xyz') }}",
    "{% for g in people | groupby('admin') %}{{ g.grouper }}:{{ g.list | map(attribute='name') | join(',') }};{% endfor %}", "{% for k, m in people | groupby('age', case_sensitive=true) %}{{ k }}={{ m | length }};{% endfor %}", "{% set g = (people | groupby('name') | list)[0] %}{{ g }} {{ g[0] }} {{ g['list'] | length }} {{ g['grouper'] }} {{ g | length }} {{ g == (g.grouper, g.list) }} {{ g + (1,) }} {{ g | tojson }} {{ g[:1] }} {{ g.count('Ann') }} {{ g.other is defined }}",
    "{{ people | groupby('name') | map(attribute='grouper') | list }} {{ people | groupby('name') | map(attribute='list.0.age') | list }} {{ people | groupby('city', default='NY') | map('first') | list }} {{ people | groupby(attribute='tags.0', default='none') | map(attribute='grouper') | list }}", "{{ people | groupby('tags.0') | list }}", "{{ ['a', 'B', 'A'] | map('upper') | list }}{% for g in [{'k': 'b'}, {'k': 'B'}, {'k': 'a'}] | groupby('k') %}{{ g.grouper }}{{ g.list | length }}{% endfor %}{% for g in [{'k': 'b'}, {'k': 'B'}, {'k': 'a'}] | groupby('k', none, true) %}{{ g.grouper }}{{ g.list | length }}{% endfor %}", "{{ (people | groupby('age') | first).list = 1 }}", "{{ people | groupby }}", "{{ people | map(attribute='a.b', default='?') | list }} {{ people | map(attribute='zip', default=none) | list }}",
    "{% for n in tree recursive %}{{ n.n }}{% if n.sub %}({{ loop(n.sub) }}){% endif %}{{ ',' if not loop.last }}{% endfor %}", "{% for n in tree recursive %}{{ '  ' * loop.depth0 }}{{ loop.depth }}.{{ loop.index }}/{{ loop.length }} {{ n.n }}\n{{ loop(n.sub) }}{% else %}none;{% endfor %}", "{% for n in tree if n.n != 'c' recursive %}{{ n.n }}[{{ loop(n.sub) | upper }}]{% endfor %}", "{% for n in tree recursive %}{% set here = loop %}{% for x in [1, 2] %}{{ loop.depth }}{% endfor %}{% for s in n.sub %}<{{ here([s]) }}>{% endfor %}{{ n.n }}{% endfor %}",
    "{% for n in tree recursive %}{{ n.n }}{% if loop.depth < 2 %}{{ loop(tree) }}{% endif %}{% if n.n == 'a' %}{% continue %}{% endif %}!{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}", "{% set ns = namespace() %}{% set g = 'g' %}{% for i in [1] %}{% for n in tree recursive %}{% set ns.f = loop %}{{ g }}{{ n.n }}{{ loop(n.sub) }}{% endfor %}{% endfor %}{{ ns.f([{'n': 'z', 'sub': []}]) }}", "{% macro walk(t) %}{% for n in t recursive %}{{ n.n }}{{ loop(n.sub) }}{% endfor %}{% endmacro %}{{ walk(tree) }}{{ walk(tree[0].sub) }}", "{% for k, v in d.items() recursive %}{{ k }}{{ v }}{% if v == 1 %}{{ loop([('x', 9)]) }}{% endif %}{% endfor %}", "{% for n in tree recursive %}{{ loop is callable }}{{ loop(iterable=n.sub) }}{% endfor %}",
    "{% for n in tree %}{{ loop(n.sub) }}{% endfor %}", "{% for n in tree recursive %}{{ loop() }}{% endfor %}", "{% for n in tree recursive %}{{ loop(n.sub, 1) }}{% endfor %}", "{% for n in tree recursive %}{{ loop(none) }}{% endfor %}", "{% for n in tree recursive %}{{ loop(n.nothing) }}{{ n.n }}{% endfor %}", "{% for n in tree recursive if n %}{% endfor %}", "{% for n in [1] recursive %}{{ loop([1]) }}{% endfor %}",
]
BASE = {"tree": [{"n": "a", "sub": [{"n": "b", "sub": []}, {"n": "c", "sub": [{"n": "d", "sub": []}]}]}, {"n": "e", "sub": []}], "messages": CHATS["one"], "l": [3, 1, 2], "d": {"b": 2, "a": 1, "C": 3}, "people": [{"name": "Ann", "age": 40, "admin": True, "tags": ["x"]}, {"name": "bob", "age": 25, "admin": False, "tags": []}]}


def case(name, template, variables):
    row = {"name": name, "template": template, "variables": variables}
    try:
        row["text"] = compile_template(template).render(**json.loads(json.dumps(variables)))
    except Exception:  # whatever jinja2 or Python refuses
        row["error"] = True
    return json.dumps(row, ensure_ascii=False)


def main():
    lines = []
    for name, template in TEMPLATES.items():
        for chat, messages in CHATS.items():
            for tools in (None, TOOLS):
                for prompt in (False, True):
                    if (tools is None) != (chat != "tools" and name != "command_macros") and not (chat == "three" and prompt):
                        continue
                    variables = {"messages": messages, "tools": tools, "documents": [{"title": "t", "text": "doc é"}] if chat == "three" else None, "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>"}
                    if chat == "turns":
                        variables["enable_thinking"] = False
                    lines.append(case(f"{name}/{chat}", template, variables))
    lines += [case(f"snippet {i}", s, BASE) for i, s in enumerate(SNIPPETS)]
    with open(os.path.join(HERE, "cases", "chat.jsonl"), "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
