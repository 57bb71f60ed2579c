#!/usr/bin/env python3
"""Read the run-time type information of a Go executable (ELF, 64 bit) and write
every struct of the wanted packages: field name, Go type, json/protobuf/patch tags.
Only names, types and numbers are read; no code and no prose."""

import struct, sys, json, re

KINDS = [
    "invalid",
    "bool",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "uintptr",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "array",
    "chan",
    "func",
    "interface",
    "map",
    "ptr",
    "slice",
    "string",
    "struct",
    "unsafeptr",
]


class Bin:

    def __init__(s, path):
        s.b = open(path, "rb").read()
        b = s.b
        (shoff,) = struct.unpack_from("<Q", b, 40)
        shn, shstr = struct.unpack_from("<HH", b, 60)
        sh = [struct.unpack_from("<IIQQQQ", b, shoff + 64 * i) for i in range(shn)]
        names = sh[shstr][4]
        s.sec = {}
        for n, t, f, a, o, sz in sh:
            nm = b[names + n : b.index(b"\x00", names + n)].decode()
            s.sec[nm] = (a, o, sz)
        s.maps = [(a, a + sz, o) for nm, (a, o, sz) in s.sec.items() if a and nm not in (".bss", ".noptrbss")]
        s.cache = {}

    def off(s, va):
        for a, e, o in s.maps:
            if a <= va < e:
                return va - a + o
        raise ValueError(hex(va))

    def u(s, va, fmt):
        return struct.unpack_from("<" + fmt, s.b, s.off(va))

    def varint(s, o):
        v = n = 0
        while True:
            c = s.b[o]
            o += 1
            v |= (c & 127) << n
            n += 7
            if c < 128:
                return (v, o)

    def name(s, va):
        o = s.off(va)
        fl = s.b[o]
        l, o2 = s.varint(o + 1)
        nm = s.b[o2 : o2 + l].decode("utf8", "replace")
        tag = ""
        if fl & 2:
            l2, o3 = s.varint(o2 + l)
            tag = s.b[o3 : o3 + l2].decode("utf8", "replace")
        return (nm, tag, bool(fl & 8))

    def typ(s, va):
        if va in s.cache:
            return s.cache[va]
        size, pb, h, tf, al, fa, k, eq, gc, so, pt = s.u(va, "QQIBBBBQQii")
        k &= 31
        t = {"kind": KINDS[k], "va": va}
        s.cache[va] = t
        nm = s.name(s.types + so)[0]
        if tf & 2:
            nm = nm[1:]
        t["str"] = nm
        extra = {17: 24, 18: 16, 19: 8, 20: 32, 21: 0, 22: 8, 23: 8, 25: 32}.get(k, 0)
        if k in (22, 23, 17):
            t["elem"] = s.u(va + 48, "Q")[0]
        if k == 21:
            t["key"], t["elem"] = s.u(va + 48, "QQ")
            extra = 64
        if tf & 1:
            (po,) = s.u(va + 48 + extra, "i")
            t["pkg"] = s.name(s.types + po)[0] if po else ""
        t["named"] = bool(tf & 4)
        if k == 25:
            pp, fp, fn, _ = s.u(va + 48, "QQQQ")
            fs = []
            for i in range(fn):
                n, ty, of = s.u(fp + 24 * i, "QQQ")
                a, tag, emb = s.name(n)
                fs.append((a, tag, emb, ty))
            t["fields"] = fs
        return t

    def tname(s, va):
        t = s.typ(va)
        if t["named"]:
            return (t.get("pkg") or "") + "." + t["str"].split(".")[-1] if t.get("pkg") else t["str"]
        if t["kind"] == "ptr":
            return "*" + s.tname(t["elem"])
        if t["kind"] == "slice":
            return "[]" + s.tname(t["elem"])
        if t["kind"] == "map":
            return "map[%s]%s" % (s.tname(t["key"]), s.tname(t["elem"]))
        return t["str"]


def main(path, out, want):
    b = Bin(path)
    ta, to, ts = b.sec[".typelink"]
    b.types = b.sec[".rodata"][0]
    ms = b.sec[".go.module"]
    words = struct.unpack_from("<%dQ" % (ms[2] // 8), b.b, ms[1])
    ro = b.sec[".rodata"][0]
    i = [k for k, w in enumerate(words) if w >= ro and w < ro + 4096]
    sys.stderr.write("types candidates %s\n" % [hex(words[k]) for k in i])
    b.types = words[i[0]]
    seen = {}
    basic = {}
    st = [b.types + x for x in struct.unpack_from("<%di" % (ts // 4), b.b, to)]
    done = set()
    while st:
        va = st.pop()
        if va in done or not va:
            continue
        done.add(va)
        try:
            t = b.typ(va)
        except Exception as e:
            continue
        for k in ("elem", "key"):
            if t.get(k):
                st.append(t[k])
        for f in t.get("fields", []):
            st.append(f[3])
        if t["named"] and re.match(want, t.get("pkg") or ""):
            n = b.tname(va)
            if t["kind"] == "struct":
                seen[n] = []
                for a, tag, emb, ty in t["fields"]:
                    tags = dict(re.findall('(\\w+):"([^"]*)"', tag))
                    seen[n].append(
                        {"go": a, "type": b.tname(ty), "kind": b.typ(ty)["kind"], "emb": emb, **tags}
                    )
            else:
                basic[n] = {
                    "kind": t["kind"],
                    **({"key": b.tname(t["key"])} if "key" in t else {}),
                    **({"elem": b.tname(t["elem"])} if "elem" in t else {}),
                }
    json.dump({"structs": seen, "basic": basic}, open(out, "w"), indent=1, sort_keys=True)
    sys.stderr.write(
        "%d structs %d other named types, %d bytes\n" % (len(seen), len(basic), len(open(out).read()))
    )


main(
    sys.argv[1],
    sys.argv[2],
    (
        sys.argv[3]
        if len(sys.argv) > 3
        else "k8s\\.io/(api|apimachinery|apiextensions-apiserver|kube-aggregator|metrics)/"
    ),
)
