"""Checks container definitions, a JSON list a line, against ECS's own model; answers a JSON string a line, empty where there is nothing wrong."""

import json
import sys

from botocore.session import get_session
from botocore.validate import ParamValidator

shape = get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
for line in sys.stdin:
    found = ParamValidator().validate({"family": "any", "containerDefinitions": json.loads(line)}, shape)
    print(json.dumps(found.generate_report()))
