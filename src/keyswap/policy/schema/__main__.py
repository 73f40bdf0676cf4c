"""Print the JSON Schema of a policy file."""

import json
import sys

from keyswap.policy.schema import json_schema

sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=True) + "\n")
