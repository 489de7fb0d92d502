"""A Terraform provider that knows what Google's resources look like, and makes none.

``python terraform_provider.py TYPE...`` serves the Terraform plugin protocol 6 and prints the
value for TF_REATTACH_PROVIDERS, so that the real Terraform checks, plans and applies a document
without network, account or the provider's own program. The shapes are read from the source of
cdktf-cdktf-provider-google, which was generated from the schema of hashicorp/google 6.50; which
attributes are computed, and lists or sets, is all that they do not say.

https://github.com/hashicorp/terraform/blob/main/docs/plugin-protocol/tfplugin6.proto
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import msgpack

META = {
    "connection",
    "count",
    "depends_on",
    "for_each",
    "lifecycle",
    "provider",
    "provisioners",
    "timeouts",
}
UNKNOWN = msgpack.ExtType(0, b"\0")
PRIMITIVES = {"str": "string", "Number": "number", "bool": "bool"}


# Protocol buffers, as far as the protocol needs them.


def pack(*fields):
    out = bytearray()
    for number, value in fields:
        if value is None or value is False:
            continue
        if isinstance(value, int):
            out += varint(number << 3) + varint(int(value))
        else:
            content = value.encode() if isinstance(value, str) else bytes(value)
            out += varint(number << 3 | 2) + varint(len(content)) + content
    return bytes(out)


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def unpack(data):
    fields, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        value = number()
        if tag & 7 == 2:
            value, at = data[at : at + value], at + value
        fields[tag >> 3] = value
    return fields


# Shapes: {"attributes": {name: (type, required, computed)}, "blocks": {name: (many, min, shape)}}


def shape_of(kind, data=False):
    module = kind.replace("google_", "data_google_" if data else "", 1)
    spec = importlib.util.find_spec("cdktf_cdktf_provider_google")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    tree = ast.parse((package / module / "__init__.py").read_text("utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    main = next(name[: -len("Config")] for name in classes if _is_config(name, classes))
    shape = _block(classes, f"{main}Config", main)
    shape["attributes"]["id"] = ("string", False, True)
    return shape


def _is_config(name, classes):
    bases = [ast.unparse(base) for base in classes[name].bases]
    return name.endswith("Config") and any("TerraformMetaArguments" in base for base in bases)


def _block(classes, inputs, outputs):
    attributes, blocks = {}, {}
    init = _method(classes[inputs], "__init__")
    arguments = init.args.kwonlyargs if init is not None else []
    docs = (ast.get_docstring(init) if init is not None else "") or ""
    for argument, default in zip(arguments, init.args.kw_defaults if init else [], strict=True):
        name, text = argument.arg, ast.unparse(argument.annotation)
        if name in META:
            continue
        # The library cannot call an argument what Python calls something else.
        found = re.search(rf":param {name}:.*?#(\w+) \w+\}}", docs, re.DOTALL)
        real = found[1] if found else name
        inner = [n for n in re.findall(r"'?(\w+)'?, typing\.Dict\[", text) if n in classes]
        if inner:
            many = "typing.Sequence[" in text
            shape = _block(classes, inner[0], f"{inner[0]}OutputReference")
            blocks[real] = (many, 0 if default is not None else 1, shape)
        else:
            computed = default is not None and real in ("id", "project", "name", "location")
            attributes[real] = (_type(text), default is None, computed)
    for node in classes[outputs].body if outputs in classes else []:
        if not isinstance(node, ast.FunctionDef) or node.returns is None:
            continue
        decorators = [ast.unparse(item) for item in node.decorator_list]
        is_property = "builtins.property" in decorators and not node.name.endswith("_input")
        returns = ast.unparse(node.returns).removeprefix("builtins.").removeprefix("jsii.")
        if is_property and returns in PRIMITIVES and node.name != "fqn":
            attributes.setdefault(node.name, (PRIMITIVES[returns], False, True))
    return {"attributes": attributes, "blocks": blocks}


def _method(node, name):
    return next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == name), None)


def _type(text):
    inner = "bool" if "builtins.bool" in text else "number" if "jsii.Number" in text else "string"
    if "typing.Mapping[" in text:
        return ["map", inner]
    return ["list", inner] if "typing.Sequence[" in text else inner


def schema(shape):
    fields = []
    for name, (kind, required, computed) in sorted(shape["attributes"].items()):
        optional = not required and (not computed or name in ("id", "project", "name", "location"))
        content = pack(
            (1, name), (2, json.dumps(kind)), (4, required), (5, optional), (6, computed)
        )
        fields.append((2, content))
    for name, (many, least, inner) in sorted(shape["blocks"].items()):
        most = 0 if many else 1
        fields.append((3, pack((1, name), (2, schema(inner)), (3, 2), (4, least), (5, most))))
    return pack(*fields)


# Values.


def read(message):
    fields = unpack(message)
    if 1 in fields:
        return msgpack.unpackb(fields[1], strict_map_key=False)
    return json.loads(fields[2])


def write(value):
    return pack((1, msgpack.packb(value)))


def planned(shape, value):
    """Make what the platform would fill in unknown."""
    for name, (_, _, computed) in shape["attributes"].items():
        if computed and value.get(name) is None:
            value[name] = UNKNOWN
    for name, (_, _, inner) in shape["blocks"].items():
        for item in value.get(name) or []:
            if isinstance(item, dict):
                planned(inner, item)
    return value


def made(shape, value, where):
    """Give what is unknown a value."""
    for name, (kind, _, _) in shape["attributes"].items():
        if isinstance(value.get(name), msgpack.ExtType):
            value[name] = {"string": f"{where}/{name}", "number": 1, "bool": True}[kind]
    for name, (_, _, inner) in shape["blocks"].items():
        for item in value.get(name) or []:
            made(inner, item, f"{where}/{name}")
    return value


class Provider:
    """The calls of the protocol that Terraform makes, on bytes."""

    def __init__(self, kinds, data):
        self.shapes = {kind: shape_of(kind) for kind in kinds}
        self.data = {kind: shape_of(kind, data=True) for kind in data}

    def get_provider_schema(self, request):
        provider = {
            "attributes": {
                "project": ("string", False, False),
                "region": ("string", False, False),
                "default_labels": (["map", "string"], False, False),
            },
            "blocks": {},
        }
        entries = [(1, pack((2, schema(provider))))]
        for number, shapes in ((2, self.shapes), (3, self.data)):
            for kind, shape in shapes.items():
                entries.append((number, pack((1, kind), (2, pack((2, schema(shape)))))))
        return pack(*entries)

    def get_metadata(self, request):
        entries = [(3, pack((1, kind))) for kind in self.data]
        return pack(*entries, *((4, pack((1, kind))) for kind in self.shapes))

    def upgrade_resource_state(self, request):
        state = json.loads(unpack(unpack(request)[3])[1])
        return pack((1, write(state)))

    def read_resource(self, request):
        return pack((1, unpack(request)[2]))

    def read_data_source(self, request):
        fields = unpack(request)
        kind = fields[1].decode()
        value = planned(self.data[kind], read(fields[2]))
        return pack((1, write(made(self.data[kind], value, kind))))

    def plan_resource_change(self, request):
        fields = unpack(request)
        value = read(fields[3])
        if value is not None and read(fields[2]) is None:
            value = planned(self.shapes[fields[1].decode()], value)
        return pack((1, write(value)), (5, True))

    def apply_resource_change(self, request):
        fields = unpack(request)
        kind, value = fields[1].decode(), read(fields[3])
        if value is not None:
            value = made(self.shapes[kind], value, kind)
        return pack((1, write(value)), (4, True))

    def nothing(self, request):
        return b""


CALLS = (
    "GetMetadata",
    "GetProviderSchema",
    "ValidateProviderConfig",
    "ValidateResourceConfig",
    "ValidateDataResourceConfig",
    "UpgradeResourceState",
    "ConfigureProvider",
    "ReadResource",
    "PlanResourceChange",
    "ApplyResourceChange",
    "ReadDataSource",
    "GetFunctions",
    "StopProvider",
)


def serve(kinds, data):
    provider = Provider(kinds, data)

    def call(name):
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        found = getattr(provider, method, provider.nothing)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: found(request))

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "tfplugin6.Provider", {name: call(name) for name in CALLS}
            ),
            grpc.method_handlers_generic_handler(
                "plugin.GRPCController",
                {"Shutdown": grpc.unary_unary_rpc_method_handler(lambda request, context: b"")},
            ),
            grpc.method_handlers_generic_handler(
                "plugin.GRPCStdio",
                {"StreamStdio": grpc.unary_stream_rpc_method_handler(lambda r, c: iter(()))},
            ),
        ]
    )
    place = tempfile.mkdtemp()
    address = {"Network": "unix", "String": f"{place}/provider"}
    server.add_insecure_port(f"unix:{address['String']}")
    server.start()
    about = {
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": os.getpid(),
        "Test": True,
        "Addr": address,
    }
    print(json.dumps({"registry.terraform.io/hashicorp/google": about}), flush=True)
    sys.stdin.read()  # ends with whoever started it
    server.stop(None)
    Path(address["String"]).unlink(missing_ok=True)
    Path(place).rmdir()


if __name__ == "__main__":
    serve(
        [kind for kind in sys.argv[1:] if not kind.startswith("data.")],
        [kind[len("data.") :] for kind in sys.argv[1:] if kind.startswith("data.")],
    )
