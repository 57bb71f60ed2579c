#!/usr/bin/env python3
"""Parse every idl/*/*.api line and resolve every type reference."""

import re, glob, sys
import os

WORK = os.environ["SCHEMA_DIR"]
BI = {
    "string",
    "bool",
    "int32",
    "int64",
    "float64",
    "float32",
    "bytes",
    "time",
    "microtime",
    "duration",
    "quantity",
    "intstr",
    "raw",
    "fieldsv1",
    "json",
    "uint8",
    "int",
}
P = {}
bad = []
for f in glob.glob(WORK + "/idl/*/*.api"):
    pk = f.split("/idl/")[1][:-4]
    P[pk] = {"types": {}, "scalars": {}}
    cur = None
    for n, l in enumerate(open(f), 1):
        l = l.rstrip("\n")
        if not l or l.startswith(("package ", "resource ", "  sub ", "  union ")):
            continue
        m = re.match("(scalar|enum) (\\w+) ?(.*)$", l)
        if m:
            P[pk]["scalars"][m[2]] = (m[1], m[3])
            continue
        m = re.match("type (\\w+)((?: \\w+)*)$", l)
        if m:
            cur = P[pk]["types"].setdefault(m[1], [])
            continue
        m = re.match(
            "  (~?\\S*) +(\\d+|-)(?: +(\\S+))?((?: +(?:!|req|always|omitzero|set|atomic|granular|untyped|map\\([\\w,]+\\)|smp\\([\\w,:]+\\)|format=\\S+))*)$",
            l,
        )
        if not m:
            bad.append((f, n, l))
            continue
        cur.append((m[1], m[2], m[3], m[4].split()))
unres = set()


def res(t, pk):
    t = t.rstrip("?")
    while True:
        if t.startswith("[]"):
            t = t[2:].rstrip("?")
            continue
        m = re.match("\\{([^}]*)\\}(.*)", t)
        if m:
            res(m[1], pk)
            t = m[2].rstrip("?")
            continue
        break
    if t in BI:
        return
    p, _, n = t.rpartition(".")
    p = p or pk
    if p not in P or (n not in P[p]["types"] and n not in P[p]["scalars"]):
        unres.add((pk, t))


for pk, x in P.items():
    for tn, fs in x["types"].items():
        for nm, tag, t, at in fs:
            if nm.startswith("~"):
                nm != "~TypeMeta" and res(nm[1:], pk)
            elif t:
                res(t, pk)
print(
    "files",
    len(P),
    "types",
    sum((len(x["types"]) for x in P.values())),
    "fields",
    sum((len(f) for x in P.values() for f in x["types"].values())),
    "bad lines",
    len(bad),
    bad[:5],
    "unresolved",
    len(unres),
    sorted(unres)[:20],
)
