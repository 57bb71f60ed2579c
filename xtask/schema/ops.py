#!/usr/bin/env python3
"""Paths, verbs, parameters and content types from the PyPI package kubernetes 36.0.3 -> ops.json"""

import re, glob, json
import os

WORK = os.environ["SCHEMA_DIR"]
ops = []
for f in sorted(glob.glob(WORK + "/dl/py/kc/kubernetes/client/api/*_api.py")):
    s = open(f).read()
    for m in re.finditer(
        "    def (\\w+)_with_http_info\\(self(.*?)\\n        return self\\.api_client\\.call_api\\(\\n\\s+'([^']+)', '(\\w+)',",
        s,
        re.S,
    ):
        b = m[0]
        q = re.findall("query_params\\.append\\(\\('(\\w+)'", b)
        ct = re.search("select_header_content_type\\(\\s*\\[(.*?)\\]", b, re.S)
        rt = re.search('response_types_map = \\{\\s*(?:200|201|202): "?([\\w\\[\\]]+)', b)
        bt = re.search(":param body:.*?\\n\\s*:type body: (\\w+)", b, re.S)
        ops.append((m[3], m[4], m[1], rt and rt[1], bt and bt[1], q, ct and re.findall("'([^']+)'", ct[1])))
json.dump(ops, open(WORK + "/ops.json", "w"))
print(len(ops), "operations", len({o[0] for o in ops}), "paths")
