#!/usr/bin/env python3
"""Enum values from npm kubernetes-models 5.1.0 (.d.ts literal unions) -> enums.json {'<Go scalar type>': [values]}"""

import re, glob, json, collections, os

WORK = os.environ["SCHEMA_DIR"]
R = WORK + "/dl/npm/km/package/"
go = json.load(open(WORK + "/gotypes.json"))
S = go["structs"]
B = go["basic"]
D = json.load(
    open(WORK + "/dl/py/kv/kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json")
)["$defs"]
oname = lambda g: (lambda p, t: p.replace("k8s.io/", "io.k8s.", 1).replace("/", ".") + "." + t)(
    *g.rsplit(".", 1)
)
o2g = {oname(k): k for k in S}
camel = lambda o: "".join((x[:1].upper() + x[1:] for x in re.split("[.\\-]", o)))
c2o = {camel(o): o for o in D}
vals = collections.defaultdict(lambda: collections.defaultdict(list))
plain = collections.Counter()
nf = 0
seen = set()
extra = set()
missing = set()
for f in glob.glob(R + "**/*.d.ts", recursive=True):
    s = open(f).read()
    rel = f[len(R) : -5]
    m = re.search("export interface I(\\w+) \\{(.*?)\\n\\}", s, re.S)
    if not m or "/_schemas/" in f:
        continue
    d = rel.split("/")
    cand = [
        o
        for o in D
        if o.endswith("." + d[-2] + "." + m[1])
        and (
            len(d) == 2
            and ".core.v1." in o
            or (
                len(d) > 2
                and (
                    o.split(".")[-3] == d[-3].split(".")[0]
                    or (o.split(".")[-3] in ("apiserverinternal",) and d[0].startswith("internal"))
                    or o.split(".")[-3] == d[-3].split(".")[0].replace("-", "")
                )
            )
        )
    ]
    if len(cand) != 1:
        continue
    o = cand[0]
    g = o2g.get(o)
    seen.add(o)
    names = set()
    for q in re.finditer('\\n    "([^"]+)"(\\??): ([^\\n]*);', m[2]):
        names.add(q[1])
        t = q[3]
        lits = re.findall('"([^"]*)"', t)
        if g is None:
            continue
        fld = [x for x in S[g] if x.get("json", "").split(",")[0] == q[1]]
        if not fld:
            continue
        ft = re.sub("^(\\*|\\[\\]|map\\[[^\\]]*\\])+", "", fld[0]["type"])
        if ft in B and B[ft]["kind"] == "string":
            if lits and q[1] not in ("apiVersion", "kind"):
                vals[ft][tuple(sorted(lits))].append(o.rsplit(".", 1)[1] + "." + q[1])
                nf += 1
            else:
                plain[ft] += 1
        elif lits and q[1] not in ("apiVersion", "kind"):
            print("enum on plain type", o, q[1], ft, lits)
    names |= set(re.findall('\\n    "([^"]+)"\\??: ', m[2]))
    props = set(D[o].get("properties", {}))
    if names != props:
        extra |= {(o, x) for x in names - props}
        missing |= {(o, x) for x in props - names}
out = {k: sorted(set((x for t in v for x in t))) for k, v in vals.items()}
json.dump(out, open(WORK + "/enums.json", "w"), indent=1, sort_keys=True)
print(
    "types matched",
    len(seen),
    "fields with enum",
    nf,
    "scalar types with enum",
    len(vals),
    "scalar types never enum",
    len(set(plain) - set(vals)),
)
print("fields not in 1.36:", sorted(extra)[:10], "\nfields missing from npm:", sorted(missing)[:10])
print("conflicts", [(k, dict(v)) for k, v in vals.items() if len(v) > 1][:3])
print("both", [k for k in vals if k in plain][:10])
for k in list(sorted(out))[:8]:
    print(k, out[k])
print([k.split("/")[-1] for k in sorted(set(plain) - set(vals))][:80])
