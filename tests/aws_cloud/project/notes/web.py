import json

from notes import aws
from portafaas.runtime import Request, Response


def take(request: Request, context):
    note = request.json()
    secret = aws.client("secretsmanager").get_secret_value(SecretId=aws.address("secret", "stamp"))
    aws.put("notes", id=note["id"], text=note["text"], stamp=secret["SecretString"])
    aws.publish("news", note.get("type", "note.taken"), note)
    return Response(json.dumps({"id": note["id"]}), status=201, headers={"location": f"/notes/{note['id']}"})


def show(request: Request, context):
    found = aws.get("notes", request.path_params["id"])
    return Response(json.dumps(found), status=200 if found else 404)


def files(request: Request, context):
    if not request.path_params["path"]:
        return Response("no folder", status=404)
    s3 = aws.client("s3")
    try:
        found = s3.get_object(Bucket=aws.address("bucket", "archive"), Key=request.path_params["path"])
    except s3.exceptions.NoSuchKey:
        return Response("none", status=404)
    return Response(found["Body"].read(), headers={"content-type": "application/octet-stream"})
