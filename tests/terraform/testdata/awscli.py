"""Checks commands of the AWS CLI, a line of shell each, against the service models; answers a JSON object a command, with what is wrong with it.

The CLI derives its commands and parameters from these models. What it has beyond them is listed here, as far as our pages use it.
"""

import json
import shlex
import sys

import jmespath
from botocore import xform_name
from botocore.session import get_session

OWN = {
    ("ecr", "get-login-password"): set(),
    ("logs", "tail"): {"follow", "since", "format", "filter-pattern"},
    ("s3", "cp"): {"recursive", "quiet"},
}
GLOBAL = {"output", "query", "region", "profile"}
session = get_session()


def sample(shape, depth=0):
    """A document of a shape, with one element in each list."""
    if depth > 8:
        return "…"
    if shape.type_name == "structure":
        return {name: sample(member, depth + 1) for name, member in shape.members.items()}
    if shape.type_name == "list":
        return [sample(shape.member, depth + 1)]
    return "x"


def found(value):
    return all(map(found, value)) and len(value) > 0 if isinstance(value, list) else value is not None


def check(words):
    service, operation, *rest = words
    options, name = {}, ""
    for word in rest:
        if word.startswith("--"):
            name = word[2:]
            options[name] = []
        else:
            options.setdefault(name, []).append(word)
    result = {"service": service, "operation": operation, "options": options, "problem": ""}
    given = set(options) - GLOBAL - {""}
    if (service, operation) in OWN:
        result["problem"] = ", ".join(f"--{o} is not known" for o in sorted(given - OWN[service, operation]))
        return result
    if service not in session.get_available_services():
        return {**result, "problem": f"{service} is not known"}
    model = session.get_service_model(service)
    operations = {xform_name(o, "-"): o for o in model.operation_names}
    if operation not in operations:
        return {**result, "problem": f"{operation} is not known"}
    model = model.operation_model(operations[operation])
    members = {xform_name(n, "-"): (n, m) for n, m in model.input_shape.members.items()}
    negated = {o for o in given if o.startswith("no-") and o[3:] in members and members[o[3:]][1].type_name == "boolean"}
    problems = [f"--{o} is not known" for o in sorted(given - members.keys() - negated)]
    problems += [f"--{xform_name(n, '-')} is missing" for n in model.input_shape.required_members if xform_name(n, "-") not in given]
    for option in sorted(given & members.keys()):
        shape = members[option][1]
        if shape.type_name == "list" and shape.member.type_name == "structure":
            for value in options[option]:
                keys = {pair.split("=")[0] for pair in value.split(",")}
                problems += [f"--{option}: {k} is not known" for k in sorted(keys - shape.member.members.keys())]
    for query in options.get("query", []):
        if not found(jmespath.search(query, sample(model.output_shape))):
            problems.append(f"--query {query} finds nothing")
    return {**result, "problem": ", ".join(problems)}


for line in sys.stdin:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    words = []
    for word in [*lexer, "|"]:
        if word[0] not in "|&;":
            words.append(word)
            continue
        if words[:1] == ["aws"]:
            print(json.dumps(check(words[1:])))
        words = []
